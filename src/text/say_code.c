/* SPDX-License-Identifier: Apache-2.0
 *
 * say_code.c - numbers that count nothing: versions, telephones, cards, hexadecimal. */
#include <string.h>

#include "text/number.h"
#include "text/spell.h"

/* v2.13.0, 1.2.3-beta.1, version 3.11: the parts are numbers, apart by "point". */
static bool version(struct csm_builder *out, const struct csm_found *found)
{
    const struct csm_group prefix = csm_group(found, 1), parts = csm_group(found, 2),
                           label = csm_group(found, 3);
    if (prefix.n > 0)
        csm_builder_add_word(out, "version");
    for (size_t i = 0; i < parts.n;) {
        if (parts.p[i] == '.') {
            csm_builder_add_word(out, "point");
            i++;
            continue;
        }
        const size_t n = csm_count_digits(parts.p + i);
        csm_spell_cardinal(out, parts.p + i, n);
        i += n;
    }
    for (size_t i = 0; i < label.n;) { /* -beta.1, rc2 */
        if (csm_is_digit(label.p[i])) {
            const size_t n = csm_count_digits(label.p + i);
            csm_spell_cardinal(out, label.p + i, n);
            i += n;
            continue;
        }
        size_t n = 0;
        while (i + n < label.n && csm_is_letter(label.p[i + n]))
            n++;
        if (n > 0)
            csm_say_as_written(out, label.p + i, n);
        i += n > 0 ? n : 1;
    }
    return true;
}

static size_t count_in(struct csm_group g)
{
    size_t n = 0;
    for (size_t i = 0; i < g.n; i++)
        n += csm_is_digit(g.p[i]);
    return n;
}

/* +1 (555) 010-1234, (555) 123-4567, +44 20 7946 0958: digit by digit. */
static bool telephone(struct csm_builder *out, const struct csm_found *found)
{
    const struct csm_group all = csm_group(found, 0);
    const size_t n = count_in(all);
    if (n < 7 || n > 15)
        return false;
    if (*all.p == '+')
        csm_builder_add_word(out, "plus");
    csm_say_digit_groups(out, all.p, all.n);
    return true;
}

/* 1-800-FLOWERS: the letters that are dialled are a word. */
static bool dialled_word(struct csm_builder *out, const struct csm_found *found)
{
    const struct csm_group digits = csm_group(found, 1), word = csm_group(found, 2);
    csm_say_digit_groups(out, digits.p, digits.n);
    csm_builder_add_text(out, ",");
    for (size_t i = 0, n; i < word.n; i += n + 1) {
        for (n = 0; i + n < word.n && word.p[i + n] != '-';)
            n++;
        csm_builder_add_text(out, " ");
        csm_builder_add(out, word.p + i, n);
    }
    return true;
}

/* Groups of digits as they stand: 4111 1111 1111 1111, 978-3-16-148410-0, 123-45-6789. */
static bool digit_groups(struct csm_builder *out, const struct csm_found *found)
{
    csm_say_digit_groups(out, csm_group(found, 0).p, csm_group(found, 0).n);
    return true;
}

/* Call 911 or 112: not nine hundred. */
static bool short_number(struct csm_builder *out, const struct csm_found *found)
{
    csm_say_digit_groups(out, csm_group(found, 0).p, 3);
    return true;
}

/* 3c2919f, d41d8cd98f00b204: letters and digits one by one, a comma after four of a long one; a word
 * and a number are none, cafe2024. */
static bool hash(struct csm_builder *out, const struct csm_found *found)
{
    const struct csm_group all = csm_group(found, 0);
    const size_t group = all.n > 8 ? 4 : all.n;
    for (size_t i = 0; i < all.n; i += group) {
        csm_builder_add_text(out, i > 0 ? "," : "");
        csm_say_characters(out, all.p + i, all.n - i < group ? all.n - i : group);
    }
    return true;
}

/* Letter by letter, a comma between groups. */
static bool say_groups(struct csm_builder *out, struct csm_group all, char between)
{
    for (size_t i = 0, n; i < all.n; i += n + 1) {
        for (n = 0; i + n < all.n && all.p[i + n] != between;)
            n++;
        csm_say_characters(out, all.p + i, n);
        csm_builder_add_text(out, i + n < all.n ? "," : "");
    }
    return true;
}

/* GB82 WEST 1234 5698 */
static bool account(struct csm_builder *out, const struct csm_found *found)
{
    return say_groups(out, csm_group(found, 0), ' ');
}

/* B.1.1.7 */
static bool lineage(struct csm_builder *out, const struct csm_found *found)
{
    const struct csm_group all = csm_group(found, 0);
    csm_say_characters(out, all.p, 1);
    for (size_t i = 1, n; i < all.n; i += 1 + n) {
        n = csm_count_digits(all.p + i + 1);
        csm_builder_add_word(out, "point");
        csm_spell_cardinal(out, all.p + i + 1, n);
    }
    return true;
}

