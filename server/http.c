/* SPDX-License-Identifier: Apache-2.0
 *
 * http.c - the states of a connection that speaks HTTP. */
#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bytes.h"

enum { MAX_CHUNK_LINE = 256, MAX_TRAILERS = 8192, TLS_HANDSHAKE = 0x16 };

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
};

struct http {
    struct http_limits limits;
    struct http_handlers handlers;
    size_t n_bodies, n_pending;
    bool is_stopped;
};

uint64_t http_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static const char *status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } known[] = {{101, "Switching Protocols"},   {200, "OK"},
                 {201, "Created"},               {204, "No Content"},
                 {400, "Bad Request"},           {401, "Unauthorized"},
                 {403, "Forbidden"},             {404, "Not Found"},
                 {405, "Method Not Allowed"},    {408, "Request Timeout"},
                 {409, "Conflict"},              {411, "Length Required"},
                 {413, "Content Too Large"},     {415, "Unsupported Media Type"},
                 {417, "Expectation Failed"},    {426, "Upgrade Required"},
                 {431, "Request Header Fields Too Large"},
                 {500, "Internal Server Error"}, {501, "Not Implemented"},
                 {503, "Service Unavailable"},   {505, "HTTP Version Not Supported"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].status == status)
            return known[i].text;
    return "Unknown";
}

csm_status http_new(const struct http_limits *limits, const struct http_handlers *handlers,
                    struct http **out, csm_error *err)
{
    struct http *http = calloc(1, sizeof *http);
    if (http == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "http: out of memory");
    http->limits = *limits;
    http->handlers = *handlers;
    *out = http;
    return CSM_OK;
}

void http_free(struct http *http)
{
    free(http);
}

void http_stop(struct http *http)
{
    http->is_stopped = true;
}

size_t http_n_pending(const struct http *http)
{
    return http->n_pending;
}

/* ---- a turn ----------------------------------------------------------------- */

/* Ready for the next head. */
static void reset(struct turn *t)
{
    free(t->head_text);
    free(t->request.body);
    t->http->n_bodies -= t->n_counted;
    evbuffer_drain(t->body, evbuffer_get_length(t->body));
    evbuffer_drain(t->headers, evbuffer_get_length(t->headers));
    *t = (struct turn){.http = t->http,
                       .c = t->c,
                       .body = t->body,
                       .headers = t->headers,
                       .is_reading = t->is_reading};
}

static void turn_free(struct turn *t)
{
    reset(t);
    evbuffer_free(t->body);
    evbuffer_free(t->headers);
    free(t);
}

static void name_request(struct turn *t)
{
    const char *given = http_head_find(&t->request.head, "x-request-id");
    bool is_plain = given != NULL && *given != '\0' && strlen(given) <= 128;
    for (const char *p = given; is_plain && *p != '\0'; p++)
        is_plain = *p > 32 && *p < 127 && *p != '"' && *p != '\\';
    if (is_plain)
        snprintf(t->request.id, sizeof t->request.id, "%s", given);
    else
        bytes_random_name("req_", t->request.id);
}

static void begin_turn(struct turn *t)
{
    t->state = IN_ANSWER; /* until the body is asked for */
    t->request.head = (struct http_head){.method = ""};
    t->request.began_us = http_now_us();
    t->http->n_pending++;
    name_request(t);
    connection_set_idle(t->c, false);
}

static void broken(struct turn *t, int status, const char *why)
{
    t->is_kept = false;
    connection_set_deadline(t->c, 0);
    t->state = IN_ANSWER;
    t->http->handlers.on_broken(t->http->handlers.user, &t->request, status, why);
}

