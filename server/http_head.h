/* SPDX-License-Identifier: Apache-2.0
 *
 * http_head.h - the head of an HTTP/1.1 request (RFC 9112), read strictly: what two
 * readers could take differently (bare LF, folded lines, two lengths) is refused, so
 * that a proxy in front and this server never disagree on where a request ends. */
#ifndef CSM_SERVER_HTTP_HEAD_H
#define CSM_SERVER_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HTTP_MAX_HEADERS = 100 };

struct http_header {
    const char *name, *value;
};

/* All strings point into the text that was parsed. */
struct http_head {
    const char *method; /* upper case as sent: "GET" */
    const char *path;   /* of the target, still percent-encoded, begins with '/' (or is "*").
                         * Of a target without a path "/" */
    const char *query;  /* after '?', "" without */
    bool is_http_10;
    struct http_header headers[HTTP_MAX_HEADERS];
    size_t n_headers;

    bool has_length, is_chunked; /* of the body; neither: no body */
    uint64_t length;
    bool is_kept;        /* the connection, after the answer */
    bool is_continue;    /* "Expect: 100-continue" */
    bool is_websocket;   /* "Upgrade: websocket" and "Connection: upgrade" */
};

/* Parse a head in place, from the request line to the empty line, both included.
 *
 *   text  [n] bytes, overwritten; outlives the head
 *   why   receives a line for a person when it is refused
 *
 * Returns 0, or the status to answer with: 400, 431 (too many headers), 501 (a
 * transfer coding other than chunked), 415 (a content coding), 417 (an expectation other
 * than 100-continue), 505 (not HTTP/1.0 or 1.1). */
int http_head_parse(char *text, size_t n, struct http_head *head, const char **why);

/* The value of a header, the name in any case; NULL when there is none. */
const char *http_head_find(const struct http_head *head, const char *name);

/* Whether the comma-separated values of a header have this token, in any case; a header
 * may come in several lines (RFC 9110, 5.3). */
bool http_head_has_token(const struct http_head *head, const char *name, const char *token);

/* Decode %XX in place; false: a % that is none of these, or a NUL. */
bool http_percent_decode(char *text);

#endif
