/* SPDX-License-Identifier: Apache-2.0
 *
 * sentence.c - where a sentence ends. */
#include <csm/text.h>

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "text/abbreviations.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Bytes of a closing quote or bracket that may follow the end mark; 0: none. */
static size_t closing(const char *p)
{
    if (*p == '"' || *p == '\'' || *p == ')' || *p == ']')
        return 1;
    /* U+2019 and U+201D, the typographic quotes */
    return strncmp(p, "\xE2\x80\x99", 3) == 0 || strncmp(p, "\xE2\x80\x9D", 3) == 0 ? 3 : 0;
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
    while (start > 0 && !is_space(text[start - 1]) && text[start - 1] != '(' &&
           text[start - 1] != '"')
        start--;
    size_t n = dot - start;
    if (n == 1 && isupper((unsigned char)text[start])) { /* an initial */
        *may_end = false;
        return true;
    }
    const struct csm_abbreviation *found = csm_abbreviation_at(text, start, n);
    *may_end = found != NULL && found->use == CSM_ABBREVIATION_MAY_END;
    return found != NULL &&
           (found->use != CSM_ABBREVIATION_BEFORE_NUMBER || (next >= '0' && next <= '9'));
}

/* Whether what follows "5 a.m." begins no sentence: a zone (ET), a dash to 6 p.m. */
static bool goes_on(const char *next)
{
    return (isupper((unsigned char)next[0]) && isupper((unsigned char)next[1])) || *next == '-' ||
           strncmp(next, "\xE2\x80\x93", 3) == 0;
}

/* A place to cut a sentence that is too long: after the last clause of the first
 * `limit` bytes, else after the last word, else between two characters. */
static size_t cut(const char *text, size_t limit)
{
    size_t word = 0;
    for (size_t i = limit; i > limit / 4; i--) {
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
        if (c != '.' && c != '!' && c != '?') {
            i++;
            continue;
        }
        size_t mark = i;
        while (text[i] == '.' || text[i] == '!' || text[i] == '?')
            i++;
        bool is_one_dot = c == '.' && i == mark + 1;
        for (size_t n; (n = closing(text + i)) > 0;)
            i += n;
        if (text[i] == '\0')
            return i;
        if (!is_space(text[i]))
            continue;
        size_t next = i;
        while (is_space(text[next]))
            next++;
        if (islower((unsigned char)text[next]))
            continue;
        bool may_end = true;
        if (is_one_dot && is_abbreviation(text, mark, text[next], &may_end) &&
            (!may_end || goes_on(text + next)))
            continue;
        return i;
    }
    return i;
}
