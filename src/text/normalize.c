/* SPDX-License-Identifier: Apache-2.0
 *
 * normalize.c - numbers and symbols as words.
 *
 * One pass: at each place the rules are tried in order, and the first that
 * applies writes its words and says how many bytes it took. What no rule takes is
 * copied. */
#include <csm/text.h>

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/builder.h"
#include "base/error.h"
#include "text/abbreviations.h"
#include "text/spell.h"
#include "base/utf8.h"


/* A rule: bytes taken of the text at `at` > 0, or 0 when it does not apply. */
typedef size_t rule(struct csm_builder *out, const char *text, size_t at);

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return isalpha((unsigned char)c) || (unsigned char)c >= 0x80;
}

static size_t count_digits(const char *p)
{
    size_t n = 0;
    while (is_digit(p[n]))
        n++;
    return n;
}

/* ---- numbers ------------------------------------------------------------ */

struct number {
    char digits[64]; /* of the whole part, without the commas */
    size_t n_digits;
    const char *decimals;
    size_t n_decimals;
    bool has_commas;
    size_t length; /* in the text */
};

/* 1,234,567.89 at p; commas count only between groups of three. */
static struct number read_number(const char *p)
{
    struct number n = {0};
    size_t i = 0;
    for (;;) {
        while (is_digit(p[i]) && n.n_digits < sizeof n.digits)
            n.digits[n.n_digits++] = p[i++];
        if (p[i] == ',' && n.n_digits <= 60 && (n.has_commas || n.n_digits <= 3) &&
            count_digits(p + i + 1) == 3) {
            n.has_commas = true;
            i++;
            continue;
        }
        break;
    }
    if (p[i] == '.' && is_digit(p[i + 1])) {
        n.decimals = p + i + 1;
        n.n_decimals = count_digits(n.decimals);
        i += 1 + n.n_decimals;
    }
    n.length = i;
    return n;
}

static bool is_one(const struct number *n)
{
    return n->n_digits == 1 && n->digits[0] == '1' && n->n_decimals == 0;
}

static bool is_year(const struct number *n)
{
    return n->n_digits == 4 && !n->has_commas && n->n_decimals == 0 &&
           (n->digits[0] == '1' || (n->digits[0] == '2' && n->digits[1] == '0')) &&
           !(n->digits[0] == '1' && n->digits[1] == '0');
}

static void speak_number(struct csm_builder *out, const struct number *n)
{
    csm_spell_cardinal(out, n->digits, n->n_digits);
    if (n->n_decimals > 0) {
        csm_builder_add_word(out, "point");
        csm_spell_digits(out, n->decimals, n->n_decimals);
    }
}

static const struct {
    const char *symbol, *one, *many, *cent, *cents;
} currencies[] = {{"$", "dollar", "dollars", "cent", "cents"},
                  {"\xC2\xA3", "pound", "pounds", "penny", "pence"},
                  {"\xE2\x82\xAC", "euro", "euros", "cent", "cents"},
                  {"\xC2\xA5", "yen", "yen", "sen", "sen"}};

static const char *const magnitudes[] = {"thousand", "million", "billion", "trillion"};

/* $5.20, $3 million */
static size_t money(struct csm_builder *out, const char *text, size_t at)
{
    const char *p = text + at;
    for (size_t c = 0; c < sizeof currencies / sizeof *currencies; c++) {
        size_t symbol = strlen(currencies[c].symbol);
        if (strncmp(p, currencies[c].symbol, symbol) != 0 || !is_digit(p[symbol]))
            continue;
        struct number n = read_number(p + symbol);
        size_t taken = symbol + n.length;
        for (size_t m = 0; m < sizeof magnitudes / sizeof *magnitudes; m++) {
            size_t length = strlen(magnitudes[m]);
            if (p[taken] == ' ' && strncmp(p + taken + 1, magnitudes[m], length) == 0 &&
                !is_letter(p[taken + 1 + length])) {
                speak_number(out, &n);
                csm_builder_add_word(out, magnitudes[m]);
                csm_builder_add_word(out, currencies[c].many);
                return taken + 1 + length;
            }
        }
        bool has_cents = n.n_decimals == 2;
        struct number whole = n;
        if (has_cents)
            whole.n_decimals = 0;
        speak_number(out, &whole);
        csm_builder_add_word(out, is_one(&whole) ? currencies[c].one : currencies[c].many);
        if (has_cents && strncmp(n.decimals, "00", 2) != 0) {
            size_t zero = n.decimals[0] == '0';
            bool is_one_cent = zero && n.decimals[1] == '1';
            csm_builder_add_word(out, "and");
            csm_spell_cardinal(out, n.decimals + zero, 2 - zero);
            csm_builder_add_word(out, is_one_cent ? currencies[c].cent : currencies[c].cents);
        }
        return taken;
    }
    return 0;
}

