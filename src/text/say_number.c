/* SPDX-License-Identifier: Apache-2.0
 *
 * say_number.c - numbers with what stands around them: signs, ordinals, plurals,
 * magnitudes, units, ranges, fractions. */
#include <ctype.h>
#include <string.h>

#include "text/number.h"
#include "text/spell.h"

/* 1990s -> nineteen nineties, 747s -> ... sevens */
static void say_plural(struct csm_builder *out, const struct csm_number *n)
{
    const bool is_hundred = n->n_digits == 3 && strncmp(n->digits, "100", 3) == 0;
    const bool is_thousand = n->n_digits == 4 && strncmp(n->digits, "1000", 4) == 0;
    if (is_hundred || is_thousand) {
        csm_builder_add_word(out, is_hundred ? "hundreds" : "thousands");
        return;
    }
    csm_say_year_or_number(out, n);
    if (out->has_failed)
        return;
    const char last = out->text[out->length - 1];
    out->length -= last == 'y';
    csm_builder_add_text(out, last == 'y' ? "ies" : last == 'x' ? "es" : "s");
}

/* The 4K of screens is no number of thousands. */
static bool is_screen(const char *p)
{
    static const char *const words[] = {"TV",      "TVs",     "video",      "videos",
                                        "monitor", "display", "resolution", "screen",
                                        "footage", "UHD",     "HDR",        "camera"};
    for (size_t i = 0; *p == ' ' && i < sizeof words / sizeof *words; i++)
        if (csm_ends_word(p + 1, words[i]))
            return true;
    return false;
}

/* 2.3B, and 7B before what is counted in billions, 1T tokens; 2B is else a room, 1.5T a magnet. */
static bool is_many(const char *p, const char *letter, const struct csm_number *n)
{
    static const char *const counted[] = {
        "parameter", "parameters", "param", "params", "people", "users",  "tokens",
        "views",     "downloads",  "model", "models", "years",  "dollars"};
    if (!csm_ends_word(p, letter))
        return false;
    for (size_t i = 0; p[1] == ' ' && i < sizeof counted / sizeof *counted; i++)
        if (csm_ends_word(p + 2, counted[i]))
            return true;
    return n->n_decimals > 0 && *letter == 'B';
}

/* A magnitude after a number, spoken; bytes taken. */
static size_t say_magnitude(struct csm_builder *out, const char *after, const struct csm_number *n)
{
    size_t length = 0;
    const char *magnitude = csm_magnitude(after, false, &length);
    if (magnitude == NULL && (is_many(after, "B", n) || is_many(after, "T", n))) {
        magnitude = *after == 'B' ? "billion" : "trillion";
        length = 1;
    }
    if (magnitude == NULL || (*after == 'K' && is_screen(after + 1)))
        return 0;
    csm_builder_add_word(out, magnitude);
    return length;
}

/* 5' 10", 6'2": feet and inches. */
static bool say_height(struct csm_builder *out, const struct csm_found *found)
{
    const int feet = csm_group_value(csm_group(found, 1), 999);
    const int inches = csm_group_value(csm_group(found, 2), 59);
    if (feet < 0 || inches < 0)
        return false;
    const bool is_time = inches > 11; /* 1'23" */
    csm_say_int(out, feet);
    csm_builder_add_word(out, is_time ? (feet == 1 ? "minute" : "minutes") : feet == 1 ? "foot" : "feet");
    csm_say_int(out, inches);
    csm_builder_add_word(out, is_time ? "seconds" : inches == 1 ? "inch" : "inches");
    return true;
}

/* The unit that stands behind what a pattern found. */
static void say_unit_behind(struct csm_builder *out, const struct csm_found *found,
                            bool is_singular)
{
    *found->n_more = csm_say_unit(out, found->text + found->bounds[1], is_singular);
}

/* .5, -.5 */
static bool say_below_one(struct csm_builder *out, const struct csm_found *found)
{
    if (csm_group(found, 1).n > 0)
        csm_builder_add_word(out, "minus");
    csm_builder_add_word(out, "point");
    csm_spell_digits(out, csm_group(found, 2).p, csm_group(found, 2).n);
    say_unit_behind(out, found, false);
    return true;
}