/* 401(k), 501(c)(3): "four oh one k". */
static bool tax_plan(struct csm_builder *out, const struct csm_found *found)
{
    const struct csm_group all = csm_group(found, 0), part = csm_group(found, 2);
    csm_spell_digits(out, all.p, 1);
    csm_builder_add_word(out, "oh");
    csm_spell_digits(out, all.p + 2, 1);
    csm_say_characters(out, csm_group(found, 1).p, 1);
    if (part.n > 0)
        csm_spell_cardinal(out, part.p, part.n);
    return true;
}

/* 0x1F */
static bool hexadecimal(struct csm_builder *out, const struct csm_found *found)
{
    csm_say_characters(out, csm_group(found, 0).p, csm_group(found, 0).n);
    return true;
}

/* 550e8400-e29b-... */
static bool uuid(struct csm_builder *out, const struct csm_found *found)
{
    return say_groups(out, csm_group(found, 0), '-');
}

/* CA 90210, Ohio 44101: a state's letters stay, the number is digits. */
static bool zip_code(struct csm_builder *out, const struct csm_found *found)
{
    const struct csm_group state = csm_group(found, 1);
    if (state.n == 2)
        csm_say_characters(out, state.p, state.n);
    else
        csm_say_as_written(out, state.p, state.n);
    csm_say_digit_groups(out, csm_group(found, 2).p, csm_group(found, 2).n);
    return true;
}

#define STATE                                                                                      \
    "A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|"   \
    "T[NX]|UT|V[AT]|W[AIVY]|"                                                                      \
    "Ala(?:bam|sk)a|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|Florida|Georgia|"    \
    "Hawaii|Idaho|Illinois|Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland|Massachusetts|"   \
    "Michigan|Minnesota|Miss(?:issipp|our)i|Montana|Nebraska|Nevada|Ohio|Oklahoma|Oregon|"         \
    "New (?:Hampshire|Jersey|Mexico|York)|(?:North|South) (?:Carolina|Dakota)|Pennsylvania|"       \
    "Rhode Island|Tennessee|Texas|Utah|Vermont|(?:West )?Virginia|Washington|Wisconsin|Wyoming"