/* 10:30, 9:00; what follows (am, pm) is left to the abbreviations. */
static size_t time_of_day(struct csm_builder *out, const char *text, size_t at)
{
    const char *p = text + at;
    size_t hours = count_digits(p);
    if (hours < 1 || hours > 2 || p[hours] != ':' || count_digits(p + hours + 1) != 2)
        return 0;
    const char *minutes = p + hours + 1;
    size_t zero = hours == 2 && p[0] == '0';
    csm_spell_cardinal(out, p + zero, hours - zero);
    const char *rest = minutes + 2;
    while (*rest == ' ')
        rest++;
    bool has_half = strchr("aApP", *rest) != NULL && *rest != '\0' &&
                    (rest[1] == 'm' || rest[1] == 'M' || rest[1] == '.');
    if (strncmp(minutes, "00", 2) == 0) {
        if (!has_half)
            csm_builder_add_word(out, "o'clock");
    } else if (minutes[0] == '0') {
        csm_builder_add_word(out, "oh");
        csm_spell_digits(out, minutes + 1, 1);
    } else {
        csm_spell_cardinal(out, minutes, 2);
    }
    return hours + 3;
}

/* 555-1234, 555-123-4567 and 1-555-123-4567, digit by digit. */
static size_t phone(struct csm_builder *out, const char *text, size_t at)
{
    const char *p = text + at;
    const size_t country = p[0] == '1' && p[1] == '-' ? 2 : 0;
    const char *area = p + country;
    size_t taken = 0;
    if (count_digits(area) != 3 || area[3] != '-')
        return 0;
    if (country == 0 && count_digits(area + 4) == 4)
        taken = 8;
    else if (count_digits(area + 4) == 3 && area[7] == '-' && count_digits(area + 8) == 4)
        taken = country + 12;
    for (size_t i = 0; i < taken;) {
        size_t n = count_digits(p + i);
        csm_spell_digits(out, p + i, n);
        i += n;
        if (i < taken) {
            csm_builder_add_text(out, ",");
            i++;
        }
    }
    return taken;
}

static const struct {
    const char *text, *spoken;
} fractions[] = {{"1/2", "one half"}, {"1/3", "one third"}, {"2/3", "two thirds"},
                 {"1/4", "one quarter"}, {"3/4", "three quarters"}};

static size_t fraction(struct csm_builder *out, const char *text, size_t at)
{
    for (size_t i = 0; i < sizeof fractions / sizeof *fractions; i++)
        if (strncmp(text + at, fractions[i].text, 3) == 0 && !is_digit(text[at + 3]) &&
            text[at + 3] != '/') {
            csm_builder_add_word(out, fractions[i].spoken);
            return 3;
        }
    return 0;
}

static const struct {
    const char *symbol, *one, *many;
} units[] = {
    {"km/h", "kilometer per hour", "kilometers per hour"},
    {"mph", "mile per hour", "miles per hour"},
    {"km", "kilometer", "kilometers"},
    {"cm", "centimeter", "centimeters"},
    {"mm", "millimeter", "millimeters"},
    {"kg", "kilogram", "kilograms"},
    {"mg", "milligram", "milligrams"},
    {"ml", "milliliter", "milliliters"},
    {"lbs", "pound", "pounds"},
    {"lb", "pound", "pounds"},
    {"ft", "foot", "feet"},
    {"kHz", "kilohertz", "kilohertz"},
    {"Hz", "hertz", "hertz"},
    {"GB", "gigabyte", "gigabytes"},
    {"MB", "megabyte", "megabytes"},
    {"kB", "kilobyte", "kilobytes"},
    {"ms", "millisecond", "milliseconds"},
    {"\xC2\xB0" "C", "degree Celsius", "degrees Celsius"},
    {"\xC2\xB0" "F", "degree Fahrenheit", "degrees Fahrenheit"},
    {"\xC2\xB0", "degree", "degrees"},
    {"%", "percent", "percent"},
};

/* The unit after a number, with or without a space between; bytes taken. */
static size_t unit(struct csm_builder *out, const char *p, bool is_singular)
{
    size_t space = *p == ' ' ? 1 : 0;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t length = strlen(units[i].symbol);
        if (strncmp(p + space, units[i].symbol, length) == 0 && !is_letter(p[space + length]) &&
            !is_digit(p[space + length])) {
            csm_builder_add_word(out, is_singular ? units[i].one : units[i].many);
            return space + length;
        }
    }
    return 0;
}

static bool has_suffix(const char *p, const char *suffix)
{
    size_t n = strlen(suffix);
    return strncmp(p, suffix, n) == 0 && !is_letter(p[n]) && !is_digit(p[n]);
}

static void speak_whole(struct csm_builder *out, const struct number *n)
{
    if (is_year(n))
        csm_spell_year(out, n->digits);
    else
        speak_number(out, n);
}