/* 40 degrees 42' 46" N, 74.006 degrees W: an angle, and where it points. */
static bool say_angle(struct csm_builder *out, const struct csm_found *found)
{
    static const char *const names[] = {"degree", "minute", "second"};
    static const char *const points[] = {"North", "South", "East", "West"};
    for (size_t i = 0; i < 3; i++) {
        const struct csm_group part = csm_group(found, i + 1);
        if (part.n == 0)
            continue;
        const struct csm_number n = csm_number_read(part.p);
        csm_say_number(out, &n);
        csm_builder_add_word(out, names[i]);
        csm_builder_add_text(out, csm_number_is_one(&n) ? "" : "s");
    }
    for (size_t i = 0; csm_group(found, 4).n > 0 && i < 4; i++)
        if (*points[i] == *csm_group(found, 4).p)
            csm_builder_add_word(out, points[i]);
    return true;
}

/* Whether a quote is open at text[at], a " or a ', by the signs before it in its paragraph: a sign
 * behind a digit opens none, nor does a ' behind a letter or within a word. Of a paragraph that
 * begins farther off than this looks, one may be. */
static bool is_quoted(const char *text, size_t at)
{
    enum { FAR = 1000 };
    size_t begin = at;
    while (begin > 0 && at - begin < FAR && (text[begin - 1] != '\n' || text[begin] != '\n'))
        begin--;
    bool is_open = at - begin == FAR;
    for (size_t i = is_open ? at : begin; i < at; i++) {
        const bool opens = text[at] == '"' && strncmp(text + i, "``", 2) == 0; /* as TeX has it */
        is_open = is_open || opens;
        if (text[i] != text[at])
            continue;
        const char before = i > 0 ? text[i - 1] : ' ';
        const bool is_apostrophe = text[at] == '\'' && csm_is_letter(before);
        if (is_open)
            is_open = is_apostrophe && csm_is_letter(text[i + 1]);
        else
            is_open = !csm_is_digit(before) && !is_apostrophe;
    }
    return is_open;
}

/* Whether the sign at text[at] is one of inches or feet: a quote's end looks the same. */
static bool is_inch(const char *text, size_t at)
{
    return (text[at] != '"' && text[at] != '\'') || !is_quoted(text, at);
}

/* "by" between 8.5" and x 11"; bytes taken. */
static size_t say_by(struct csm_builder *out, const char *p)
{
    const size_t space = *p == ' ';
    const size_t sign = p[space] == 'x' ? 1 : strncmp(p + space, "\xC3\x97", 2) == 0 ? 2 : 0;
    const size_t n = sign > 0 ? space + sign + (p[space + sign] == ' ') : 0;
    if (n == 0 || !csm_is_digit(p[n]))
        return 0;
    csm_builder_add_word(out, "by");
    return n;
}

/* 6.1" screen, 6' tall, 2" x 4" */
static bool say_inches(struct csm_builder *out, const struct csm_found *found)
{
    const struct csm_number n = csm_number_read(csm_group(found, 1).p);
    const struct csm_group mark = csm_group(found, 2);
    if (!is_inch(found->text, (size_t)(mark.p - found->text)))
        return false;
    const bool is_foot = *mark.p == '\'' || strncmp(mark.p, "\xE2\x80\xB2", 3) == 0;
    csm_say_number(out, &n);
    if (csm_number_is_one(&n) || csm_follows_article(found->text, found->bounds[0]))
        csm_builder_add_word(out, is_foot ? "foot" : "inch");
    else
        csm_builder_add_word(out, is_foot ? "feet" : "inches");
    *found->n_more = say_by(out, found->text + found->bounds[1]);
    return true;
}

/* One half, two thirds, five eighths. */
static void say_parts(struct csm_builder *out, int n, int of)
{
    csm_say_int(out, n);
    if (of == 2) {
        csm_builder_add_word(out, n == 1 ? "half" : "halves");
    } else if (of == 4) {
        csm_builder_add_word(out, n == 1 ? "quarter" : "quarters");
    } else {
        csm_say_nth(out, of);
        csm_builder_add_text(out, n == 1 ? "" : "s");
    }
}

