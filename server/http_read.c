/* SPDX-License-Identifier: Apache-2.0
 *
 * http_read.c - requests as they come: heads, bodies by length or in chunks, trailers. */
#include <stdlib.h>
#include <string.h>

#include "http_parts.h"

enum { MAX_CHUNK_LINE = 256, MAX_TRAILERS = 8192, TLS_HANDSHAKE = 0x16 };

/* The end of the head in the input: how many bytes it has; 0: it goes on. */
static size_t find_head_end(struct turn *t, struct evbuffer *input)
{
    struct evbuffer_ptr at;
    evbuffer_ptr_set(input, &at, t->n_scanned, EVBUFFER_PTR_SET);
    for (;;) {
        at = evbuffer_search(input, "\n", 1, &at);
        if (at.pos < 0)
            break;
        char next[2];
        struct evbuffer_ptr behind = at;
        if (evbuffer_ptr_set(input, &behind, 1, EVBUFFER_PTR_ADD) != 0)
            break;
        const ev_ssize_t n = evbuffer_copyout_from(input, &behind, next, 2);
        if (n >= 1 && next[0] == '\n')
            return (size_t)at.pos + 2;
        if (n == 2 && next[0] == '\r' && next[1] == '\n')
            return (size_t)at.pos + 3;
        if (n < 2 && (n < 1 || next[0] == '\r')) { /* look at this one again */
            t->n_scanned = (size_t)at.pos;
            return 0;
        }
        at = behind;
    }
    t->n_scanned = evbuffer_get_length(input);
    return 0;
}

/* Skip empty lines before a head, as RFC 9112 asks. */
static void skip_empty_lines(struct evbuffer *input)
{
    char two[2];
    while (evbuffer_copyout(input, two, 2) == 2 && two[0] == '\r' && two[1] == '\n')
        evbuffer_drain(input, 2);
}

static void ask_for_body(struct turn *t)
{
    const struct http_head *head = &t->request.head;
    if (head->is_continue)
        evbuffer_add_printf(connection_output(t->c), "HTTP/1.1 100 Continue\r\n\r\n");
    t->state = head->is_chunked ? IN_CHUNK_SIZE : IN_BODY;
    t->n_left = head->length;
    connection_set_deadline(t->c, t->http->limits.body_ms);
}

static bool read_head(struct turn *t, struct evbuffer *input)
{
    if (turn_is_full(t))
        return false;
    if (t->n_scanned == 0)
        skip_empty_lines(input);
    if (evbuffer_get_length(input) == 0)
        return false;
    if (t->n_scanned == 0)
        connection_set_deadline(t->c, t->http->limits.head_ms);
    const size_t n = find_head_end(t, input);
    unsigned char first = 0;
    evbuffer_copyout(input, &first, 1);
    if (n == 0 && first != TLS_HANDSHAKE && evbuffer_get_length(input) <= t->http->limits.max_head)
        return false;
    turn_begin(t);
    if (first == TLS_HANDSHAKE) { /* its end of a head would never come */
        turn_break(t, 400, "expected http://, not https://: this port has no TLS");
        return true;
    }
    if (n == 0 || n > t->http->limits.max_head) {
        turn_break(t, 431, "the head of the request is too long");
        return true;
    }
    t->head_text = malloc(n);
    if (t->head_text == NULL) {
        turn_break(t, 503, "out of memory");
        return true;
    }
    evbuffer_remove(input, t->head_text, n);
    const char *why = "";
    const int status = http_head_parse(t->head_text, n, &t->request.head, &why);
    if (status != 0) {
        turn_break(t, status, why);
        return true;
    }
    turn_name(t);
    const struct http_head *head = &t->request.head;
    t->is_kept = head->is_kept && !t->http->is_stopped;
    connection_set_deadline(t->c, 0);
    const bool has_body = head->is_chunked || head->length > 0;
    const bool is_kept = t->is_kept;
    t->is_kept = t->is_kept && !has_body; /* an answer before the body ends the connection */
    t->http->handlers.on_head(t->http->handlers.user, &t->request);
    if (t->c == NULL || t->state != IN_ANSWER || t->has_begun)
        return true; /* answered, and perhaps already over */
    if (head->is_chunked == false && head->length > t->http->limits.max_body) {
        turn_break(t, 413, "the body is too long");
        return true;
    }
    t->is_kept = is_kept;
    ask_for_body(t);
    return true;
}

