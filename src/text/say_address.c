/* SPDX-License-Identifier: Apache-2.0
 *
 * say_address.c - URLs, e-mail and IP addresses, names of files, @names and #tags. */
#include <ctype.h>
#include <string.h>

#include "text/abbreviations.h"
#include "text/number.h"
#include "text/spell.h"

/* Digits within an address: a year as such, two as a number, more one by one. */
static void say_digits(struct csm_builder *out, const char *p, size_t n)
{
    const struct csm_number number = csm_number_read(p);
    if (n == 4 && csm_number_is_year(&number))
        csm_spell_year(out, p);
    else if (n <= 2)
        csm_spell_cardinal(out, p, n);
    else
        csm_spell_digits(out, p, n);
}

static const char *sign_of(char c)
{
    static const struct {
        char sign;
        const char *spoken;
    } known[] = {{'.', "dot"},        {'/', "slash"},  {'?', "question mark"},
                 {'=', "equals"},     {'&', "and"},    {'-', "dash"},
                 {'_', "underscore"}, {'#', "hash"},   {'%', "percent"},
                 {':', "colon"},      {'~', "tilde"},  {'@', "at"},
                 {'+', "plus"},       {',', "comma"},  {';', "semicolon"},
                 {'*', "star"},       {'$', "dollar"}, {'!', "exclamation mark"},
                 {'\\', "backslash"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].sign == c)
            return known[i].spoken;
    return NULL;
}

/* Words as they are, two letters after a dot (.io, .uk) and www apart, signs by name. */
static void say_address(struct csm_builder *out, const char *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t count = 0;
        if (csm_is_digit(p[i])) {
            while (i + count < n && csm_is_digit(p[i + count]))
                count++;
            say_digits(out, p + i, count);
        } else if (csm_is_letter(p[i])) {
            while (i + count < n && csm_is_letter(p[i + count]))
                count++;
            const bool ends = i + count == n || !csm_is_digit(p[i + count]);
            const bool is_apart = (count == 3 && strncmp(p + i, "www", 3) == 0) ||
                                  (count == 2 && i > 0 && p[i - 1] == '.' && ends);
            if (is_apart) {
                csm_say_characters(out, p + i, count);
            } else {
                csm_say_as_written(out, p + i, count);
            }
        } else {
            count = 1;
            const char *spoken = sign_of(p[i]);
            if (spoken != NULL)
                csm_builder_add_word(out, spoken);
        }
        i += count;
    }
}

/* Without the scheme, and without the slash at its end. */
static bool url(struct csm_builder *out, const struct csm_found *found)
{
    struct csm_group rest = csm_group(found, 1);
    if (rest.n > 1 && rest.p[rest.n - 1] == '/')
        rest.n--;
    say_address(out, rest.p, rest.n);
    return true;
}

static bool address(struct csm_builder *out, const struct csm_found *found)
{
    say_address(out, csm_group(found, 0).p, csm_group(found, 0).n);
    return true;
}

/* 192.168.1.1:80, 10.0.0.0/8, 2001:db8::1: character by character. */
static bool ip(struct csm_builder *out, const struct csm_found *found)
{
    const struct csm_group all = csm_group(found, 0);
    for (size_t i = 0; i < all.n; i++) {
        const char *sign = sign_of(all.p[i]);
        if (sign != NULL)
            csm_builder_add_word(out, sign);
        else
            csm_say_characters(out, all.p + i, 1);
    }
    return true;
}

/* A name in camel case or with underscores, as words: OpenSource, open_source. */
static void say_name(struct csm_builder *out, struct csm_group name)
{
    csm_builder_add_word(out, "");
    for (size_t i = 0; i < name.n; i++) {
        const char c = name.p[i];
        if (csm_is_digit(c)) {
            size_t n = 0;
            while (i + n < name.n && csm_is_digit(name.p[i + n]))
                n++;
            csm_spell_cardinal(out, name.p + i, n);
            i += n - 1;
            if (i + 1 < name.n)
                csm_builder_add_text(out, " ");
            continue;
        }
        const bool is_hump =
            i > 0 && isupper((unsigned char)c) && islower((unsigned char)name.p[i - 1]);
        if (is_hump || c == '_' || c == '-' || c == '.')
            csm_builder_add_text(out, " ");
        if (c != '_' && c != '-' && c != '.')
            csm_builder_add(out, &c, 1);
    }
}