/* 1990s -> nineteen nineties, 747s -> ... sevens */
static void plural(struct csm_builder *out, const struct number *n)
{
    speak_whole(out, n);
    if (out->has_failed)
        return;
    const char last = out->text[out->length - 1];
    out->length -= last == 'y';
    csm_builder_add_text(out, last == 'y' ? "ies" : last == 'x' ? "es" : "s");
}

static size_t number(struct csm_builder *out, const char *text, size_t at)
{
    const char *p = text + at;
    bool starts_word = at == 0 || !(is_letter(text[at - 1]) || is_digit(text[at - 1]));
    size_t sign = *p == '-' && starts_word && is_digit(p[1]) ? 1 : 0;
    if (!is_digit(p[sign]))
        return 0;
    if (sign)
        csm_builder_add_word(out, "minus");
    else if (out->length > 1 && out->text[out->length - 1] == '-' &&
             is_letter(out->text[out->length - 2]))
        out->text[out->length - 1] = ' '; /* COVID-19 */
    struct number n = read_number(p + sign);
    const char *after = p + sign + n.length;
    size_t taken = sign + n.length;
    if (n.n_decimals == 0 && (has_suffix(after, "st") || has_suffix(after, "nd") ||
                              has_suffix(after, "rd") || has_suffix(after, "th"))) {
        csm_spell_ordinal(out, n.digits, n.n_digits);
        return taken + 2;
    }
    if (n.n_decimals == 0 && has_suffix(after, "s")) {
        plural(out, &n);
        return taken + 1;
    }
    speak_whole(out, &n);
    size_t unit_length = unit(out, after, is_one(&n));
    taken += unit_length;
    if (unit_length == 0 && (*after == '-' || strncmp(after, "\xE2\x80\x93", 3) == 0)) {
        size_t dash = *after == '-' ? 1 : 3;
        if (is_digit(after[dash])) { /* 10-20 */
            csm_builder_add_word(out, "to");
            taken += dash;
        }
    } else if (unit_length == 0 && *after == '/' && is_digit(after[1])) {
        csm_builder_add_text(out, " "); /* 24/7, 3/4/2021 */
        taken++;
    } else if (unit_length == 0 && is_letter(*after)) {
        csm_builder_add_text(out, " "); /* 3D */
    }
    return taken;
}

/* ---- words and symbols -------------------------------------------------- */

/* Dr. Smith, 10 a.m.; the full stop goes, unless a sentence may end there. */
static size_t abbreviation(struct csm_builder *out, const char *text, size_t at)
{
    const char *p = text + at;
    if (!is_letter(*p) || (at > 0 && (is_letter(text[at - 1]) || text[at - 1] == '.')))
        return 0;
    size_t n = 0;
    while (is_letter(p[n]) || (p[n] == '.' && is_letter(p[n + 1])))
        n++;
    const struct csm_abbreviation *found = p[n] == '.' ? csm_abbreviation_find(p, n) : NULL;
    if (found == NULL || found->spoken == NULL)
        return 0;
    if (strcmp(found->text, "No") == 0 && !(p[n + 1] == ' ' && is_digit(p[n + 2])))
        return 0; /* "No." is a sentence */
    if (strcmp(found->text, "St") == 0 && !(p[n + 1] == ' ' && isupper((unsigned char)p[n + 2]))) {
        csm_builder_add_word(out, "Street");
        return p[n + 1] == '\0' ? n : n + 1;
    }
    csm_builder_add_word(out, found->spoken);
    bool ends_text = p[n + 1] == '\0' || (p[n + 1] == ' ' && isupper((unsigned char)p[n + 2]));
    return found->may_end && ends_text ? n : n + 1;
}

/* 10pm, 10 am: the letters alone would be read as a word. */
static size_t half_of_day(struct csm_builder *out, const char *text, size_t at)
{
    static const struct {
        const char *text, *spoken;
    } halves[] = {{"am", "a m"}, {"pm", "p m"}, {"AM", "a m"}, {"PM", "p m"}};
    size_t before = at;
    while (before > 0 && text[before - 1] == ' ')
        before--;
    if (before == 0 || !is_digit(text[before - 1]))
        return 0;
    for (size_t i = 0; i < sizeof halves / sizeof *halves; i++)
        if (has_suffix(text + at, halves[i].text)) {
            csm_builder_add_word(out, halves[i].spoken);
            return 2;
        }
    return 0;
}

static const struct {
    const char *symbol, *spoken;
} symbols[] = {{"&", "and"},  {"+", "plus"},    {"=", "equals"}, {"@", "at"},
               {"%", "percent"}, {"#", "number"}, {"\xC3\x97", "times"}, {"\xC3\xB7", "divided by"}};

