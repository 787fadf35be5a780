/* SPDX-License-Identifier: Apache-2.0
 *
 * say_formula.c - powers (10^6, x squared), 1.5e-3, roots, what LaTeX calls by name. */
#include <string.h>

#include "text/number.h"
#include "text/spell.h"

/* n+1, i\pi: its letters as written, numbers and signs as words. */
static void say_exponent(struct csm_builder *out, struct csm_group g)
{
    for (size_t i = 0; i < g.n;) {
        size_t n = 0;
        while (i + n < g.n && csm_is_digit(g.p[i + n]))
            n++;
        if (n > 0)
            csm_spell_cardinal(out, g.p + i, n);
        else if (g.p[i] == '+' || g.p[i] == '-')
            csm_builder_add_word(out, g.p[i] == '+' ? "plus" : "minus");
        while (n == 0 && i + n < g.n && csm_is_letter(g.p[i + n]))
            n++;
        if (n > 0 && csm_is_letter(g.p[i]))
            csm_say_as_written(out, g.p + i, n);
        i += n > 0 ? n : 1;
    }
}

/* "squared", "cubed", "to the sixth", "to the minus three", "to the n". */
static void say_power(struct csm_builder *out, const char *p, size_t n)
{
    const bool is_negative = n > 1 && *p == '-';
    const struct csm_group digits = {p + is_negative, n - is_negative};
    bool is_number = digits.n > 0 && digits.n < 7;
    for (size_t i = 0; i < digits.n; i++)
        is_number = is_number && csm_is_digit(digits.p[i]);
    const int value = is_number ? csm_group_value(digits, 999999) : -1;
    if (value == 2 && !is_negative) {
        csm_builder_add_word(out, "squared");
    } else if (value == 3 && !is_negative) {
        csm_builder_add_word(out, "cubed");
    } else {
        csm_builder_add_word(out, "to the");
        if (is_negative)
            csm_builder_add_word(out, "minus");
        if (value >= 0 && !is_negative) {
            csm_say_nth(out, value);
        } else if (value >= 0) {
            csm_say_int(out, value);
        } else {
            say_exponent(out, digits);
        }
    }
}

/* 10^6, x^2, e^{-x}: what stands before was spoken. */
static bool power(struct csm_builder *out, const struct csm_found *found)
{
    struct csm_group exponent = csm_group(found, 1);
    for (size_t i = 2; exponent.n == 0 && i <= 3; i++)
        exponent = csm_group(found, i);
    say_power(out, exponent.p, exponent.n);
    *found->n_more = csm_say_unit(out, found->text + found->bounds[1], false);
    return true;
}

/* Raised digits, U+00B2, U+00B3, U+00B9, U+2070..U+2079, and the minus U+207B, as plain ones. */
static size_t lower(struct csm_group all, char plain[16])
{
    size_t n = 0;
    for (size_t i = 0; i < all.n && n < 16;) {
        const unsigned char *p = (const unsigned char *)all.p + i;
        if (p[0] == 0xC2) {
            plain[n++] = p[1] == 0xB2 ? '2' : p[1] == 0xB3 ? '3' : '1';
            i += 2;
        } else {
            plain[n++] = p[2] == 0xBB ? '-' : (char)('0' + (p[2] - 0xB0));
            i += 3;
        }
    }
    return n;
}

static bool raised(struct csm_builder *out, const struct csm_found *found)
{
    char plain[16];
    say_power(out, plain, lower(csm_group(found, 1), plain));
    *found->n_more = csm_say_unit(out, found->text + found->bounds[1], false);
    return true;
}

/* Ca with a raised 2 and plus: a charge. */
static bool charge(struct csm_builder *out, const struct csm_found *found)
{
    char plain[16];
    if (csm_group(found, 1).n > 0)
        csm_spell_cardinal(out, plain, lower(csm_group(found, 1), plain));
    csm_builder_add_word(out, csm_group(found, 2).p[2] == '\xBA' ? "plus" : "minus");
    return true;
}

/* Ca^2+, Na^+, SO_4^{2-}: the same in plain letters. */
static bool plain_charge(struct csm_builder *out, const struct csm_found *found)
{
    csm_spell_digits(out, csm_group(found, 1).p, csm_group(found, 1).n);
    csm_builder_add_word(out, *csm_group(found, 2).p == '+' ? "plus" : "minus");
    return true;
}

/* 14 before a C: an isotope. */
static bool raised_alone(struct csm_builder *out, const struct csm_found *found)
{
    char plain[16];
    csm_spell_cardinal(out, plain, lower(csm_group(found, 1), plain));
    return true;
}

/* 1.5e-3, 6.02E23 */
static bool scientific(struct csm_builder *out, const struct csm_found *found)
{
    const struct csm_group sign = csm_group(found, 2), exponent = csm_group(found, 3);
    const struct csm_number n = csm_number_read(csm_group(found, 1).p);
    csm_say_number(out, &n);
    csm_builder_add_word(out, "times ten to the");
    if (sign.n > 0 && *sign.p == '-') {
        csm_builder_add_word(out, "minus");
        csm_spell_cardinal(out, exponent.p, exponent.n);
    } else {
        csm_spell_ordinal(out, exponent.p, exponent.n);
    }
    *found->n_more = csm_say_unit(out, found->text + found->bounds[1], false);
    return true;
}

