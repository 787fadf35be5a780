/* SPDX-License-Identifier: Apache-2.0 */
#include "text/markup_tag.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_PAUSE_MS = 10000 };

static const struct {
    const char *name;
    enum csm_tag_kind kind;
} tags[] = {
    {"br", CSM_TAG_LINE},          {"p", CSM_TAG_BLOCK},       {"div", CSM_TAG_BLOCK},
    {"section", CSM_TAG_BLOCK},    {"article", CSM_TAG_BLOCK}, {"header", CSM_TAG_BLOCK},
    {"footer", CSM_TAG_BLOCK},     {"main", CSM_TAG_BLOCK},    {"nav", CSM_TAG_BLOCK},
    {"blockquote", CSM_TAG_BLOCK}, {"pre", CSM_TAG_BLOCK},     {"hr", CSM_TAG_BLOCK},
    {"ul", CSM_TAG_BLOCK},         {"ol", CSM_TAG_BLOCK},      {"dl", CSM_TAG_BLOCK},
    {"table", CSM_TAG_BLOCK},      {"speak", CSM_TAG_BLOCK},   {"paragraph", CSM_TAG_BLOCK},
    {"sentence", CSM_TAG_BLOCK},   {"details", CSM_TAG_BLOCK}, {"figure", CSM_TAG_BLOCK},
    {"body", CSM_TAG_BLOCK},       {"html", CSM_TAG_BLOCK},    {"form", CSM_TAG_BLOCK},
    {"h1", CSM_TAG_STOP},          {"h2", CSM_TAG_STOP},       {"h3", CSM_TAG_STOP},
    {"h4", CSM_TAG_STOP},          {"h5", CSM_TAG_STOP},       {"h6", CSM_TAG_STOP},
    {"li", CSM_TAG_STOP},          {"tr", CSM_TAG_STOP},       {"dt", CSM_TAG_STOP},
    {"dd", CSM_TAG_STOP},          {"title", CSM_TAG_STOP},    {"summary", CSM_TAG_STOP},
    {"figcaption", CSM_TAG_STOP},  {"caption", CSM_TAG_STOP},  {"option", CSM_TAG_STOP},
    {"td", CSM_TAG_CELL},          {"th", CSM_TAG_CELL},       {"script", CSM_TAG_HIDDEN},
    {"style", CSM_TAG_HIDDEN},     {"break", CSM_TAG_PAUSE},   {"say-as", CSM_TAG_SPELLED},
};

/* The value of an attribute, without its quotes, in a buffer; empty: it has none. */
static void attribute(const char *tag, size_t n, const char *name, char *value, size_t size)
{
    const size_t length = strlen(name);
    *value = '\0';
    for (size_t i = 1; i + length + 1 < n; i++) {
        if (!isspace((unsigned char)tag[i - 1]) || strncasecmp(tag + i, name, length) != 0)
            continue;
        size_t at = i + length;
        while (at < n && isspace((unsigned char)tag[at]))
            at++;
        if (at == n || tag[at] != '=')
            continue;
        for (at++; at < n && (isspace((unsigned char)tag[at]) || strchr("\"'", tag[at]) != NULL);)
            at++;
        size_t used = 0;
        while (at < n && used + 1 < size && strchr("\"'> \t\n/", tag[at]) == NULL)
            value[used++] = tag[at++];
        value[used] = '\0';
        return;
    }
}

/* time="300ms", "1.5s", or strength="strong"; without either that of medium. */
static int pause_of(const char *tag, size_t n)
{
    static const struct {
        const char *strength;
        int ms;
    } known[] = {{"none", 0},     {"x-weak", 100}, {"weak", 250},
                 {"medium", 500}, {"strong", 750}, {"x-strong", 1000}};
    char value[32];
    attribute(tag, n, "time", value, sizeof value);
    if (isdigit((unsigned char)value[0]) || value[0] == '.') {
        double amount = 0, scale = 1; /* without the locale's point */
        const char *p = value;
        for (; isdigit((unsigned char)*p); p++)
            amount = 10 * amount + (*p - '0');
        if (*p == '.')
            for (p++; isdigit((unsigned char)*p); p++)
                amount += (*p - '0') * (scale /= 10);
        const double ms = strncasecmp(p, "ms", 2) == 0 ? amount : 1000 * amount;
        return ms < MAX_PAUSE_MS ? (int)ms : MAX_PAUSE_MS;
    }
    attribute(tag, n, "strength", value, sizeof value);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcasecmp(value, known[i].strength) == 0)
            return known[i].ms;
    return 500;
}

static bool is_spelled(const char *tag, size_t n)
{
    static const char *const known[] = {"characters", "spell-out", "verbatim", "digits"};
    char value[32];
    attribute(tag, n, "interpret-as", value, sizeof value);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcasecmp(value, known[i]) == 0)
            return true;
    return false;
}

struct csm_tag csm_tag_read(const char *tag, size_t n)
{
    struct csm_tag read = {.kind = CSM_TAG_NOTHING};
    size_t at = 1, length = 0;
    if (n < 3)
        return read;
    read.is_end = tag[1] == '/';
    at += read.is_end;
    while (at + length < n && (isalnum((unsigned char)tag[at + length]) || tag[at + length] == '-'))
        length++;
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (strlen(tags[i].name) == length && strncasecmp(tags[i].name, tag + at, length) == 0)
            read.kind = tags[i].kind;
    if (read.kind == CSM_TAG_PAUSE)
        read.pause_ms = pause_of(tag, n);
    if (read.kind == CSM_TAG_SPELLED && !read.is_end && !is_spelled(tag, n))
        read.kind = CSM_TAG_NOTHING;
    if (read.kind == CSM_TAG_HIDDEN && tag[n - 2] == '/')
        read.kind = CSM_TAG_NOTHING;
    return read;
}
