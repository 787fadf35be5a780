/* SPDX-License-Identifier: Apache-2.0 */
#include "text/number.h"

#include <stdio.h>
#include <string.h>

#include "text/spell.h"

/* What may stand between groups of digits. */
static size_t separator(const char *p)
{
    static const char *const known[] = {
        ",", "'", "_", "\xC2\xA0", "\xE2\x80\xAF", "\xE2\x80\x89", "\xE2\x80\x99"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strncmp(p, known[i], strlen(known[i])) == 0)
            return strlen(known[i]);
    return 0;
}

/* Bytes of 1.234.567 or 1.234,56 at p, where points group; 0: it is nothing of the kind. */
static size_t point_groups(const char *p, size_t *n_groups)
{
    size_t i = csm_count_digits(p);
    *n_groups = 0;
    if (i < 1 || i > 3)
        return 0;
    while (p[i] == '.' && csm_count_digits(p + i + 1) == 3) {
        i += 4;
        ++*n_groups;
    }
    const size_t n_cents = p[i] == ',' ? csm_count_digits(p + i + 1) : 0;
    const bool is_so = (*n_groups >= 2 && p[i] != '.') || (*n_groups >= 1 && n_cents == 2);
    return is_so ? i : 0;
}

static void add_digits(struct csm_number *n, const char *p, size_t count)
{
    for (size_t i = 0; i < count && n->n_digits < sizeof n->digits; i++)
        n->digits[n->n_digits++] = p[i];
}

/* Indian groups, 12,34,567: all of two but the last. */
static size_t indian_groups(const char *p)
{
    size_t i = csm_count_digits(p), n_pairs = 0;
    if (i < 1 || i > 2)
        return 0;
    while (p[i] == ',' && csm_count_digits(p + i + 1) == 2) {
        i += 3;
        n_pairs++;
    }
    return n_pairs > 0 && p[i] == ',' && csm_count_digits(p + i + 1) == 3 ? i + 4 : 0;
}

struct csm_number csm_number_read(const char *p)
{
    struct csm_number n = {0};
    size_t i = 0, n_groups, end;
    bool has_spaces = false;
    if ((end = point_groups(p, &n_groups)) > 0) {
        for (; i < end; i++)
            if (p[i] != '.')
                add_digits(&n, p + i, 1);
        n.has_groups = true;
        if (p[i] == ',' && csm_is_digit(p[i + 1])) {
            n.decimals = p + i + 1;
            n.n_decimals = csm_count_digits(n.decimals);
            i += 1 + n.n_decimals;
        }
        n.length = i;
        return n;
    }
    if ((end = indian_groups(p)) > 0) {
        for (; i < end; i++)
            if (p[i] != ',')
                add_digits(&n, p + i, 1);
        n.has_groups = true;
    } else {
        for (;;) {
            while (csm_is_digit(p[i]) && n.n_digits < sizeof n.digits)
                n.digits[n.n_digits++] = p[i++];
            const size_t gap = separator(p + i);
            if (gap == 0 || n.n_digits > 60 || !(n.has_groups || n.n_digits <= 3) ||
                csm_count_digits(p + i + gap) != 3)
                break;
            n.has_groups = true;
            has_spaces = gap > 1 && strncmp(p + i, "\xE2\x80\x99", 3) != 0;
            i += gap;
        }
    }
    const bool has_comma = has_spaces && p[i] == ',' && csm_count_digits(p + i + 1) != 3; /* 10 000,5 */
    if ((p[i] == '.' || has_comma) && csm_is_digit(p[i + 1])) {
        n.decimals = p + i + 1;
        n.n_decimals = csm_count_digits(n.decimals);
        i += 1 + n.n_decimals;
    }
    n.length = i;
    return n;
}

bool csm_number_is_one(const struct csm_number *n)
{
    return n->n_digits == 1 && n->digits[0] == '1' && n->n_decimals == 0;
}

