/* SPDX-License-Identifier: Apache-2.0
 *
 * http_answer.c - answers: whole, or as they come. */
#include <string.h>
#include <time.h>

#include "http_parts.h"

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
    turn_forget(t, true);
    if (t->http->is_stopped)
        t->is_kept = false;
    if (!t->is_kept) {
        struct connection *c = t->c;
        turn_release(t);
        connection_close(c);
        return;
    }
    turn_reset(t);
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
    else
        connection_end_by_reset(t->c);
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
    turn_forget(t, false);
    turn_release(t);
    connection_break(c); /* without the last chunk, or with a reset */
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
    turn_forget(t, true);
    connection_set_deadline(c, 0);
    turn_release(t);
    return c;
}

const char *http_peer(const struct http_request *r)
{
    return connection_peer(((const struct turn *)r)->c);
}