/* Move up to n bytes of the input into the body; false: that is too much, and answered. */
static bool take_body(struct turn *t, struct evbuffer *input, size_t n)
{
    struct http *http = t->http;
    if (evbuffer_get_length(t->body) + n > http->limits.max_body) {
        turn_break(t, 413, "the body is too long");
        return false;
    }
    if (http->n_bodies + n > http->limits.max_bodies) {
        turn_break(t, 503, "too many bodies at once");
        return false;
    }
    evbuffer_remove_buffer(input, t->body, n);
    http->n_bodies += n;
    t->n_counted += n;
    t->n_left -= n;
    return true;
}

static void whole(struct turn *t)
{
    connection_set_deadline(t->c, 0);
    t->state = IN_ANSWER;
    t->request.n_body = evbuffer_get_length(t->body);
    t->request.body = malloc(t->request.n_body + 1);
    if (t->request.body == NULL) {
        turn_break(t, 503, "out of memory");
        return;
    }
    evbuffer_remove(t->body, t->request.body, t->request.n_body);
    t->request.body[t->request.n_body] = '\0';
    turn_ask(t);
}

/* A chunk's line "HEX[;extension]". */
static bool parse_chunk_size(const char *line, uint64_t *size)
{
    const size_t n = strspn(line, "0123456789abcdefABCDEF"), n_zeros = strspn(line, "0");
    if (n == 0 || n - n_zeros > 8 || (line[n] != '\0' && strchr("; \t", line[n]) == NULL))
        return false;
    *size = strtoull(line, NULL, 16);
    return true;
}

/* The CRLF behind a chunk's bytes. */
static bool read_chunk_end(struct turn *t, struct evbuffer *input)
{
    char end[2];
    const ev_ssize_t n = evbuffer_copyout(input, end, 2);
    if (n < 1 || (n == 1 && end[0] == '\r'))
        return false;
    if (n < 2 || end[0] != '\r' || end[1] != '\n') {
        turn_break(t, 400, "a chunk: expected CRLF behind its bytes");
        return true;
    }
    evbuffer_drain(input, 2);
    t->state = IN_CHUNK_SIZE;
    return true;
}

bool turn_read_step(struct turn *t, struct evbuffer *input)
{
    const size_t n = evbuffer_get_length(input);
    char *line = NULL;
    size_t n_line = 0;
    if (t->state == IN_CHUNK_SIZE || t->state == IN_TRAILERS) {
        line = evbuffer_readln(input, &n_line, EVBUFFER_EOL_CRLF_STRICT);
        if (line == NULL && n > MAX_CHUNK_LINE + MAX_TRAILERS) {
            turn_break(t, 400, "a chunk's line is too long");
            return true;
        }
        if (line == NULL)
            return false;
    }
    switch (t->state) {
    case IN_HEAD:
        return read_head(t, input);
    case IN_BODY:
    case IN_CHUNK: {
        const size_t taken = n < t->n_left ? n : (size_t)t->n_left;
        if (!take_body(t, input, taken))
            return true;
        if (t->n_left > 0)
            return false;
        if (t->state == IN_BODY)
            whole(t);
        else
            t->state = IN_CHUNK_END;
        return true;
    }
    case IN_CHUNK_SIZE:
        if (n_line > MAX_CHUNK_LINE || !parse_chunk_size(line, &t->n_left))
            turn_break(t, 400, "a chunk's size: expected a hexadecimal number");
        else
            t->state = t->n_left == 0 ? IN_TRAILERS : IN_CHUNK;
        break;
    case IN_CHUNK_END:
        return read_chunk_end(t, input);
    case IN_TRAILERS:
        t->n_trailers += n_line;
        if (n_line == 0)
            whole(t);
        else if (t->n_trailers > MAX_TRAILERS)
            turn_break(t, 431, "the trailers are too long");
        break;
    case IN_ANSWER:
        return false;
    }
    free(line);
    return true;
}