/* 1/2, 5/8, 2 1/2, 1/10th; 8/10 and 95/100 are marks. What else has a slash is said as two numbers. */
static bool say_fraction(struct csm_builder *out, const struct csm_found *found)
{
    const struct csm_group whole = csm_group(found, 1);
    const bool is_told = csm_group(found, 4).n > 0;
    const int n = csm_group_value(csm_group(found, 2), 999);
    const int of = csm_group_value(csm_group(found, 3), is_told ? 1000 : 100);
    if (n < 1 || of < 2)
        return false;
    const bool has_stars = strncmp(found->text + found->bounds[1], " star", 5) == 0;
    if (whole.n == 0 && !is_told && (of == 10 || of == 100 || has_stars) && n <= of) {
        csm_say_int(out, n);
        csm_builder_add_word(out, "out of");
        csm_say_int(out, of);
        return true;
    }
    const bool is_common = is_told || of <= 6 || of == 8 || of == 16 || of == 32 || of == 64;
    if (!is_common || n >= of)
        return false;
    if (whole.n > 0) {
        csm_say_int(out, csm_group_value(whole, 999));
        csm_builder_add_word(out, "and");
    }
    say_parts(out, n, of);
    const char *after = found->text + found->bounds[1];
    if (*after == '"' && is_inch(found->text, found->bounds[1])) { /* 3/4" */
        csm_builder_add_word(out, whole.n == 0 ? "inch" : "inches");
        *found->n_more = 1 + say_by(out, after + 1);
    } else {
        say_unit_behind(out, found, whole.n == 0);
    }
    return true;
}

/* 1/250 s: how long a shutter is open. */
static bool say_part_of_second(struct csm_builder *out, const struct csm_found *found)
{
    csm_builder_add_word(out, "one");
    csm_spell_ordinal(out, csm_group(found, 1).p, csm_group(found, 1).n);
    csm_builder_add_word(out, "of a second");
    return true;
}

/* U+00BC and its kin, after a number or alone. */
static bool say_vulgar(struct csm_builder *out, const struct csm_found *found)
{
    static const struct {
        const char *written;
        int n, of;
    } known[] = {{"\xC2\xBC", 1, 4},     {"\xC2\xBD", 1, 2},     {"\xC2\xBE", 3, 4},
                 {"\xE2\x85\x93", 1, 3}, {"\xE2\x85\x94", 2, 3}, {"\xE2\x85\x95", 1, 5},
                 {"\xE2\x85\x96", 2, 5}, {"\xE2\x85\x97", 3, 5}, {"\xE2\x85\x98", 4, 5},
                 {"\xE2\x85\x99", 1, 6}, {"\xE2\x85\x9A", 5, 6}, {"\xE2\x85\x9B", 1, 8},
                 {"\xE2\x85\x9C", 3, 8}, {"\xE2\x85\x9D", 5, 8}, {"\xE2\x85\x9E", 7, 8}};
    const struct csm_group whole = csm_group(found, 1), part = csm_group(found, 2);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strncmp(part.p, known[i].written, part.n) == 0) {
            if (whole.n > 0) {
                csm_spell_cardinal(out, whole.p, whole.n);
                csm_builder_add_word(out, "and");
            }
            say_parts(out, known[i].n, known[i].of);
            say_unit_behind(out, found, whole.n == 0);
            return true;
        }
    return false;
}

/* Whether what stands before `at` lets a minus begin: nothing, a space, an opening. */
static bool starts_word(const char *text, size_t at)
{
    return at == 0 || !(csm_is_letter(text[at - 1]) || csm_is_digit(text[at - 1]) ||
                        text[at - 1] == ')' || text[at - 1] == '-');
}

static size_t sign_at(const char *text, size_t at)
{
    const char *p = text + at;
    const bool is_apart = at == 0 || text[at - 1] == '(' || text[at - 1] == '\n' ||
                          (text[at - 1] == ' ' && (at == 1 || !csm_is_digit(text[at - 2])));
    if (!starts_word(text, at))
        return 0;
    return *p == '-' && csm_is_digit(p[1])                                        ? 1
           : strncmp(p, "\xE2\x88\x92", 3) == 0 && csm_is_digit(p[3])             ? 3
           : strncmp(p, "\xE2\x80\x93", 3) == 0 && csm_is_digit(p[3]) && is_apart ? 3 /* typeset */
                                                                                  : 0;
}

/* Whether the slash at text[at], between numbers, divides one by the other: 10/2 = 5. */
static bool is_quotient(const char *text, size_t at)
{
    const char *end = text + at + 1 + csm_count_digits(text + at + 1);
    return *(end + (*end == ' ')) == '=';
}