/* f(x), O(n): "f of x"; the bracket that closes is a pause. */
static bool function_of(struct csm_builder *out, const struct csm_found *found)
{
    static const struct {
        const char *written, *spoken;
    } known[] = {{"sin", "sine"},
                 {"cos", "cosine"},
                 {"tan", "tangent"},
                 {"ln", "natural log"},
                 {"sqrt", "square root"}};
    const struct csm_group name = csm_group(found, 1);
    const char *spoken = NULL;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].written) == name.n && strncmp(known[i].written, name.p, name.n) == 0)
            spoken = known[i].spoken;
    csm_say_as_written(out, spoken != NULL ? spoken : name.p,
                       spoken != NULL ? strlen(spoken) : name.n);
    csm_builder_add_word(out, "of ");
    return true;
}

/* LaTeX's names; what is not here is said by its name, and the braces go. */
static bool command(struct csm_builder *out, const struct csm_found *found)
{
    static const struct {
        const char *name, *spoken;
    } known[] = {
        {"times", "times"},
        {"cdot", "times"},
        {"div", "divided by"},
        {"pm", "plus or minus"},
        {"approx", "is approximately"},
        {"leq", "is at most"},
        {"le", "is at most"},
        {"geq", "is at least"},
        {"ge", "is at least"},
        {"neq", "is not"},
        {"ne", "is not"},
        {"sqrt", "the square root of"},
        {"infty", "infinity"},
        {"sum", "the sum of"},
        {"prod", "the product of"},
        {"int", "the integral of"},
        {"partial", "partial"},
        {"to", "to"},
        {"rightarrow", "to"},
        {"Rightarrow", "implies"},
        {"implies", "implies"},
        {"in", "in"},
        {"log", "log"},
        {"ln", "natural log"},
        {"sin", "sine"},
        {"cos", "cosine"},
        {"tan", "tangent"},
        {"ldots", ","},
        {"dots", ","},
        {"cdots", ","},
        {"quad", ","},
        {"left", ""},
        {"right", ""},
        {"text", ""},
        {"mathrm", ""},
        {"mathbf", ""},
        {"textbf", ""},
        {"boxed", ""},
        {"begin", ""},
        {"end", ""},
        {"displaystyle", ""},
        {"degree", "degrees"},
        {"circ", "degrees"},
        {"equiv", "is equivalent to"},
        {"propto", "is proportional to"},
    };
    const struct csm_group name = csm_group(found, 1);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].name) == name.n && strncmp(known[i].name, name.p, name.n) == 0) {
            if (*known[i].spoken != '\0')
                csm_builder_add_word(out, known[i].spoken);
            return true;
        }
    csm_say_as_written(out, name.p, name.n);
    return true;
}

const struct csm_say_rule csm_say_formulas[] = {
    {AT_DIGIT, "(?<![\\w.])(\\d+(?:\\.\\d+)?)[eE]([-+]?)(\\d{1,3})(?!\\w|\\.\\d)", scientific,
     NULL},
    {AT_SIGN,
     "(?|(?<=[A-Z]|[A-Z][a-z]|[A-Za-z]\\d|\\))\\^(\\d?)([+-])(?=[.,;:)\\]]|\\s(?![\\d(\\\\]|[A-Z]\\^)|$)|"
     "(?<=[\\w)\\]])\\^\\{(\\d?)([+-])\\})",
     plain_charge, NULL},
    {AT_SIGN,
     "(?<=[\\w)\\]}])\\^(?:\\{(-?[\\w+\\\\ .-]{1,20})\\}|\\(([\\w+-]{1,12})\\)|(-?\\w{1,8}))",
     power, NULL},
    {AT_SIGN,
     "(?<=[A-Za-z\\d])([\\x{B2}\\x{B3}\\x{2074}-\\x{2079}]?)([\\x{207A}\\x{207B}])"
     "(?![\\x{B2}\\x{B3}\\x{B9}\\x{2070}-\\x{2079}])",
     charge, NULL},
    {AT_SIGN, "(?<=[\\w)\\]\\x{370}-\\x{3FF}])([\\x{B2}\\x{B3}\\x{B9}\\x{2070}\\x{2074}-\\x{2079}\\x{207B}]{1,8})",
     raised, NULL},
    {AT_SIGN, "([\\x{B2}\\x{B3}\\x{B9}\\x{2070}\\x{2074}-\\x{2079}]{1,8})", raised_alone, NULL},
    {AT_WORD, "(?<![\\w'])([fghOPT]|sin|cos|tan|log|ln|exp|sqrt|max|min)\\((?=[\\w-])", function_of,
     NULL},
    {AT_SIGN, "\\\\([A-Za-z]{2,14})", command, NULL},
    {0}};
