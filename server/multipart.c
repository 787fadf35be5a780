/* SPDX-License-Identifier: Apache-2.0 */
#include "multipart.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MAX_BOUNDARY = 70 }; /* RFC 2046, 5.1.1 */

/* The next one that is in no quoted value. */
static const char *find_semicolon(const char *p)
{
    for (bool is_quoted = false; *p != '\0'; p++) {
        is_quoted ^= *p == '"';
        if (*p == ';' && !is_quoted)
            return p;
    }
    return NULL;
}

/* The value of a parameter (name="value" or name=value) into `out`. */
static bool find_parameter(const char *header, const char *name, char *out, size_t size)
{
    const size_t n_name = strlen(name);
    for (const char *p = find_semicolon(header); p != NULL; p = find_semicolon(p)) {
        p += 1 + strspn(p + 1, " \t");
        if (strncasecmp(p, name, n_name) != 0 || p[n_name] != '=')
            continue;
        const char *value = p + n_name + 1;
        const bool is_quoted = *value == '"';
        value += is_quoted;
        const size_t n = strcspn(value, is_quoted ? "\"" : "; \t\r\n");
        if (n >= size || (is_quoted && value[n] != '"'))
            return false;
        memcpy(out, value, n);
        out[n] = '\0';
        return true;
    }
    return false;
}

/* Where `what` begins in [from, end); NULL: nowhere. */
static char *find(char *from, const char *end, const char *what)
{
    const size_t n = strlen(what);
    for (char *p = from; (size_t)(end - p) >= n;) {
        p = memchr(p, what[0], (size_t)(end - p) - n + 1);
        if (p == NULL)
            return NULL;
        if (memcmp(p, what, n) == 0)
            return p;
        p++;
    }
    return NULL;
}

/* The headers of a part, from its first byte to the empty line: only the disposition
 * counts. Its name replaces what stood there. */
static const char *read_headers(char *from, char *end, struct multipart_part *part)
{
    static char none[1];
    char file[256], name[128] = "";
    bool has_name = false;
    *end = '\0';
    for (char *line = from; line != NULL && line < end;) {
        char *next = strstr(line, "\r\n");
        if (next != NULL)
            *next = '\0';
        if (strncasecmp(line, "content-disposition:", 20) == 0) {
            has_name = find_parameter(line, "name", name, sizeof name);
            part->is_file = find_parameter(line, "filename", file, sizeof file);
        }
        line = next != NULL ? next + 2 : NULL;
    }
    if (!has_name || strlen(name) >= (size_t)(end - from))
        return "a part: expected Content-Disposition: form-data; name=\"...\"";
    memcpy(from, name, strlen(name) + 1);
    part->name = *name != '\0' ? from : none;
    return NULL;
}

const char *multipart_parse(const char *type, char *body, size_t n, struct multipart *out)
{
    char boundary[MAX_BOUNDARY + 1], line[MAX_BOUNDARY + 5];
    out->n = 0;
    if (type == NULL || strncasecmp(type, "multipart/form-data", 19) != 0 ||
        !find_parameter(type, "boundary", boundary, sizeof boundary) || *boundary == '\0')
        return "expected multipart/form-data with a boundary";
    snprintf(line, sizeof line, "\r\n--%s", boundary);
    char *end = body + n;
    /* The first boundary may begin the body, without the line end before it. */
    const size_t n_first = strlen(line) - 2;
    const bool is_first = n >= n_first && memcmp(body, line + 2, n_first) == 0;
    char *at = is_first ? body : find(body, end, line);
    if (at == NULL)
        return "the body has no part with its boundary";
    at += is_first ? n_first : strlen(line);
    while (end - at >= 2 && memcmp(at, "--", 2) != 0) {
        if (memcmp(at, "\r\n", 2) != 0)
            return "a boundary: expected the end of the line behind it";
        char *headers = at + 2, *value = find(at, end, "\r\n\r\n");
        char *next = value != NULL ? find(value + 2, end, line) : NULL;
        if (next == NULL || value + 4 > next + 2)
            return "a part without an end";
        if (out->n == MULTIPART_MAX_PARTS)
            return "too many parts";
        struct multipart_part *part = &out->parts[out->n++];
        *part = (struct multipart_part){.value = value + 4};
        part->n = next > part->value ? (size_t)(next - part->value) : 0;
        at = next + strlen(line);
        const char *wrong = read_headers(headers, value, part);
        if (wrong != NULL)
            return wrong;
        if (multipart_find(out, part->name) != part)
            return "a part: expected one of each name";
        part->value[part->n] = '\0';
    }
    return end - at >= 2 ? NULL : "the body ends before its last boundary";
}

const struct multipart_part *multipart_find(const struct multipart *parts, const char *name)
{
    for (size_t i = 0; i < parts->n; i++)
        if (strcmp(parts->parts[i].name, name) == 0)
            return &parts->parts[i];
    return NULL;
}