static size_t symbol(struct csm_builder *out, const char *text, size_t at)
{
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        size_t n = strlen(symbols[i].symbol);
        if (strncmp(text + at, symbols[i].symbol, n) == 0) {
            bool is_sharp = text[at] == '#' && at > 0 && is_letter(text[at - 1]); /* C# */
            csm_builder_add_word(out, is_sharp ? "sharp" : symbols[i].spoken);
            if (is_letter(text[at + n]) || is_digit(text[at + n]))
                csm_builder_add_text(out, " ");
            return n;
        }
    }
    return 0;
}

/* Written differently, meant the same. */
static const struct {
    const char *from, *to;
} replacements[] = {
    {"\xE2\x80\x99", "'"},    /* right single quote */
    {"\xE2\x80\x98", "'"},    /* left single quote */
    {"\xE2\x80\x9C", "\""},   /* left double quote */
    {"\xE2\x80\x9D", "\""},   /* right double quote */
    {"\xE2\x80\xA6", "..."},  /* ellipsis */
    {"\xC2\xA0", " "},        /* no-break space */
    {"*", ""},                 /* emphasis */
    {"_", " "},
    {"~", ""},
    {"^", ""},
    {"|", ","},
    {"\\", " "},
};

static size_t replacement(struct csm_builder *out, const char *text, size_t at)
{
    for (size_t i = 0; i < sizeof replacements / sizeof *replacements; i++) {
        size_t n = strlen(replacements[i].from);
        if (strncmp(text + at, replacements[i].from, n) == 0) {
            csm_builder_add_text(out, replacements[i].to);
            return n;
        }
    }
    return 0;
}

/* A pause: brackets and long dashes become a comma, where there is none. */
static size_t pause(struct csm_builder *out, const char *text, size_t at)
{
    const char *p = text + at;
    size_t n = strchr("()[]{}<>", *p) != NULL ? 1 : 0;
    if (strncmp(p, "\xE2\x80\x93", 3) == 0 || strncmp(p, "\xE2\x80\x94", 3) == 0)
        n = 3;
    if (n == 0)
        return 0;
    const char *next = p + n;
    while (*next == ' ')
        next++;
    while (out->length > 0 && !out->has_failed && out->text[out->length - 1] == ' ')
        out->text[--out->length] = '\0';
    bool is_needed = out->length > 0 && strchr(".,;:!?", out->text[out->length - 1]) == NULL &&
                     *next != '\0' && strchr(".,;:!?)", *next) == NULL;
    if (is_needed)
        csm_builder_add_text(out, ",");
    bool is_close = is_letter(p[n]) || is_digit(p[n]) || p[n] == '$';
    if (is_close && out->length > 0)
        csm_builder_add_text(out, " ");
    return n;
}

/* U+2600..U+27BF, U+FE0F, U+200D and everything from U+1F000 on. */
static size_t emoji(struct csm_builder *out, const char *text, size_t at)
{
    (void)out;
    const unsigned char *p = (const unsigned char *)text + at;
    if (p[0] >= 0xF0)
        return 4;
    if (p[0] != 0xE2 && p[0] != 0xEF)
        return 0;
    unsigned code = (p[0] & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu);
    return (code >= 0x2600 && code <= 0x27BF) || code == 0xFE0F || code == 0x200D ? 3 : 0;
}

static size_t white_space(struct csm_builder *out, const char *text, size_t at)
{
    size_t n = 0;
    while (text[at + n] != '\0' && strchr(" \t\r\n", text[at + n]) != NULL)
        n++;
    if (n > 0 && out->length > 0 && !out->has_failed && out->text[out->length - 1] != ' ')
        csm_builder_add_text(out, " ");
    return n;
}

csm_status csm_text_normalize(const char *text, char **out, csm_error *err)
{
    static rule *const rules[] = {money,        time_of_day, phone,       fraction, number,
                                  abbreviation, half_of_day, symbol,      pause,    replacement,
                                  emoji,        white_space};
    size_t n_bytes = strlen(text), n_valid = csm_utf8_valid(text, n_bytes);
    if (n_valid < n_bytes)
        return csm_fail(err, CSM_BAD_ARG, "text: not UTF-8 at byte %zu", n_valid);
    struct csm_builder built = {0};
    for (size_t at = 0; text[at] != '\0';) {
        size_t taken = 0;
        for (size_t i = 0; taken == 0 && i < sizeof rules / sizeof *rules; i++)
            taken = rules[i](&built, text, at);
        if (taken == 0) {
            csm_builder_add(&built, text + at, 1);
            taken = 1;
        }
        at += taken;
    }
    while (built.length > 0 && built.text[built.length - 1] == ' ')
        built.text[--built.length] = '\0';
    char *normalized = csm_builder_take(&built);
    if (normalized == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "text: %zu bytes", strlen(text));
    *out = normalized;
    return CSM_OK;
}