/* Whether n bytes are letters with points between them: A.B.C. */
static bool are_initials(const char *p, size_t n)
{
    bool are_so = n % 2 == 1;
    for (size_t i = 0; are_so && i < n; i++)
        are_so = i % 2 == 0 ? csm_is_letter(p[i]) : p[i] == '.';
    return are_so;
}

static bool is_capitalized(const char *p)
{
    return isupper((unsigned char)p[0]) && islower((unsigned char)p[1]);
}

/* main.py, Node.js, README.md, a.b.c: the dots are spoken. Not so in U.S, e.g, and where a
 * space is missing between sentences (end.Next). */
static bool file(struct csm_builder *out, const struct csm_found *found)
{
    const struct csm_group name = csm_group(found, 1), ending = csm_group(found, 2);
    size_t first = name.n; /* of the part behind a hyphen: Sino-U.S */
    while (first > 0 && name.p[first - 1] != '-')
        first--;
    const bool has_initials = are_initials(name.p + first, name.n - first);
    const bool is_name = has_initials && ending.n > 1 && is_capitalized(ending.p) && isupper((unsigned char)*name.p);
    const bool is_sentence = ending.n > 1 && is_capitalized(ending.p) && islower((unsigned char)name.p[name.n - 1]);
    static const char *const words[] = {"the", "but", "they", "you", "its", "was", "that", "there", "because"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) /* a space is missing: them.the */
        if (strlen(words[i]) == ending.n && strncmp(words[i], ending.p, ending.n) == 0)
            return false;
    bool has_letter = false;
    for (size_t i = 0; i < name.n; i++)
        has_letter = has_letter || csm_is_letter(name.p[i]);
    char all[16];
    csm_group_copy(csm_group(found, 0), all, sizeof all);
    if ((has_initials && ending.n == 1) || is_sentence || !has_letter ||
        csm_abbreviation_find(all, strlen(all)) != NULL)
        return false;
    if (is_name && first == 0) { /* J.K.Rowling */
        for (size_t i = 0; i < name.n; i += 2)
            csm_say_characters(out, name.p + i, 1);
        csm_say_as_written(out, ending.p, ending.n);
        return true;
    }
    say_address(out, csm_group(found, 0).p, csm_group(found, 0).n);
    return true;
}

static bool dot_file(struct csm_builder *out, const struct csm_found *found)
{
    csm_builder_add_word(out, "dot");
    say_name(out, csm_group(found, 1));
    return true;
}

static bool mention(struct csm_builder *out, const struct csm_found *found)
{
    csm_builder_add_word(out, "at");
    say_name(out, csm_group(found, 1));
    return true;
}

static bool hashtag(struct csm_builder *out, const struct csm_found *found)
{
    csm_builder_add_word(out, "hashtag");
    say_name(out, csm_group(found, 1));
    return true;
}

/* #FF5733 */
static bool color(struct csm_builder *out, const struct csm_found *found)
{
    csm_builder_add_word(out, "hash");
    csm_say_characters(out, csm_group(found, 1).p, csm_group(found, 1).n);
    return true;
}

/* :tada: */
static bool shortcode(struct csm_builder *out, const struct csm_found *found)
{
    say_name(out, csm_group(found, 1));
    return true;
}

#define LABEL "[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}[A-Za-z0-9])?"
#define TOP                                                                                        \
    "(?:com|org|net|edu|gov|mil|int|info|biz|io|dev|ai|app|co|uk|de|eu|me|tv|us|ca|fr|jp|ch|nl|"   \
    "se|au|in|br|gg|ly|so|xyz|tech|cloud|online|site|blog|shop|sh|it|es|at|be|dk|no|fi|pl|ru|cn|"  \
    "kr|nz|ie|pt|cz|page|wiki|news|example|local|localhost|internal|test)"
#define PATH_END "[^\\s.,;:!?'\"()<>\\[\\]{}|`*\\x{2019}\\x{201D}]"
#define PATH "(?:[^\\s<>\"\\[\\]{}|`()\\x{201D}]{0,2000}" PATH_END "|/)"

