/* SPDX-License-Identifier: Apache-2.0 */
#include "text/spell.h"

#include <stdbool.h>
#include <string.h>

static const char *const ones[] = {
    "zero",    "one",     "two",       "three",    "four",     "five",    "six",
    "seven",   "eight",   "nine",      "ten",      "eleven",   "twelve",  "thirteen",
    "fourteen", "fifteen", "sixteen",  "seventeen", "eighteen", "nineteen"};
static const char *const tens[] = {"",      "",      "twenty",  "thirty", "forty",
                                   "fifty", "sixty", "seventy", "eighty", "ninety"};
static const char *const powers[] = {"", "thousand", "million", "billion", "trillion"};

static const struct {
    const char *cardinal, *ordinal;
} irregular[] = {{"one", "first"},  {"two", "second"}, {"three", "third"},   {"five", "fifth"},
                 {"eight", "eighth"}, {"nine", "ninth"}, {"twelve", "twelfth"}};

enum { MAX_DIGITS = 15 };

static void spell_below_100(struct csm_builder *out, unsigned n)
{
    if (n < 20) {
        csm_builder_add_word(out, ones[n]);
        return;
    }
    csm_builder_add_word(out, tens[n / 10]);
    if (n % 10 != 0)
        csm_builder_add_word(out, ones[n % 10]);
}

static void spell_below_1000(struct csm_builder *out, unsigned n)
{
    if (n >= 100) {
        csm_builder_add_word(out, ones[n / 100]);
        csm_builder_add_word(out, "hundred");
    }
    if (n % 100 != 0 || n == 0)
        spell_below_100(out, n % 100);
}

void csm_spell_digits(struct csm_builder *out, const char *digits, size_t n)
{
    for (size_t i = 0; i < n; i++)
        csm_builder_add_word(out, ones[digits[i] - '0']);
}

void csm_spell_cardinal(struct csm_builder *out, const char *digits, size_t n)
{
    if (n > MAX_DIGITS || (n > 1 && digits[0] == '0')) {
        csm_spell_digits(out, digits, n);
        return;
    }
    bool has_spoken = false;
    for (size_t group = (n + 2) / 3; group-- > 0;) {
        size_t end = n - 3 * group;
        size_t begin = end > 3 ? end - 3 : 0;
        unsigned value = 0;
        for (size_t i = begin; i < end; i++)
            value = 10 * value + (unsigned)(digits[i] - '0');
        if (value == 0 && (has_spoken || group > 0))
            continue;
        spell_below_1000(out, value);
        if (group > 0)
            csm_builder_add_word(out, powers[group]);
        has_spoken = true;
    }
}

void csm_spell_ordinal(struct csm_builder *out, const char *digits, size_t n)
{
    csm_spell_cardinal(out, digits, n);
    if (out->has_failed)
        return;
    size_t start = out->length;
    while (start > 0 && out->text[start - 1] != ' ')
        start--;
    const char *word = out->text + start;
    for (size_t i = 0; i < sizeof irregular / sizeof *irregular; i++)
        if (strcmp(word, irregular[i].cardinal) == 0) {
            out->length = start;
            csm_builder_add_text(out, irregular[i].ordinal);
            return;
        }
    if (out->text[out->length - 1] == 'y') { /* twenty, twentieth */
        out->length--;
        csm_builder_add_text(out, "ie");
    }
    csm_builder_add_text(out, "th");
}

void csm_spell_year(struct csm_builder *out, const char *digits)
{
    unsigned century = (unsigned)(10 * (digits[0] - '0') + digits[1] - '0');
    unsigned rest = (unsigned)(10 * (digits[2] - '0') + digits[3] - '0');
    if (century % 10 == 0 && rest < 10) { /* 2000 to 2009, 1003 */
        csm_spell_cardinal(out, digits, 4);
        return;
    }
    spell_below_100(out, century);
    if (rest == 0)
        csm_builder_add_word(out, "hundred");
    else if (rest < 10)
        csm_builder_add_word(out, "oh");
    if (rest > 0)
        spell_below_100(out, rest);
}