/* Whether n is less than the number at p: a range rises, normal = 60 - 100. */
static bool is_below(const struct csm_number *n, const char *p)
{
    const struct csm_number next = csm_number_read(p);
    return n->n_digits != next.n_digits ? n->n_digits < next.n_digits
                                        : memcmp(n->digits, next.digits, n->n_digits) < 0;
}

/* What joins the number n to the next thing, at text[at]: "to", "by", "times" or a space; bytes taken. */
static size_t say_joint(struct csm_builder *out, const struct csm_number *n, const char *text, size_t at,
                        bool is_in_name, bool is_per)
{
    const char *after = text + at;
    const size_t dash = csm_range_dash(after);
    if (dash > 0 && csm_is_digit(after[dash]) && !is_in_name) {
        const char *next = after + dash;
        const char *end = next + csm_count_digits(next), *behind = end + (*end == ' ');
        const char *result = *behind == '=' ? behind + 1 + (behind[1] == ' ') : NULL;
        const bool is_legend = result != NULL && csm_is_letter(result[0]) && csm_is_letter(result[1]);
        const bool is_variable = csm_is_letter(*end) && !csm_is_letter(end[1]); /* y = 2 - 3x */
        const bool is_term = is_variable || (*behind != '\0' && strchr("=+*/^", *behind) != NULL);
        const bool is_sum = !is_legend && /* 18-20 = good */
                            ((dash == 1 && result != NULL) ||
                             (*after == ' ' && (is_term || !is_below(n, next)) && csm_is_in_formula(text, at)));
        csm_builder_add_word(out, is_sum ? "minus" : "to");
        return dash;
    }
    if ((*after == 'x' || *after == 'X') && csm_is_digit(after[1])) { /* 1920x1080 */
        csm_builder_add_word(out, "by");
        return 1;
    }
    if (strncmp(after, " x ", 3) == 0 && csm_is_digit(after[3])) { /* 8.5 x 11 */
        csm_builder_add_word(out, "by");
        return 2;
    }
    const bool ends_word =
        after[0] != '\0' && (after[1] == '\0' || strchr(".,;:!?)-\n", after[1]) != NULL ||
                             (after[1] == ' ' && csm_is_letter(after[2])));
    if ((*after == 'x' || *after == 'X') && ends_word) { /* 3x faster; 3x + 1 has a variable */
        csm_builder_add_word(out, "times");
        return 1;
    }
    if (*after == '/' && csm_is_digit(after[1])) { /* 24/7, 3/4/2021; 5 l/100 km; 10/2 = 5 */
        if (is_per)
            csm_builder_add_word(out, "per");
        else if (is_quotient(text, at))
            csm_builder_add_word(out, "divided by");
        return 1;
    }
    return 0;
}

/* Whether a number at text[at] belongs to a name: M5V, i7-13700K. */
static bool follows_letter(const char *text, size_t at)
{
    const bool is_by = at > 1 && strchr("xX", text[at - 1]) != NULL && csm_is_digit(text[at - 2]);
    if (at > 0 && csm_is_letter(text[at - 1]) && (unsigned char)text[at - 1] < 0x80)
        return !is_by; /* 4x100m */
    size_t before = at > 1 && text[at - 1] == '-' ? at - 1 : 0;
    while (before > 0 && csm_is_digit(text[before - 1]))
        before--;
    return before > 0 && csm_is_letter(text[before - 1]);
}

/* 0,5 and 1,5 km have a comma for their point: a zero or a unit tells. [0,1] and 0,0 are two
 * numbers; `before` is the character before the number. */
static void read_comma(struct csm_number *n, const char *p, char before)
{
    const char *after = p + n->length;
    const size_t count = *after == ',' && n->n_decimals == 0 && !n->has_groups ? csm_count_digits(after + 1) : 0;
    const char *end = after + 1 + count;
    if (count == 0 || ((*end == ',' || *end == '.') && csm_is_digit(end[1])))
        return;
    struct csm_builder unit = {0};
    const bool is_pair = strchr("([{,:=", before) != NULL || strspn(after + 1, "0") == count;
    const bool is_zero = n->n_digits == 1 && *n->digits == '0' && count < 7 && !is_pair;
    size_t length;
    const bool is_so = is_zero || (count < 3 && (csm_say_unit(&unit, end, false) > 0 ||
                                                 csm_magnitude(end, false, &length) != NULL ||
                                                 strncmp(end, " Mio", 4) == 0 || strncmp(end, " Mrd", 4) == 0));
    csm_builder_clear(&unit);
    if (!is_so)
        return;
    n->decimals = after + 1;
    n->n_decimals = count;
    n->length += 1 + count;
}

