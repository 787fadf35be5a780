/* SPDX-License-Identifier: Apache-2.0 */
#include "text/json_scan.h"

#include <stdlib.h>
#include <string.h>

void csm_json_scan_end(struct csm_json_scan *scan)
{
    free(scan->buffer);
    scan->buffer = NULL;
    scan->capacity = 0;
}

/* The next character that is not white space; end where there is none. */
static const char *skip_space(const struct csm_json_scan *scan)
{
    const char *c = scan->at;
    while (c < scan->end && (*c == ' ' || *c == '\n' || *c == '\t' || *c == '\r'))
        c++;
    return c;
}

bool csm_json_scan_mark(struct csm_json_scan *scan, char mark)
{
    const char *c = skip_space(scan);
    if (c == scan->end || *c != mark)
        return false;
    scan->at = c + 1;
    return true;
}

/* The quote that ends a string whose text begins at `c`; NULL if none does.
 * `*has_escape` tells whether a backslash stands before it. */
static const char *string_end(const char *c, const char *end, bool *has_escape)
{
    *has_escape = false;
    for (; c < end; c++) {
        if (*c == '"')
            return c;
        if ((unsigned char)*c < ' ')
            return NULL;
        if (*c == '\\') {
            *has_escape = true;
            c++;
        }
    }
    return NULL;
}

/* Four hexadecimal digits. */
static bool read_unit(const char *c, const char *end, uint32_t *unit)
{
    if (end - c < 4)
        return false;
    *unit = 0;
    for (int i = 0; i < 4; i++) {
        const char h = c[i];
        const int digit = h >= '0' && h <= '9'   ? h - '0'
                          : h >= 'a' && h <= 'f' ? h - 'a' + 10
                          : h >= 'A' && h <= 'F' ? h - 'A' + 10
                                                 : -1;
        if (digit < 0)
            return false;
        *unit = *unit << 4 | (uint32_t)digit;
    }
    return true;
}

static char *put_character(char *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
        *to++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *to++ = (char)(0xe0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    } else {
        *to++ = (char)(0xf0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 0x3f));
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    }
    return to;
}

/* The character of \uXXXX, and of a pair of them; `*c` moves behind. Zero and
 * lone surrogates are refused, as jansson does. */
static bool read_unicode(const char **c, const char *end, uint32_t *character)
{
    uint32_t low;
    if (!read_unit(*c, end, character))
        return false;
    *c += 4;
    if (*character >= 0xd800 && *character <= 0xdbff) {
        if (end - *c < 6 || (*c)[0] != '\\' || (*c)[1] != 'u' || !read_unit(*c + 2, end, &low) ||
            low < 0xdc00 || low > 0xdfff)
            return false;
        *c += 6;
        *character = 0x10000 + ((*character - 0xd800) << 10) + (low - 0xdc00);
        return true;
    }
    return *character != 0 && (*character < 0xdc00 || *character > 0xdfff);
}

/* Text with escapes, written out; never longer than it was. */
static bool unescape(const char *c, const char *end, char *to, size_t *n)
{
    static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const char *begin = to;
    while (c < end) {
        if (*c != '\\') {
            *to++ = *c++;
            continue;
        }
        const char *escape = memchr(escapes, c[1], sizeof escapes - 1);
        c += 2;
        uint32_t character;
        if (escape != NULL)
            *to++ = meanings[escape - escapes];
        else if (c[-1] == 'u' && read_unicode(&c, end, &character))
            to = put_character(to, character);
        else
            return false;
    }
    *n = (size_t)(to - begin);
    return true;
}

bool csm_json_scan_string(struct csm_json_scan *scan, const char **text, size_t *n)
{
    const char *c = skip_space(scan);
    bool has_escape;
    if (c == scan->end || *c != '"')
        return false;
    const char *end = string_end(++c, scan->end, &has_escape);
    if (end == NULL)
        return false;
    *text = c;
    *n = (size_t)(end - c);
    if (has_escape) {
        if (*n > scan->capacity) {
            char *grown = realloc(scan->buffer, *n);
            if (grown == NULL)
                return false;
            scan->buffer = grown;
            scan->capacity = *n;
        }
        if (!unescape(c, end, scan->buffer, n))
            return false;
        *text = scan->buffer;
    }
    scan->at = end + 1;
    return true;
}

bool csm_json_scan_integer(struct csm_json_scan *scan, int32_t *value)
{
    const char *c = skip_space(scan), *begin = c;
    int64_t number = 0;
    for (; c < scan->end && *c >= '0' && *c <= '9' && number <= INT32_MAX; c++)
        number = 10 * number + (*c - '0');
    const bool is_padded = c - begin > 1 && *begin == '0';
    if (c == begin || is_padded || number > INT32_MAX ||
        (c < scan->end && (*c == '.' || *c == 'e' || *c == 'E')))
        return false;
    *value = (int32_t)number;
    scan->at = c;
    return true;
}

/* Over true, false, null or a number, whose form jansson judges elsewhere. */
static bool skip_word(struct csm_json_scan *scan)
{
    const char *c = skip_space(scan), *begin = c;
    while (c < scan->end && *c != '\0' && strchr(",]} \n\t\r", *c) == NULL)
        c++;
    scan->at = c;
    return c != begin;
}

bool csm_json_scan_skip(struct csm_json_scan *scan)
{
    enum { MAX_DEPTH = 100 };
    char closing[MAX_DEPTH];
    size_t depth = 0;
    do {
        const char *c = skip_space(scan);
        bool has_escape;
        if (c == scan->end)
            return false;
        if (*c == '{' || *c == '[') {
            if (depth == MAX_DEPTH)
                return false;
            closing[depth++] = *c == '{' ? '}' : ']';
            scan->at = c + 1;
        } else if (*c == '}' || *c == ']') {
            if (depth == 0 || closing[depth - 1] != *c)
                return false;
            depth--;
            scan->at = c + 1;
        } else if (*c == '"') {
            const char *end = string_end(c + 1, scan->end, &has_escape);
            if (end == NULL)
                return false;
            scan->at = end + 1;
        } else if (*c == ',' || *c == ':') {
            if (depth == 0)
                return false;
            scan->at = c + 1;
        } else if (!skip_word(scan)) {
            return false;
        }
    } while (depth > 0);
    return true;
}
