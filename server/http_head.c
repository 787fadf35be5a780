/* SPDX-License-Identifier: Apache-2.0 */
#include "http_head.h"

#include <string.h>
#include <strings.h>

static bool is_token_char(unsigned char c)
{
    return c > 32 && c < 127 && strchr("\"(),/:;<=>?@[\\]{}", c) == NULL;
}

/* Cut the line that begins at *p at its CRLF and move *p behind it; NULL: the line has
 * no CRLF, or a control character. */
static char *cut_line(char **p, char *end)
{
    char *line = *p;
    for (char *c = line; c + 1 < end; c++) {
        if (c[0] == '\r' && c[1] == '\n') {
            *c = '\0';
            *p = c + 2;
            return line;
        }
        if (((unsigned char)*c < 32 && *c != '\t') || *c == 127)
            return NULL;
    }
    return NULL;
}

static int refuse(const char **why, int status, const char *text)
{
    *why = text;
    return status;
}

static int parse_request_line(char *line, struct http_head *head, const char **why)
{
    char *target = strchr(line, ' ');
    char *version = target != NULL ? strchr(target + 1, ' ') : NULL;
    if (version == NULL || target == line)
        return refuse(why, 400, "the request line: expected METHOD TARGET HTTP/1.1");
    *target++ = '\0';
    *version++ = '\0';
    for (const char *c = line; *c != '\0'; c++)
        if (!is_token_char((unsigned char)*c))
            return refuse(why, 400, "the method: expected a token");
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0) {
        const bool is_http = strncmp(version, "HTTP/", 5) == 0;
        return refuse(why, is_http ? 505 : 400, "the version: expected HTTP/1.1 or HTTP/1.0");
    }
    head->is_http_10 = version[7] == '0';
    for (const char *c = target; *c != '\0'; c++)
        if ((unsigned char)*c <= 32 || (unsigned char)*c >= 127)
            return refuse(why, 400, "the target: expected printable characters");
    char *query = strchr(target, '?');
    head->query = query != NULL ? query + 1 : target + strlen(target);
    if (query != NULL)
        *query = '\0';
    const size_t n_scheme = strncasecmp(target, "http://", 7) == 0    ? 7
                            : strncasecmp(target, "https://", 8) == 0 ? 8
                                                                      : 0;
    if (n_scheme > 0) /* absolute form, as proxies send it; its path may be left out */
        target += n_scheme + strcspn(target + n_scheme, "/");
    head->method = line;
    head->path = n_scheme > 0 && *target == '\0' ? "/" : target;
    if (*head->path != '/' && strcmp(head->path, "*") != 0)
        return refuse(why, 400, "the target: expected a path that begins with /");
    return 0;
}

static int parse_header(char *line, struct http_head *head, const char **why)
{
    if (head->n_headers == HTTP_MAX_HEADERS)
        return refuse(why, 431, "more than 100 headers");
    char *colon = strchr(line, ':');
    if (colon == NULL || colon == line)
        return refuse(why, 400, "a header: expected NAME: VALUE");
    for (const char *c = line; c < colon; c++)
        if (!is_token_char((unsigned char)*c))
            return refuse(why, 400, "a header's name: expected a token before the colon");
    *colon = '\0';
    char *value = colon + 1 + strspn(colon + 1, " \t");
    size_t n = strlen(value);
    while (n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t'))
        value[--n] = '\0';
    head->headers[head->n_headers++] = (struct http_header){line, value};
    return 0;
}

static bool parse_length(const char *text, uint64_t *length)
{
    uint64_t n = 0;
    if (*text == '\0' || strlen(text) > 18)
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        n = 10 * n + (uint64_t)(*text - '0');
    }
    *length = n;
    return true;
}