/* ---- reading ------------------------------------------------------------------ */

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
    begin_turn(t);
    if (first == TLS_HANDSHAKE) { /* its end of a head would never come */
        broken(t, 400, "expected http://, not https://: this port has no TLS");
        return true;
    }
    if (n == 0 || n > t->http->limits.max_head) {
        broken(t, 431, "the head of the request is too long");
        return true;
    }
    t->head_text = malloc(n);
    if (t->head_text == NULL) {
        broken(t, 503, "out of memory");
        return true;
    }
    evbuffer_remove(input, t->head_text, n);
    const char *why = "";
    const int status = http_head_parse(t->head_text, n, &t->request.head, &why);
    if (status != 0) {
        broken(t, status, why);
        return true;
    }
    name_request(t);
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
        broken(t, 413, "the body is too long");
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
        broken(t, 413, "the body is too long");
        return false;
    }
    if (http->n_bodies + n > http->limits.max_bodies) {
        broken(t, 503, "too many bodies at once");
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
        broken(t, 503, "out of memory");
        return;
    }
    evbuffer_remove(t->body, t->request.body, t->request.n_body);
    t->request.body[t->request.n_body] = '\0';
    t->http->handlers.on_request(t->http->handlers.user, &t->request);
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
        broken(t, 400, "a chunk: expected CRLF behind its bytes");
        return true;
    }
    evbuffer_drain(input, 2);
    t->state = IN_CHUNK_SIZE;
    return true;
}

/* One step of reading; false: more input is needed, or an answer is under way. */
static bool read_step(struct turn *t, struct evbuffer *input)
{
    const size_t n = evbuffer_get_length(input);
    char *line = NULL;
    size_t n_line = 0;
    if (t->state == IN_CHUNK_SIZE || t->state == IN_TRAILERS) {
        line = evbuffer_readln(input, &n_line, EVBUFFER_EOL_CRLF_STRICT);
        if (line == NULL && n > MAX_CHUNK_LINE + MAX_TRAILERS) {
            broken(t, 400, "a chunk's line is too long");
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
            broken(t, 400, "a chunk's size: expected a hexadecimal number");
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
            broken(t, 431, "the trailers are too long");
        break;
    case IN_ANSWER:
        return false;
    }
    free(line);
    return true;
}

/* A turn within on_input is freed by it: the loop looks whether it still lives. */
static void on_input(void *owner, struct evbuffer *input)
{
    struct turn *t = owner;
    t->is_reading = true;
    while (t->c != NULL && read_step(t, input)) {
    }
    if (t->c == NULL)
        turn_free(t);
    else
        t->is_reading = false;
}

/* ---- the connection's other news ------------------------------------------------- */

static void forget(struct turn *t, bool has_ended)
{
    if (t->http->n_pending > 0 && t->request.began_us != 0) {
        t->http->n_pending--;
        t->http->handlers.on_answered(t->http->handlers.user, &t->request, has_ended);
    }
}

/* Free now, or when on_input returns. */
static void release(struct turn *t)
{
    t->c = NULL;
    if (!t->is_reading)
        turn_free(t);
}

static void on_gone(void *owner)
{
    struct turn *t = owner;
    void (*told)(void *) = t->request.on_gone;
    void *told_owner = t->request.owner;
    forget(t, false);
    release(t);
    if (told != NULL)
        told(told_owner);
}

static void on_drained(void *owner)
{
    struct turn *t = owner;
    if (t->request.on_drained != NULL)
        t->request.on_drained(t->request.owner);
}

static void on_deadline(void *owner)
{
    struct turn *t = owner;
    if (t->state == IN_HEAD && t->n_scanned == 0) { /* idle between two requests */
        struct connection *c = t->c;
        release(t);
        connection_close(c);
        return;
    }
    if (t->state == IN_HEAD)
        begin_turn(t);
    broken(t, 408, "the request did not come in time");
}

static const struct connection_hooks hooks = {on_input, on_drained, on_gone, on_deadline};

void http_accept(void *user, struct connection *c)
{
    struct http *http = user;
    struct turn *t = calloc(1, sizeof *t);
    if (t != NULL) {
        t->body = evbuffer_new();
        t->headers = evbuffer_new();
    }
    if (t == NULL || t->body == NULL || t->headers == NULL) {
        if (t != NULL && t->body != NULL)
            evbuffer_free(t->body);
        free(t);
        connection_drop(c);
        return;
    }
    t->http = http;
    t->c = c;
    connection_own(c, &hooks, t);
    connection_set_idle(c, true);
    connection_set_deadline(c, http->limits.head_ms);
}

/* ---- answering -------------------------------------------------------------------- */

static struct turn *turn_of(struct http_request *r)
{
    return (struct turn *)r;
}

void http_header(struct http_request *r, const char *name, const char *format, ...)
{
    struct evbuffer *headers = turn_of(r)->headers;
    evbuffer_add_printf(headers, "%s: ", name);
    va_list args;
    va_start(args, format);
    evbuffer_add_vprintf(headers, format, args);
    va_end(args);
    evbuffer_add(headers, "\r\n", 2);
}

static void write_head(struct turn *t, int status, const char *type)
{
    t->has_begun = true;
    t->request.status = status;
    if (t->http->is_stopped)
        t->is_kept = false;
    char date[64];
    const time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &utc); /* the C locale's names */
    struct evbuffer *out = connection_output(t->c);
    evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\nX-Request-Id: %s\r\n", status,
                        status_text(status), date, t->request.id);
    if (type != NULL)
        evbuffer_add_printf(out, "Content-Type: %s\r\n", type);
    if (!t->is_kept)
        evbuffer_add_printf(out, "Connection: close\r\n");
    else if (t->request.head.is_http_10)
        evbuffer_add_printf(out, "Connection: keep-alive\r\n");
    evbuffer_add_buffer(out, t->headers);
}