/* Whether p, behind 80s, goes on as behind a decade: 80s music, 80s and 90s; not 30s of it. */
static bool is_decade(const char *digits, size_t n_digits, const char *p)
{
    static const char *const others[] = {"of", "and",   "to",    "or",  "before", "after", "then",    "at", "on",
                                         "it", "while", "until", "the", "a",      "if",    "between", "we", "I"};
    if (n_digits != 2 || *digits < '2' || digits[1] != '0' || *p != ' ' || !csm_is_letter(p[1]))
        return false;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (csm_ends_word(p + 1, others[i]))
            return false;
    return true;
}

/* Whether p, behind 1s, counts things: 1s and 0s, 10s of thousands. */
static bool counts(const char *p)
{
    const size_t joint = strncmp(p, " and ", 5) == 0 ? 5 : strncmp(p, " or ", 4) == 0 ? 4 : 0;
    const size_t n = joint > 0 ? csm_count_digits(p + joint) : 0;
    return (n > 0 && csm_ends_word(p + joint + n, "s")) || strncmp(p, " of thousand", 12) == 0 ||
           strncmp(p, " of million", 11) == 0 || strncmp(p, " of billion", 11) == 0;
}

/* Whether 45s at text[at] are seconds by the words around them; 80s music, 747s and 300s are not. */
static bool lasts(const char *text, size_t at, size_t n_digits)
{
    static const char *const words[] = {"in ",   "for ",   "after ", "every ", "within ", "took ", "takes ",
                                        "take ", "lasts ", "wait ",  "lasted ", "In ",    "For ",  "After ",
                                        "Wait ", "Every "};
    const char *p = text + at, *behind = p + n_digits + 1;
    const bool is_aircraft = n_digits == 3 && p[0] == '7' && p[2] == '7';
    const bool is_century = n_digits == 3 && p[0] != '1' && strncmp(p + 1, "00", 2) == 0;
    if (n_digits > 3 || is_aircraft || is_century || is_decade(p, n_digits, behind) || counts(behind))
        return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const size_t n = strlen(words[i]);
        if (at >= n && strncmp(p - n, words[i], n) == 0 && (at == n || !csm_is_letter(p[-(ptrdiff_t)n - 1])))
            return true;
    }
    return false;
}

