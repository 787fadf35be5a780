/* SPDX-License-Identifier: Apache-2.0
 *
 * http.h - HTTP/1.1 over a connection: requests in, answers out, one after another.
 *
 * A request is handed over when its head is there (to be refused before its body is read) and
 * again when it is whole, a few a turn of the loop. It is answered whole (http_answer), or as the sound
 * comes (http_begin, http_push, http_end), at once or later; until the last byte of the
 * answer is handed over, its owner hears when the client takes bytes and when it leaves. */
#ifndef CSM_SERVER_HTTP_H
#define CSM_SERVER_HTTP_H

#include <stdarg.h>
#include <stdint.h>

#include "connection.h"
#include "http_head.h"

struct http_limits {
    size_t max_head;   /* bytes of a request's head */
    size_t max_body;   /* bytes of a request's body */
    size_t max_bodies; /* bytes of all bodies that are being held */
    int head_ms;       /* from a head's first byte to its last */
    int body_ms;       /* from a body's first byte to its last */
    int idle_ms;       /* between an answer and the next request */
};

struct http_request {
    struct http_head head;
    char *body; /* [n_body] and a zero behind it, once the request is whole */
    size_t n_body;
    char id[132];         /* the client's X-Request-Id, or one of ours */
    uint64_t began_us;    /* when its head was there, on http_now_us's clock */

    /* Set by whoever answers later; NULL: not told. After on_gone the request is no more. */
    void *owner;
    void (*on_gone)(void *owner);
    void (*on_drained)(void *owner);

    /* Of the answer, for the log. */
    int status;
    uint64_t n_sent;
};

struct http; /* all connections that speak it */

struct http_handlers {
    void (*on_head)(void *user, struct http_request *r); /* may answer: the body is not read then */
    void (*on_request)(void *user, struct http_request *r);
    /* What was no HTTP, or beyond the limits: to be answered with this status. */
    void (*on_broken)(void *user, struct http_request *r, int status, const char *why);
    /* The answer is handed over or the client has left (has_ended false). */
    void (*on_answered)(void *user, const struct http_request *r, bool has_ended);
    void *user;
};

csm_status http_new(struct event_base *base, const struct http_limits *limits,
                    const struct http_handlers *handlers, struct http **out, csm_error *err);
void http_free(struct http *http); /* after its connections; takes NULL */

/* For connections_listen: user is the struct http. */
void http_accept(void *http, struct connection *c);

/* No request after those under way: their answers say "Connection: close". */
void http_stop(struct http *http);
size_t http_n_pending(const struct http *http); /* requests not yet answered whole */

/* A header of the answer, before it begins. The value has no line ends. */
void http_header(struct http_request *r, const char *name, const char *format, ...)
    CSM_PRINTF(3, 4);

void http_answer(struct http_request *r, int status, const char *type, const void *body, size_t n);

/* An answer of unknown length. `trailers` names the headers that http_end may add. */
void http_begin(struct http_request *r, int status, const char *type, const char *trailers);
void http_push(struct http_request *r, const void *bytes, size_t n);
/* trailers: "Name: value\r\n" lines, "" for none. The request is no more. */
void http_end(struct http_request *r, const char *trailers);
/* What was begun cannot be completed: the client must see that the end is missing. */
void http_break(struct http_request *r);

size_t http_waiting(const struct http_request *r); /* bytes not yet taken by the system */

/* Leave HTTP: the connection is the caller's, the request is no more, nothing was sent. */
struct connection *http_leave(struct http_request *r);

const char *http_peer(const struct http_request *r);
uint64_t http_now_us(void); /* a monotonic clock */

#endif
