/* SPDX-License-Identifier: Apache-2.0 */
#include "text/say.h"

#include <ctype.h>
#include <string.h>

struct csm_group csm_group(const struct csm_found *found, size_t i)
{
    const size_t start = found->bounds[2 * i], end = found->bounds[2 * i + 1];
    return start < end ? (struct csm_group){found->text + start, end - start}
                       : (struct csm_group){found->text, 0};
}

void csm_group_copy(struct csm_group group, char *buffer, size_t size)
{
    const size_t n = group.n < size - 1 ? group.n : size - 1;
    memcpy(buffer, group.p, n);
    buffer[n] = '\0';
}

void csm_say_as_written(struct csm_builder *out, const char *p, size_t n)
{
    csm_builder_add_word(out, "");
    csm_builder_add(out, p, n);
}

bool csm_follows_article(const char *text, size_t at)
{
    const bool is_apart = at == 2 || (at > 2 && !csm_is_letter(text[at - 3]));
    if (at >= 2 && text[at - 1] == ' ' && (text[at - 2] == 'a' || text[at - 2] == 'A') && is_apart)
        return true;
    return at >= 3 &&
           (strncmp(text + at - 3, "an ", 3) == 0 || strncmp(text + at - 3, "An ", 3) == 0) &&
           (at == 3 || !csm_is_letter(text[at - 4]));
}

bool csm_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool csm_is_letter(char c)
{
    return isalpha((unsigned char)c) || (unsigned char)c >= 0x80;
}

bool csm_follows_letter(const char *text, size_t at)
{
    const bool is_sign = (at > 1 && (unsigned char)text[at - 2] == 0xC2) ||
                         (at > 2 && strncmp(text + at - 3, "\xE2\x80", 2) == 0);
    return at > 0 && csm_is_letter(text[at - 1]) && !is_sign;
}

bool csm_has_words(const char *text)
{
    for (; *text != '\0'; text++)
        if (csm_is_letter(*text) || csm_is_digit(*text))
            return true;
    return false;
}

size_t csm_count_digits(const char *p)
{
    size_t n = 0;
    while (csm_is_digit(p[n]))
        n++;
    return n;
}

void csm_part_hyphen(struct csm_builder *out)
{
    if (out->length > 1 && !out->has_failed && out->text[out->length - 1] == '-' &&
        csm_is_letter(out->text[out->length - 2]))
        out->text[out->length - 1] = ' ';
}

/* Whether p is at the end of a line, a sentence or a part of one. */
static bool ends_sentence(const char *p)
{
    const bool has_mark = *p == '.' || *p == '?' || *p == '!';
    return *p == '\n' || *p == ';' || (has_mark && p[1] == ' ' && p[2] != '=' && p[2] != '*' && p[2] != '/'); /* 5! = */
}

static bool is_equal(const char *p)
{
    return *p == '=' || strncmp(p, "\xE2\x89\x88", 3) == 0; /* exactly or about */
}

bool csm_is_in_formula(const char *text, size_t at)
{
    enum { NEAR = 120 };
    for (size_t i = at; i > 0 && at - i < NEAR && !ends_sentence(text + i - 1); i--)
        if (is_equal(text + i - 1))
            return true;
    for (size_t i = at; text[i] != '\0' && i - at < NEAR && !ends_sentence(text + i); i++)
        if (is_equal(text + i))
            return true;
    return false;
}

bool csm_ends_word(const char *p, const char *suffix)
{
    const size_t n = strlen(suffix);
    if (strncmp(p, suffix, n) != 0)
        return false;
    const unsigned char next =
        (unsigned char)p[n]; /* 0xC2 and 0xE2 begin signs: a degree, a dash */
    return next == 0xC2 || next == 0xE2 || (!csm_is_letter(p[n]) && !csm_is_digit(p[n]));
}