/* The answer is handed over: the next request, or the end. */
static void finish(struct turn *t)
{
    forget(t, true);
    if (t->http->is_stopped)
        t->is_kept = false;
    if (!t->is_kept) {
        struct connection *c = t->c;
        release(t);
        connection_close(c);
        return;
    }
    reset(t);
    connection_set_idle(t->c, true);
    connection_set_deadline(t->c, t->http->limits.idle_ms);
    if (!t->is_reading)
        connection_poke(t->c);
}

void http_answer(struct http_request *r, int status, const char *type, const void *body, size_t n)
{
    struct turn *t = turn_of(r);
    const bool is_head = strcmp(r->head.method, "HEAD") == 0;
    write_head(t, status, type);
    struct evbuffer *out = connection_output(t->c);
    if (status != 204)
        evbuffer_add_printf(out, "Content-Length: %zu\r\n", n);
    evbuffer_add(out, "\r\n", 2);
    if (!is_head)
        evbuffer_add(out, body, n);
    r->n_sent = is_head ? 0 : n;
    finish(t);
}

void http_begin(struct http_request *r, int status, const char *type, const char *trailers)
{
    struct turn *t = turn_of(r);
    t->is_chunked = !r->head.is_http_10;
    t->is_kept = t->is_kept && t->is_chunked;
    write_head(t, status, type);
    struct evbuffer *out = connection_output(t->c);
    if (t->is_chunked)
        evbuffer_add_printf(out, "Transfer-Encoding: chunked\r\n");
    if (t->is_chunked && *trailers != '\0')
        evbuffer_add_printf(out, "Trailer: %s\r\n", trailers);
    evbuffer_add(out, "\r\n", 2);
}

void http_push(struct http_request *r, const void *bytes, size_t n)
{
    struct turn *t = turn_of(r);
    if (n == 0)
        return;
    struct evbuffer *out = connection_output(t->c);
    if (t->is_chunked)
        evbuffer_add_printf(out, "%zx\r\n", n);
    evbuffer_add(out, bytes, n);
    if (t->is_chunked)
        evbuffer_add(out, "\r\n", 2);
    r->n_sent += n;
}

void http_end(struct http_request *r, const char *trailers)
{
    struct turn *t = turn_of(r);
    if (t->is_chunked)
        evbuffer_add_printf(connection_output(t->c), "0\r\n%s\r\n", trailers);
    finish(t);
}

void http_break(struct http_request *r)
{
    struct turn *t = turn_of(r);
    struct connection *c = t->c;
    forget(t, false);
    release(t);
    connection_close(c); /* without the last chunk */
}

size_t http_waiting(const struct http_request *r)
{
    return connection_waiting(((const struct turn *)r)->c);
}

struct connection *http_leave(struct http_request *r)
{
    struct turn *t = turn_of(r);
    struct connection *c = t->c;
    r->status = 101;
    forget(t, true);
    connection_set_deadline(c, 0);
    release(t);
    return c;
}

const char *http_peer(const struct http_request *r)
{
    return connection_peer(((const struct turn *)r)->c);
}
