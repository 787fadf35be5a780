/* SPDX-License-Identifier: Apache-2.0
 *
 * http_parts.h - what the parts of http.h share: http.c has the connections, http_read.c takes
 * requests from them, http_answer.c writes the answers. */
#ifndef CSM_SERVER_HTTP_PARTS_H
#define CSM_SERVER_HTTP_PARTS_H

#include <sys/queue.h>

#include "http.h"

enum state { IN_HEAD, IN_BODY, IN_CHUNK_SIZE, IN_CHUNK, IN_CHUNK_END, IN_TRAILERS, IN_ANSWER };

struct turn {
    struct http_request request; /* first: a request is its turn */
    struct http *http;
    struct connection *c;
    enum state state;
    char *head_text;
    size_t n_scanned;      /* of the input, without the end of a head */
    uint64_t n_left;       /* of the body, or of its chunk */
    struct evbuffer *body; /* as it comes */
    size_t n_counted;      /* of max_bodies */
    size_t n_trailers;
    struct evbuffer *headers; /* of the answer */
    bool is_kept, has_begun, is_chunked;
    bool is_reading; /* within on_input: a finished answer goes on there */
    bool is_asked;   /* whole, and listed among those to be handed over: */
    TAILQ_ENTRY(turn) asked;
};

struct http {
    struct http_limits limits;
    struct http_handlers handlers;
    size_t n_bodies, n_pending;
    bool is_stopped;
    TAILQ_HEAD(, turn) asked; /* in the order in which they were whole */
    struct event *next;       /* hands over the first of them */
};

/* ---- http.c ---------------------------------------------------------------------------- */

/* A request begins: its head is there, or will not come. */
void turn_begin(struct turn *t);

/* What came is no request, or beyond the limits: answered so, and the connection's last. */
void turn_break(struct turn *t, int status, const char *why);

/* It is whole: it is handed over when its turn has come. */
void turn_ask(struct turn *t);

/* Its id: the client's, or one of ours. */
void turn_name(struct turn *t);

/* So much waits for the client that nothing else is begun: who asks on and on and takes no answer
 * would have the memory of all. */
bool turn_is_full(const struct turn *t);

/* Ready for the next head. */
void turn_reset(struct turn *t);

/* Its answer is handed over, or the client has left: whoever counts is told. */
void turn_forget(struct turn *t, bool has_ended);

/* Free it now, or when on_input returns. */
void turn_release(struct turn *t);

/* ---- http_read.c -------------------------------------------------------------------------- */

/* One step of reading; false: more input is needed, or an answer is under way. */
bool turn_read_step(struct turn *t, struct evbuffer *input);

#endif