/* How the body is framed, and what becomes of the connection. */
static int settle(struct http_head *head, const char **why)
{
    size_t n_hosts = 0;
    for (size_t i = 0; i < head->n_headers; i++) {
        const struct http_header *h = &head->headers[i];
        if (strcasecmp(h->name, "host") == 0)
            n_hosts++;
        if (strcasecmp(h->name, "content-length") == 0) {
            uint64_t length;
            if (!parse_length(h->value, &length) || (head->has_length && length != head->length))
                return refuse(why, 400, "Content-Length: expected one whole number");
            head->has_length = true;
            head->length = length;
        }
        if (strcasecmp(h->name, "transfer-encoding") == 0) {
            if (strcasecmp(h->value, "chunked") != 0 || head->is_chunked || head->is_http_10)
                return refuse(why, 501, "Transfer-Encoding: expected chunked, once");
            head->is_chunked = true;
        }
        if (strcasecmp(h->name, "content-encoding") == 0 && strcasecmp(h->value, "identity") != 0)
            return refuse(why, 415, "Content-Encoding: expected none, a body as it is");
    }
    if (head->has_length && head->is_chunked)
        return refuse(why, 400, "expected Content-Length or Transfer-Encoding, not both");
    if (n_hosts > 1 || (n_hosts == 0 && !head->is_http_10))
        return refuse(why, 400, "Host: expected one");
    const char *expect = http_head_find(head, "expect");
    if (expect != NULL && strcasecmp(expect, "100-continue") != 0)
        return refuse(why, 417, "Expect: expected 100-continue or nothing");
    head->is_continue = expect != NULL && !head->is_http_10;
    head->is_kept = !http_head_has_token(head, "connection", "close") &&
                    (!head->is_http_10 || http_head_has_token(head, "connection", "keep-alive"));
    head->is_websocket = http_head_has_token(head, "connection", "upgrade") &&
                         http_head_has_token(head, "upgrade", "websocket");
    return 0;
}

int http_head_parse(char *text, size_t n, struct http_head *head, const char **why)
{
    *head = (struct http_head){.method = ""};
    char *p = text, *end = text + n;
    if (memchr(text, '\0', n) != NULL)
        return refuse(why, 400, "the head: a NUL byte");
    char *line = cut_line(&p, end);
    if (line == NULL)
        return refuse(why, 400, "the request line: expected no control character and CRLF at its end");
    int status = parse_request_line(line, head, why);
    while (status == 0) {
        line = cut_line(&p, end);
        if (line == NULL)
            return refuse(why, 400, "a header: expected no control character and CRLF at its end");
        if (*line == '\0')
            return p == end ? settle(head, why) : refuse(why, 400, "the head: bytes behind its end");
        status = parse_header(line, head, why);
    }
    return status;
}

const char *http_head_find(const struct http_head *head, const char *name)
{
    for (size_t i = 0; i < head->n_headers; i++)
        if (strcasecmp(head->headers[i].name, name) == 0)
            return head->headers[i].value;
    return NULL;
}

static bool has_token(const char *value, const char *token)
{
    const size_t n = strlen(token);
    for (const char *p = value; *p != '\0';) {
        p += strspn(p, " \t,");
        size_t length = strcspn(p, ",");
        const char *rest = p + length;
        while (length > 0 && (p[length - 1] == ' ' || p[length - 1] == '\t'))
            length--;
        if (length == n && strncasecmp(p, token, n) == 0)
            return true;
        p = rest;
    }
    return false;
}

bool http_head_has_token(const struct http_head *head, const char *name, const char *token)
{
    for (size_t i = 0; i < head->n_headers; i++)
        if (strcasecmp(head->headers[i].name, name) == 0 && has_token(head->headers[i].value, token))
            return true;
    return false;
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;
    return at == NULL ? -1 : (int)(at - digits) % 16;
}

bool http_percent_decode(char *text)
{
    char *to = text;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p != '%') {
            *to++ = *p;
            continue;
        }
        const int high = hex_digit(p[1]), low = high >= 0 ? hex_digit(p[2]) : -1;
        if (low < 0 || (high == 0 && low == 0))
            return false;
        *to++ = (char)(high * 16 + low);
        p += 2;
    }
    *to = '\0';
    return true;
}