/* Whether p begins with what makes a number an ordinal: 1st, 1ST, raised letters; its bytes. */
static size_t ordinal_ending(const char *p)
{
    static const char *const endings[] = {"st", "nd", "rd", "th", "ST", "ND", "RD", "TH",
                                          "\xCB\xA2\xE1\xB5\x97", "\xE2\x81\xBF\xE1\xB5\x88",
                                          "\xCA\xB3\xE1\xB5\x88", "\xE1\xB5\x97\xCA\xB0"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (csm_ends_word(p, endings[i]))
            return strlen(endings[i]);
    return 0;
}

/* Whether the d behind the number at text[at] makes it an ordinal, as lawyers write: 92d Congress,
 * 2d Cir., 631 F. 3d 213. */
static bool is_legal_nth(const struct csm_number *n, const char *text, size_t at)
{
    const char *p = text + at + n->length;
    static const char *const behind[] = {"Cir", "Cong", "Congress", "Sess", "Session",
                                         "Dist", "Dep", "Dept", "Ed", "ed"};
    const char last = n->digits[n->n_digits - 1];
    const bool is_teen = n->n_digits > 1 && n->digits[n->n_digits - 2] == '1';
    if (p[0] != 'd' || p[1] != ' ' || is_teen || (last != '2' && last != '3'))
        return false;
    const bool follows_point = at > 1 && (text[at - 1] == '.' || strncmp(text + at - 2, ". ", 2) == 0);
    const bool is_series = n->n_digits == 1 && follows_point &&
                           (csm_is_digit(p[2]) || csm_ends_word(p + 2, "at"));
    bool is_so = is_series || (n->n_digits > 1 && isupper((unsigned char)p[2]));
    for (size_t i = 0; i < sizeof behind / sizeof *behind; i++)
        is_so = is_so || csm_ends_word(p + 2, behind[i]);
    return is_so;
}

static size_t plural_ending(const char *p)
{
    return csm_ends_word(p, "s") ? 1 : 0;
}

/* "to" between 6th-3rd and between 1960s-80s: a dash at p, and a number with another ending; bytes taken. */
static size_t say_range(struct csm_builder *out, const char *p, size_t (*ending)(const char *p))
{
    const size_t dash = csm_range_dash(p), n = dash > 0 ? csm_count_digits(p + dash) : 0;
    if (n == 0 || ending(p + dash + n) == 0)
        return 0;
    csm_builder_add_word(out, "to");
    return dash;
}

/* 4.5/5, 8.2/10: marks. */
static bool say_mark(struct csm_builder *out, const struct csm_found *found)
{
    const struct csm_number n = csm_number_read(csm_group(found, 1).p);
    csm_say_number(out, &n);
    csm_builder_add_word(out, "out of");
    csm_spell_cardinal(out, csm_group(found, 2).p, csm_group(found, 2).n);
    return true;
}

/* 120/80 mmHg, BP 120/80 */
static bool say_pressure(struct csm_builder *out, const struct csm_found *found)
{
    csm_spell_cardinal(out, csm_group(found, 1).p, csm_group(found, 1).n);
    csm_builder_add_word(out, "over");
    csm_spell_cardinal(out, csm_group(found, 2).p, csm_group(found, 2).n);
    say_unit_behind(out, found, false);
    return true;
}

static size_t number(struct csm_builder *out, const char *text, size_t at)
{
    const char *p = text + at;
    const size_t sign = sign_at(text, at);
    if (!csm_is_digit(p[sign]))
        return 0;
    if (sign > 0)
        csm_builder_add_word(out, "minus");
    else
        csm_part_hyphen(out);
    struct csm_number n = csm_number_read(p + sign);
    read_comma(&n, p + sign, at > 0 ? text[at - 1] : ' ');
    const char *after = p + sign + n.length;
    size_t taken = sign + n.length;
    const size_t n_ending = n.n_decimals == 0 ? ordinal_ending(after) : 0;
    if (n_ending > 0) {
        csm_spell_ordinal(out, n.digits, n.n_digits);
        return taken + n_ending + say_range(out, after + n_ending, ordinal_ending);
    }
    const bool is_factor = at > 1 && strncmp(text + at - 2, "= ", 2) == 0; /* P = 4s */
    if (n.n_decimals == 0 && sign == 0 && is_legal_nth(&n, text, at)) {
        csm_spell_ordinal(out, n.digits, n.n_digits);
        return taken + 1;
    }
    if (csm_ends_word(after, "s") && !is_factor) { /* 80s; 9.58s; for 45s */
        const bool is_time = n.n_decimals > 0 || lasts(text, at, n.n_digits);
        if (is_time)
            csm_say_number(out, &n);
        else
            say_plural(out, &n);
        if (is_time)
            csm_builder_add_word(out, csm_number_is_one(&n) ? "second" : "seconds");
        return taken + 1 + (is_time ? 0 : say_range(out, after + 1, plural_ending));
    }
    csm_say_year_or_number(out, &n);
    const bool is_docket = at >= 4 && strncmp(text + at - 4, "No. ", 4) == 0; /* No. 11-345 */
    const bool is_in_name = is_docket || follows_letter(text, at);
    const bool is_part = at == 0 || text[at - 1] != '-' || (*after == 'K' && !csm_is_letter(after[1]));
    const bool is_code = is_in_name && is_part && csm_is_letter(*after) && (unsigned char)*after < 0x80; /* M5V */
    const size_t magnitude = is_code ? 0 : say_magnitude(out, after, &n);
    const size_t unit = is_code ? 0 : csm_say_unit(out, after + magnitude,
                                     csm_number_is_one(&n) || csm_follows_article(text, at));
    taken += magnitude + unit;
    return taken +
           say_joint(out, &n, text, at + taken, is_in_name, /* Llama-3.1-8B is no range */
                     unit > 0 && !csm_is_converted(after + magnitude, text + at + taken));
}

/* 10 000: three zeros between spaces are no number of their own. */
static bool say_spaced(struct csm_builder *out, const struct csm_found *found)
{
    const struct csm_group all = csm_group(found, 0);
    if (csm_group(found, 1).n > 0)
        csm_builder_add_word(out, "minus");
    char digits[32];
    size_t n = 0;
    for (size_t i = 0; i < all.n && n + 1 < sizeof digits; i++)
        if (csm_is_digit(all.p[i]))
            digits[n++] = all.p[i];
    digits[n] = '\0';
    csm_spell_cardinal(out, digits, n);
    say_unit_behind(out, found, false);
    return true;
}

const struct csm_say_rule csm_say_numbers[] = {
    {AT_DIGIT | AT_SIGN,
     "(?<![\\w.,]|\\d )(?:(?<![)-])([-\\x{2212}]))?[1-9]\\d{0,2}(?: \\d{3}){0,3}? 000(?: \\d{3}){0,3}"
     "(?! ?\\d|\\w|[.,]\\d)",
     say_spaced, NULL},
    {AT_DIGIT,
     "(?<![\\w.])(\\d{1,3}(?:\\.\\d+)?) ?\\x{B0} ?(?:(\\d{1,2}(?:\\.\\d+)?) ?['\\x{2032}\\x{2019}] "
     "?)?"
     "(?:(\\d{1,2}(?:\\.\\d+)?) ?[\"\\x{2033}\\x{201D}] "
     "?)?(?:([NSEW])(?!\\w)|(?<=['\\x{2032}\\x{2033}]))",
     say_angle, NULL},
    {AT_DIGIT, "(?<![\\w.])(\\d{1,3})\\s?['\xE2\x80\xB2]\\s?(\\d{1,2})\\s?(?:\"|''|\xE2\x80\xB3)",
     say_height, NULL},
    {AT_DIGIT,
     "(?<![\\w\"'.])(\\d+(?:\\.\\d+)?)(\"|'|\xE2\x80\xB3|\xE2\x80\xB2)(?= "
     "?\\x{D7}| ?x ?\\d| "
     "?(?:by|at|floppy|disk|drive|tall|wide|long|deep|thick|high|"
     "screen|display|monitor|TV|laptop|tablet|pipe|pizza)\\b)",
     say_inches, NULL},
    {AT_DIGIT,
     "(?<=[\"'\\x{2032}\\x{2033}]x|[\"'\\x{2032}\\x{2033}] x |[\"'\\x{2032}\\x{2033}]\\x{D7}|"
     "[\"'\\x{2032}\\x{2033}] \\x{D7} |[\"'\\x{2032}\\x{2033}] by )"
     "(\\d+(?:\\.\\d+)?)([\"'\\x{2032}\\x{2033}])(?!\\w)",
     say_inches, NULL},
    {AT_DIGIT, "(?<![\\w\"'.])(\\d+(?:\\.\\d+)?)([\"\\x{2033}])(?=[\\s.,;:)]|$)", say_inches, NULL},
    {AT_DIGIT, "(?<![\\w./,-])(\\d\\.\\d{1,2})/(5|10)(?![\\w/]|\\.\\d)", say_mark, NULL},
    {AT_DIGIT, "(?<![\\w./])1/(\\d{2,5}) ?(?:s|sec|second)(?!\\w)", say_part_of_second, NULL},
    {AT_DIGIT, "(?<![\\w./])(\\d{2,3})/(\\d{2,3})(?= ?mm ?Hg)", say_pressure, NULL},
    {AT_DIGIT,
     "(?<=BP |BP: |BP is |BP of |pressure |pressure of |pressure is |pressure was )"
     "(\\d{2,3})/(\\d{2,3})(?![\\w/])",
     say_pressure, NULL},
    {AT_SIGN, "(?<![\\w.)])([-\\x{2212}]?)\\.(\\d+)(?![\\w.]\\d)", say_below_one, NULL},
    {AT_DIGIT,
     "(?<![\\w./])(?:(\\d{1,3})[ -])?(\\d{1,3})/(\\d{1,3}|1000(?=th))(?:(th|rd|nd)s?(?!\\w))?"
     "(?![\\d/]|\\.\\d)",
     say_fraction, NULL},
    {AT_DIGIT | AT_SIGN, "(\\d{1,3})? ?([\\x{BC}-\\x{BE}\\x{2153}-\\x{215E}])", say_vulgar, NULL},
    {AT_DIGIT | AT_SIGN, NULL, NULL, number},
    {0}};