const struct csm_say_rule csm_say_addresses[] = {
    {AT_WORD, "(?<!\\w)(?:https?|ftp|wss?|file|ssh|git)://(" PATH ")", url, NULL},
    {AT_WORD, "(?<!\\w)[a-z][a-z0-9+.-]{1,20}://" PATH, address, NULL}, /* s3://bucket/key */
    {AT_SIGN, "(?<![\\w:/])//(?=[\\w-]+\\.)(" PATH ")", url, NULL},
    {AT_WORD | AT_DIGIT,
     "(?<![\\w.])(?:mailto:)?([A-Za-z0-9][\\w.+%-]{0,63}@(?:" LABEL "\\.)+[A-Za-z]{2,24})(?!\\w)",
     url, NULL},
    {AT_WORD | AT_DIGIT,
     "(?<![\\w.@/-])((?:" LABEL "\\.){1,8}" TOP "(?::\\d{1,5})?(?:[/#]" PATH
     "?|\\?" PATH ")?)(?![\\w@-]|\\.\\w)",
     url, NULL},
    {AT_WORD, "(?<![\\w.])localhost:\\d{1,5}(?:/" PATH "?)?", address, NULL},
    {AT_DIGIT, "(?<![\\w.])(?:\\d{1,3}\\.){3}\\d{1,3}(?:[:/]\\d{1,5})?(?!\\w|\\.\\d)", ip, NULL},
    {AT_DIGIT | AT_WORD,
     "(?<![\\w:.])(?=[0-9a-fA-F:]*\\d)(?:[0-9a-fA-F]{1,4}:){1,6}:(?:[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]"
     "{1,4}){0,5})?(?![\\w:])",
     ip, NULL},
    {AT_SIGN, "(?<![\\w:.])::(?:1|ffff:[0-9a-fA-F:.]+)(?![\\w:])", ip, NULL},
    {AT_DIGIT | AT_WORD, "(?<![\\w:.])(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}(?![\\w:])", ip,
     NULL},
    {AT_DIGIT | AT_WORD, "(?<![\\w:.-])(?:[0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}(?![\\w:-])", ip,
     NULL},
    {AT_SIGN, "(?<![\\w/.,\\p{L}\\p{No}])(~?(?:/[\\w.+@-]+)+)/?(?![\\w/])", url, NULL}, /* /usr/bin/env */
    {AT_SIGN, "(?<![\\w/.])(\\.{1,2}(?:/[\\w.+@-]+)+)/?", url, NULL},     /* ./run.sh */
    {AT_WORD, "(?<![\\w\\\\])[A-Za-z]:\\\\(?:[\\w. -]+\\\\)*[\\w.-]*\\w", address,
     NULL}, /* C:\Users\me */
    {AT_WORD, "(?<![\\w./])(?:[\\w+-]+/)+[\\w+-]+\\.[A-Za-z][A-Za-z0-9]{0,7}(?![\\w/])", address,
     NULL},
    {AT_WORD | AT_DIGIT,
     "(?<![\\w.@/])([\\w+-]+(?:\\.[\\w+-]+)*)\\.([A-Za-z][A-Za-z0-9]{0,9})(?![\\w@]|\\.\\w)", file,
     NULL},
    {AT_SIGN, "(?<![\\w.])\\.(?!(?!Net)[A-Z][a-z]+(?!\\w|\\.\\w))([A-Za-z]\\w{1,20})(?!\\w)", dot_file,
     NULL}, /* .NET, .env, .LineStyle; not .Yes */
    {AT_SIGN, "(?<![\\w@.])@(\\w[\\w.-]{0,38}\\w|\\w)", mention, NULL},
    {AT_SIGN, "(?<![\\w&])#(?=\\d*[a-fA-F])(?=[a-fA-F]*\\d)([0-9a-fA-F]{6}(?:[0-9a-fA-F]{2})?)(?!\\w)",
     color, NULL},
    {AT_SIGN, "(?<![\\w&])#(\\d{0,4}[A-Za-z]\\w{0,99})", hashtag, NULL},
    {AT_SIGN, "(?<!\\w):([a-z][a-z0-9_+-]{1,30}):(?!\\w)", shortcode, NULL},
    {0}};
