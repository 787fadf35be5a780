/* SPDX-License-Identifier: Apache-2.0
 *
 * http.c - connections that speak HTTP, a turn each: from one request to the next. */
#include "http_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bytes.h"

enum { TURN_US = 1000 };

uint64_t http_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static void wake(struct http *http)
{
    evtimer_add(http->next, &(struct timeval){0});
}

/* As many a turn of the loop as a millisecond has room for, so that sound goes out between
 * requests that come together: each takes a part of one, for its text and its voice. */
static void hand_over(evutil_socket_t fd, short what, void *user)
{
    (void)fd, (void)what;
    struct http *http = user;
    const uint64_t until = http_now_us() + TURN_US;
    struct turn *t;
    while ((t = TAILQ_FIRST(&http->asked)) != NULL && http_now_us() < until) {
        struct connection *c = t->c; /* there until the next turn of the loop */
        TAILQ_REMOVE(&http->asked, t, asked);
        t->is_asked = false;
        http->handlers.on_request(http->handlers.user, &t->request);
        if (connection_has_ended(c))
            connection_poke(c); /* on_end looks whether it was answered */
    }
    if (t != NULL)
        wake(http);
}

csm_status http_new(struct event_base *base, const struct http_limits *limits,
                    const struct http_handlers *handlers, struct http **out, csm_error *err)
{
    struct http *http = calloc(1, sizeof *http);
    if (http != NULL)
        http->next = evtimer_new(base, hand_over, http);
    if (http == NULL || http->next == NULL) {
        free(http);
        return csm_fail(err, CSM_NO_MEMORY, "http: out of memory");
    }
    http->limits = *limits;
    http->handlers = *handlers;
    TAILQ_INIT(&http->asked);
    *out = http;
    return CSM_OK;
}

void http_free(struct http *http)
{
    if (http == NULL)
        return;
    event_free(http->next);
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

void turn_ask(struct turn *t)
{
    t->is_asked = true;
    TAILQ_INSERT_TAIL(&t->http->asked, t, asked);
    wake(t->http);
}

void turn_reset(struct turn *t)
{
    if (t->is_asked)
        TAILQ_REMOVE(&t->http->asked, t, asked);
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
    turn_reset(t);
    evbuffer_free(t->body);
    evbuffer_free(t->headers);
    free(t);
}

void turn_name(struct turn *t)
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

void turn_begin(struct turn *t)
{
    t->state = IN_ANSWER; /* until the body is asked for */
    t->request.head = (struct http_head){.method = ""};
    t->request.began_us = http_now_us();
    t->http->n_pending++;
    turn_name(t);
    connection_set_idle(t->c, false);
}

void turn_break(struct turn *t, int status, const char *why)
{
    t->is_kept = false;
    connection_set_deadline(t->c, 0);
    t->state = IN_ANSWER;
    t->http->handlers.on_broken(t->http->handlers.user, &t->request, status, why);
}

/* ---- the connection's news -------------------------------------------------------- */

bool turn_is_full(const struct turn *t)
{
    return connection_waiting(t->c) > CONNECTION_LOW_WATER;
}

/* A turn within it is freed by it: the loop looks whether it still lives. false: it does not. */
static bool read_on(struct turn *t, struct evbuffer *input)
{
    t->is_reading = true;
    while (t->c != NULL && turn_read_step(t, input)) {
    }
    t->is_reading = false;
    if (t->c != NULL)
        return true;
    turn_free(t);
    return false;
}

static void on_input(void *owner, struct evbuffer *input)
{
    read_on(owner, input);
}

/* Requests that are whole are handed over in their turn: the first that has no answer at once is
 * the last one, and its client gone. */
static void on_end(void *owner, struct evbuffer *input)
{
    struct turn *t = owner;
    if (!read_on(t, input) || t->is_asked || (t->state == IN_HEAD && turn_is_full(t)))
        return;
    struct connection *c = t->c;
    if (t->state != IN_HEAD) {
        connection_lose(c);
        return;
    }
    turn_release(t); /* all is answered, and nothing else was asked */
    connection_close(c);
}

void turn_forget(struct turn *t, bool has_ended)
{
    if (t->http->n_pending > 0 && t->request.began_us != 0) {
        t->http->n_pending--;
        t->http->handlers.on_answered(t->http->handlers.user, &t->request, has_ended);
    }
}

void turn_release(struct turn *t)
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
    turn_forget(t, false);
    turn_release(t);
    if (told != NULL)
        told(told_owner);
}

static void on_drained(void *owner)
{
    struct turn *t = owner;
    if (t->request.on_drained != NULL)
        t->request.on_drained(t->request.owner);
    else if (t->state == IN_HEAD)
        connection_poke(t->c); /* for requests that found it full */
}

static void on_deadline(void *owner)
{
    struct turn *t = owner;
    if (t->state == IN_HEAD && t->n_scanned == 0) { /* idle between two requests */
        struct connection *c = t->c;
        turn_release(t);
        connection_close(c);
        return;
    }
    if (t->state == IN_HEAD)
        turn_begin(t);
    turn_break(t, 408, "the request did not come in time");
}

static const struct connection_hooks hooks = {.on_input = on_input,
                                              .on_end = on_end,
                                              .on_drained = on_drained,
                                              .on_gone = on_gone,
                                              .on_deadline = on_deadline};

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

