/* SPDX-License-Identifier: Apache-2.0
 *
 * say.h - how normalize.c speaks a text: at each place rules are tried in order, and the
 * first that applies writes its words and says how many bytes it took. A rule is a
 * pattern with a function for what it found, or a function alone. One file for each kind
 * of thing: say_number.c, say_date.c, ... */
#ifndef CSM_TEXT_SAY_H
#define CSM_TEXT_SAY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/builder.h"

/* What a pattern found in the text: bytes [start, end) of each group, 0 the whole;
 * start > end: the group took no part. */
struct csm_found {
    const char *text;
    const size_t *bounds;
    size_t *n_more; /* bytes that are taken behind the whole; 0 at first */
};

/* A group's bytes; n is 0 when it took no part. */
struct csm_group {
    const char *p;
    size_t n;
};
struct csm_group csm_group(const struct csm_found *found, size_t i);

/* Where a rule may begin, so that others are not tried: a digit, the first letter of a
 * word, any other sign (a byte above 0x7f is letter and sign). */
enum csm_begins { AT_DIGIT = 1, AT_WORD = 2, AT_SIGN = 4 };

struct csm_say_rule {
    unsigned begins;     /* of csm_begins */
    const char *pattern; /* PCRE2, anchored, UTF; NULL: `scan` */
    /* Write the words of what was found; false: it is something else after all. */
    bool (*say)(struct csm_builder *out, const struct csm_found *found);
    /* Without a pattern: bytes taken of the text at `at`, or 0. */
    size_t (*scan)(struct csm_builder *out, const char *text, size_t at);
};

/* The rules of each kind, in the order in which they are tried; the last has neither
 * pattern nor scan. */
extern const struct csm_say_rule csm_say_addresses[]; /* URLs, e-mail, IP, files */
extern const struct csm_say_rule csm_say_dates[];
extern const struct csm_say_rule csm_say_times[];
extern const struct csm_say_rule csm_say_codes[]; /* versions, telephone and other long numbers */
extern const struct csm_say_rule csm_say_money[];
extern const struct csm_say_rule csm_say_formulas[];
extern const struct csm_say_rule csm_say_numbers[];
extern const struct csm_say_rule csm_say_words[]; /* abbreviations, acronyms, Roman numerals */
extern const struct csm_say_rule csm_say_symbols[];

/* Whether what stands at text[at] belongs to a noun: after "a" or "an" (a 5 km run). */
bool csm_follows_article(const char *text, size_t at);

/* Bytes of the text as a word. */
void csm_say_as_written(struct csm_builder *out, const char *p, size_t n);

/* "..." and "?!" alone are no words: the voice would make up some. */
bool csm_has_words(const char *text);
bool csm_is_digit(char c);
bool csm_is_letter(char c); /* every byte above 0x7f, too */
/* Whether a letter stands before text[at]. U+00A0 to U+00BF and U+2000 to U+203F are none: spaces,
 * quotes, dashes. */
bool csm_follows_letter(const char *text, size_t at);
size_t csm_count_digits(const char *p);

/* Whether p begins with the word `suffix`, which ends there. */
bool csm_ends_word(const char *p, const char *suffix);

/* Before a part of a word that is spelled or counted: its hyphen is a space (COVID-19, non-EU). */
void csm_part_hyphen(struct csm_builder *out);

/* Whether an equals sign stands near text[at], in its sentence: - / * and ! are signs of a formula there. */
bool csm_is_in_formula(const char *text, size_t at);

/* A group as a string in a buffer of the caller; cut if it is longer. */
void csm_group_copy(struct csm_group group, char *buffer, size_t size);

#endif