bool csm_number_is_year(const struct csm_number *n)
{
    return n->n_digits == 4 && !n->has_groups && n->n_decimals == 0 &&
           (n->digits[0] == '1' || (n->digits[0] == '2' && n->digits[1] == '0')) &&
           !(n->digits[0] == '1' && n->digits[1] == '0');
}

void csm_say_number(struct csm_builder *out, const struct csm_number *n)
{
    csm_spell_cardinal(out, n->digits, n->n_digits);
    if (n->n_decimals > 0) {
        csm_builder_add_word(out, "point");
        csm_spell_digits(out, n->decimals, n->n_decimals);
    }
}

void csm_say_year_or_number(struct csm_builder *out, const struct csm_number *n)
{
    if (csm_number_is_year(n))
        csm_spell_year(out, n->digits);
    else
        csm_say_number(out, n);
}

const char *csm_magnitude(const char *p, bool with_money, size_t *length)
{
    static const struct {
        const char *written, *spoken;
        bool is_letter, is_money; /* directly after the number; only with money */
    } known[] = {
        {"thousand", "thousand", false, false}, {"million", "million", false, false},
        {"billion", "billion", false, false},   {"trillion", "trillion", false, false},
        {"hundred", "hundred", false, false},   {"lakh", "lakh", false, false},
        {"crore", "crore", false, false},       {"mln", "million", false, false},
        {"mn", "million", false, false},        {"bn", "billion", false, false},
        {"Bn", "billion", false, true},         {"mm", "million", false, true},
        {"Mio", "million", false, true},        {"Mrd", "billion", false, true},
        {"tn", "trillion", false, true},        {"mil", "million", false, true},
        {"K", "thousand", true, false},         {"k", "thousand", true, false},
        {"M", "million", true, false},          {"MM", "million", true, true},
        {"m", "million", true, true},           {"B", "billion", true, true},
        {"b", "billion", true, true},           {"T", "trillion", true, true},
    };
    const size_t space = *p == ' ' || *p == '-' ? 1 : strncmp(p, "\xC2\xA0", 2) == 0 ? 2 : 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (known[i].is_money && !with_money)
            continue;
        const size_t at = known[i].is_letter ? 0 : space;
        if (csm_ends_word(p + at, known[i].written)) {
            *length = at + strlen(known[i].written);
            return known[i].spoken;
        }
    }
    return NULL;
}

size_t csm_range_dash(const char *p)
{
    const size_t before = *p == ' ';
    size_t n =
        p[before] == '-' ? 1
        : strncmp(p + before, "\xE2\x80\x93", 3) == 0 || strncmp(p + before, "\xE2\x80\x91", 3) == 0
            ? 3
            : 0;
    if (n == 0)
        return 0;
    n += before;
    return (before != 0) == (p[n] == ' ') ? n + before : 0;
}

int csm_group_value(struct csm_group g, int most)
{
    int value = g.n > 0 ? 0 : -1;
    for (size_t i = 0; i < g.n && value <= most; i++)
        value = 10 * value + g.p[i] - '0';
    return value <= most ? value : -1;
}

void csm_say_int(struct csm_builder *out, int value)
{
    char digits[16];
    csm_spell_cardinal(out, digits, (size_t)snprintf(digits, sizeof digits, "%d", value));
}

void csm_say_nth(struct csm_builder *out, int value)
{
    char digits[16];
    csm_spell_ordinal(out, digits, (size_t)snprintf(digits, sizeof digits, "%d", value));
}

void csm_say_digit_groups(struct csm_builder *out, const char *p, size_t n)
{
    bool has_group = false;
    for (size_t i = 0; i < n;) {
        size_t count = 0;
        while (i + count < n && csm_is_digit(p[i + count]))
            count++;
        if (count > 0 && has_group)
            csm_builder_add_text(out, ",");
        csm_spell_digits(out, p + i, count);
        has_group = has_group || count > 0;
        i += count > 0 ? count : 1;
    }
}

void csm_say_characters(struct csm_builder *out, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (csm_is_digit(p[i]))
            csm_spell_digits(out, p + i, 1);
        else
            csm_builder_add_word(out, (const char[]){p[i], '\0'});
    }
}