const struct csm_say_rule csm_say_codes[] = {
    {AT_DIGIT | AT_SIGN,
     "(?<!\\w)(?:1[ .-]?)?\\(\\d{3}\\)[ \\x{A0}-]?\\d{3}[ .\\x{2013}-]?\\d{4}(?!\\w)", telephone,
     NULL},
    {AT_SIGN, "(?<!\\w)\\(0\\d{1,4}\\) ?\\d{3,4}[ -]\\d{3,4}(?![\\w-])", telephone, NULL}, /* (02) 9876 5432 */
    {AT_DIGIT, "(?<![\\w.-])\\d(?:-\\d){2,}(?![\\w/-]|[.,:]\\d| ?=)", digit_groups, NULL}, /* 4-4-2 */
    {AT_DIGIT, "(?<![\\w.-])(?:1[ .-])?\\d{3}([.\\x{2011}-])\\d{3}\\1\\d{4}(?![\\w-])", telephone,
     NULL},
    {AT_DIGIT, "(?<![\\w.-])0\\d{2,4}[ /-]?\\d{5,8}(?!\\w)", telephone, NULL},
    {AT_DIGIT, "(?<![\\w.-])((?:1-)?8\\d\\d)-([A-Z]{3,}(?:-[A-Z]+)*)(?![\\w-])", dialled_word, NULL},
    {AT_WORD,
     "(?<!\\w)([vV])\\.? "
     "?(\\d+(?:\\.\\d+)*)((?:-?(?:alpha|beta|rc|dev|pre|a|b)\\.?\\d*)?)(?!\\w|\\.\\d)",
     version, NULL},
    {AT_DIGIT,
     "(?<![\\w.])()(?!\\d{1,3}(?:\\.\\d{3}){2,}(?!\\d))(\\d+\\.\\d+\\.\\d+(?:\\.\\d+)?)"
     "((?:[-.]?(?:alpha|beta|rc|dev|pre|a|b|post)\\.?\\d*)?)(?!\\w|\\.\\d)",
     version, NULL},
    {AT_DIGIT,
     "(?<=[Vv]ersion |Python |Java |Node |Node\\.js |Ubuntu |PHP |Ruby |CUDA |PyTorch |Rust |Go "
     "|Debian |Fedora |Android |iOS |macOS |Swift |Django |Kotlin )()(\\d+\\.\\d+)()(?!\\w|\\.\\d)",
     version, NULL},
    {AT_WORD, "(?<![\\w.])[A-Z](?:\\.\\d{1,4}){2,6}(?!\\w|\\.\\w)", lineage, NULL},
    {AT_DIGIT, "(?<![\\w.])(?:401|403|501)\\(([kbc])\\)(?:\\((\\d{1,2})\\))?(?!\\w)", tax_plan, NULL},
    {AT_DIGIT, "(?<![\\w.])401([kK])(?!\\w)()", tax_plan, NULL},
    {AT_DIGIT, "(?<!\\w)0[xX][0-9a-fA-F]+(?!\\w)", hexadecimal, NULL},
    {AT_DIGIT | AT_WORD, "(?i)(?<![\\w-])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![\\w-])", uuid,
     NULL},
    {AT_DIGIT | AT_SIGN,
     "(?<![\\w+])(?:\\+\\d{1,3}[ .\\x{A0}-]?)(?:\\(\\d{1,4}\\)|\\d{1,14})(?:[ "
     ".\\x{A0}-]?\\d{2,5}){0,5}(?!\\w)",
     telephone, NULL},
    {AT_DIGIT, "(?<![\\w.$-])\\d{3}-\\d{4}(?![\\w-]|\\.\\d)", telephone, NULL},
    {AT_DIGIT, "(?<![\\w.-])0\\d{2,4} \\d{3,4} \\d{3,4}(?!\\w)", telephone, NULL},
    {AT_DIGIT, "(?<![\\w.-])00\\d{1,3}(?:[ -]\\d{2,10}){1,4}(?!\\w)", telephone, NULL},
    {AT_DIGIT, "(?<!\\w)[3-6]\\d{3}(?:[ -]\\d{4}){3}(?!\\w)", digit_groups, NULL},
    {AT_DIGIT, "(?<!\\w)3[47]\\d\\d[ -]\\d{6}[ -]\\d{5}(?!\\w)", digit_groups, NULL},
    {AT_DIGIT, "(?<![\\w.])0\\d(?:([ .])\\d\\d)(?:\\1\\d\\d){3}(?![\\w.]\\d)", telephone,
     NULL}, /* 01 23 45 67 89 */
    {AT_DIGIT, "(?<![\\w.])8 \\(\\d{3,4}\\) \\d{2,3}-\\d\\d-\\d\\d(?![\\w-])", telephone, NULL},
    {AT_DIGIT, "(?<![\\w.,$-])1[38]00 \\d{3} \\d{3}(?![\\w.,]\\d| \\d)", telephone, NULL},
    {AT_WORD, "(?<!\\w)[A-Z]{2}\\d\\d(?: [A-Z0-9]{4}){3,7}(?: [A-Z0-9]{1,3})?(?!\\w)", account, NULL},
    {AT_DIGIT | AT_WORD,
     "(?<![\\w.#@/:-])(?=\\d*[a-fA-F])(?=[a-fA-F]*\\d)(?!\\d+[eE]\\d+(?!\\w))(?![a-fA-F]{3,}\\d{1,4}(?!\\w))"
     "(?:[0-9a-f]{7,128}|[0-9A-F]{7,128})(?![\\w-]|[.,]\\d)",
     hash, NULL},
    {AT_DIGIT, "(?<![\\w.])\\d{3}-\\d{2}-\\d{4}(?![\\w-])", digit_groups, NULL},
    {AT_DIGIT, "(?<![\\w.])\\d+(?:-\\d+){3,}(?![\\w-])", digit_groups, NULL},
    {AT_DIGIT, "(?<![\\w.-])(?:\\d{2,3}|0\\d{3})-\\d{3,4}-\\d{4}(?![\\w-])", telephone, NULL}, /* 135-4567-8900 */
    {AT_DIGIT,
     "(?<=\\b[Cc]all |\\b[Dd]ial |\\b(?:[Cc]all|[Dd]ial) \\d{3} or )"
     "(?:911|112|999|988|311|411|211|811)(?!\\w|[.,]\\d| [a-z]{3,}s\\b)",
     short_number, NULL},
    {AT_DIGIT,
     "(?<=[Zz]ip code |ZIP code |ZIP Code |[Pp]ostcode |[Pp]ostal code |[Cc]ode is |[Zz]ip |ZIP "
     "|(?i:PIN|OTP) is |(?i:PIN|OTP): |(?:PIN|OTP) |card ending in |number ending in |account ending in |[Pp]asscode |[Pp]asscode is |[Vv]erification code )"
     "(?:\\d{4,6}|\\d{3} \\d{3})(?:-\\d{4})?(?!\\w|[.,]\\d| [a-z]{3,}s\\b)", /* but not of 4500 lines */
     digit_groups, NULL},
    {AT_WORD, "(?<=, )(" STATE ") (\\d{5}(?:-\\d{4})?)(?!\\w)", zip_code, NULL},
    {0}};
