/* SPDX-License-Identifier: Apache-2.0
 *
 * sentence.c - where a sentence ends. */
#include <csm/text.h>

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "text/abbreviations.h"
#include "text/say.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Bytes of the first of n signs that p begins with; 0: none. */
static size_t sign_at(const char *p, const char *const *signs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strncmp(p, signs[i], strlen(signs[i])) == 0)
            return strlen(signs[i]);
    return 0;
}

/* Bytes of a closing quote or bracket that may follow the end mark; 0: none. */
static size_t closing(const char *p)
{
    static const char *const signs[] = {"\"", "'", ")", "]", "\xE2\x80\x99", "\xE2\x80\x9D",
                                        "\xC2\xBB", "\xE3\x80\x8D", "\xE3\x80\x8F", "\xEF\xBC\x89"};
    return sign_at(p, signs, sizeof signs / sizeof *signs);
}

/* Bytes of a full stop, an exclamation or question mark of Chinese and Japanese, Hindi, Arabic and
 * Urdu, which ends a sentence whatever follows; 0: none. */
static size_t full_stop(const char *p)
{
    static const char *const signs[] = {"\xE3\x80\x82", "\xEF\xBD\xA1", "\xEF\xBC\x81", "\xEF\xBC\x9F",
                                        "\xE0\xA5\xA4", "\xE0\xA5\xA5", "\xD8\x9F",     "\xDB\x94"};
    return sign_at(p, signs, sizeof signs / sizeof *signs);
}

/* Whether p begins with a character of Chinese, Japanese or Korean: no space parts their sentences. */
static bool is_east_asian(const char *p)
{
    return (unsigned char)*p >= 0xE3 && (unsigned char)*p <= 0xED;
}

/* Whether text[i] comes after a comma, a colon or a semicolon of Chinese and Japanese. */
static bool follows_wide_comma(const char *text, size_t i)
{
    static const char *const signs[] = {"\xE3\x80\x81", "\xEF\xBC\x8C", "\xEF\xBC\x9A", "\xEF\xBC\x9B"};
    return i >= 3 && sign_at(text + i - 3, signs, sizeof signs / sizeof *signs) > 0;
}

/* Whether the line break at p begins a blank line. */
static bool is_blank_line(const char *p)
{
    if (*p++ != '\n')
        return false;
    while (*p == ' ' || *p == '\t' || *p == '\r')
        p++;
    return *p == '\n';
}

/* Whether the full stop at text[dot] belongs to the word before it; next: what comes after
 * the white space. */
static bool is_abbreviation(const char *text, size_t dot, char next, bool *may_end)
{
    size_t start = dot;
    while (start > 0 && !is_space(text[start - 1]) && strchr("([\"", text[start - 1]) == NULL &&
           ((unsigned char)text[start - 1] < 0x80 || csm_follows_letter(text, start)))
        start--;
    size_t n = dot - start;
    if (n == 1 && isupper((unsigned char)text[start])) { /* an initial */
        *may_end = false;
        return true;
    }
    const struct csm_abbreviation *found = csm_abbreviation_at(text, start, n);
    const bool has_year = n == 2 && strncmp(text + start, "al", 2) == 0 &&
                          (next == '(' || (next >= '0' && next <= '9')); /* et al. 2020 */
    *may_end = found != NULL && found->use == CSM_ABBREVIATION_MAY_END && !has_year;
    return found != NULL &&
           (found->use != CSM_ABBREVIATION_BEFORE_NUMBER || (next >= '0' && next <= '9'));
}

/* Whether what follows "5 a.m." begins no sentence: a zone (ET), a dash to 6 p.m., U.S. $5. */
static bool goes_on(const char *next)
{
    return *next == '$' || (isupper((unsigned char)next[0]) && isupper((unsigned char)next[1])) || *next == '-' ||
           strncmp(next, "\xE2\x80\x93", 3) == 0;
}

/* A place to cut a sentence that is too long: after the last clause of the first
 * `limit` bytes, else after the last word, else between two characters. */
static size_t cut(const char *text, size_t limit)
{
    size_t word = 0;
    for (size_t i = limit; i > limit / 4; i--) {
        if (follows_wide_comma(text, i))
            return i;
        if (!is_space(text[i]))
            continue;
        if (strchr(",;:-", text[i - 1]) != NULL)
            return i;
        if (word == 0)
            word = i;
    }
    if (word > 0)
        return word;
    size_t whole = limit;
    while (whole > 0 && ((unsigned char)text[whole] & 0xC0) == 0x80)
        whole--;
    if (whole == 0) /* the first character is longer than the limit: whole all the same */
        for (whole = limit; ((unsigned char)text[whole] & 0xC0) == 0x80;)
            whole++;
    return whole;
}

size_t csm_text_sentence(const char *text, size_t max_bytes)
{
    size_t i = 0;
    while (text[i] != '\0') {
        if (max_bytes > 0 && i >= max_bytes)
            return cut(text, max_bytes);
        char c = text[i];
        if (is_blank_line(text + i)) {
            while (i > 1 && is_space(text[i - 1]))
                i--;
            return i;
        }
        const size_t n_stop = full_stop(text + i);
        if (n_stop == 0 && c != '.' && c != '!' && c != '?') {
            i++;
            continue;
        }
        if (n_stop > 0) {
            for (size_t n = n_stop; n > 0; n = full_stop(text + i) + closing(text + i))
                i += n;
            return i;
        }
        size_t mark = i;
        while (text[i] == '.' || text[i] == '!' || text[i] == '?')
            i++;
        bool is_one_dot = c == '.' && i == mark + 1;
        for (size_t n; (n = closing(text + i)) > 0;)
            i += n;
        if (text[i] == '\0')
            return i;
        if (c != '.' && is_east_asian(text + i))
            return i;
        if (!is_space(text[i]))
            continue;
        size_t next = i;
        while (is_space(text[next]))
            next++;
        const bool is_factorial = text[next] == '=' || text[next] == '*' || text[next] == '/'; /* 5! = 120 */
        const bool is_series = (text[next] == '2' || text[next] == '3') && text[next + 1] == 'd' && text[next + 2] == ' ' &&
                               csm_is_digit(text[next + 3]); /* F. Supp. 2d 587 */
        if (islower((unsigned char)text[next]) || is_factorial || is_series)
            continue;
        bool may_end = true;
        if (is_one_dot && is_abbreviation(text, mark, text[next], &may_end) &&
            (!may_end || goes_on(text + next)))
            continue;
        return i;
    }
    return i;
}
