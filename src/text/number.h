/* SPDX-License-Identifier: Apache-2.0
 *
 * number.h - numbers as people write them, read and spoken. */
#ifndef CSM_TEXT_NUMBER_H
#define CSM_TEXT_NUMBER_H

#include "text/say.h"

struct csm_number {
    char digits[64]; /* of the whole part, without what groups them */
    size_t n_digits;
    const char *decimals; /* in the text */
    size_t n_decimals;
    bool has_groups;
    size_t length; /* in the text */
};

/* The number at p, which begins with a digit: 1234  1,234,567.89  1'234'567  1_000
 * 1 234 567 (no-break or thin spaces)  12,34,567  1.234.567  1.234,56 */
struct csm_number csm_number_read(const char *p);

bool csm_number_is_one(const struct csm_number *n);
bool csm_number_is_year(const struct csm_number *n); /* 1100..1999, 2000..2099, no groups */

void csm_say_number(struct csm_builder *out, const struct csm_number *n);
void csm_say_year_or_number(struct csm_builder *out, const struct csm_number *n);

/* The magnitude after a number, as it is spoken ("thousand", ...), and its length with the
 * space before it; NULL: none. Letters (K, M, B, T, bn) only directly after the number;
 * with_money: all of them, else those that mean nothing else. */
const char *csm_magnitude(const char *p, bool with_money, size_t *length);

/* The unit after a number, with the space before it, and "per" another: bytes taken, 0:
 * none. Spoken to `out`. */
size_t csm_say_unit(struct csm_builder *out, const char *p, bool is_singular);

/* Whether the number behind a slash, at p, says the amount before it again: of the units at `unit`
 * and behind that number only one is metric (225 g/8 oz), or both are degrees; and behind volts (5 V/2 A). */
bool csm_is_converted(const char *unit, const char *p);

/* The length of a dash at p that means "to" when a number follows it: -, en dash, with or
 * without spaces; 0: none. */
size_t csm_range_dash(const char *p);

/* Small numbers from the digits of a group: at most `most`, else -1. */
int csm_group_value(struct csm_group group, int most);

/* A whole number below a million, as a cardinal or an ordinal. */
void csm_say_int(struct csm_builder *out, int value);
void csm_say_nth(struct csm_builder *out, int value);

/* Digit by digit; groups of them apart by commas where anything else stands between. */
void csm_say_digit_groups(struct csm_builder *out, const char *p, size_t n);

/* Letters and digits one by one: "a 4 f" -> "a four f". */
void csm_say_characters(struct csm_builder *out, const char *p, size_t n);

#endif
