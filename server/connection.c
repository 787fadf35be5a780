/* SPDX-License-Identifier: Apache-2.0
 *
 * connection.c - sockets over libevent's bufferevents.
 *
 * A connection is freed one turn of the loop after it ended, so that a protocol may close
 * it from within any hook. Closing lingers: what waits is sent, then the sending half is
 * shut and what still comes is read away, since a close over unread bytes resets the
 * connection and may take the answer with it. */
#include "connection.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

enum {
    LINGER_MS = 2000,
    FLUSH_MS = 60000,
    LEAST_FLUSHED = 64 * 1024, /* in each FLUSH_MS */
    MOST_FLUSHED = 256 * 1024 * 1024, /* of all, past the first FLUSH_MS */
    READ_HIGH_WATER = 256 * 1024,
    MAX_LISTENERS = 16,
    RETRY_MS = 100
};

enum phase { OPEN, FLUSHING, LINGERING, DEAD };

struct connection {
    struct connections *all;
    struct bufferevent *bev;
    struct event *deadline;
    struct connection_hooks hooks;
    void *owner;
    enum phase phase;
    bool is_idle, was_busy;
    bool is_ended;        /* the client sends no more */
    bool ends_by_reset;   /* unless all was sent */
    bool is_broken;       /* not all will be */
    size_t n_to_flush;    /* when its deadline was set */
    char peer[64];
    TAILQ_ENTRY(connection) entry;
};
TAILQ_HEAD(connection_list, connection);

struct listener {
    struct evconnlistener *socket;
    void (*on_accept)(void *user, struct connection *c);
    void *user;
    struct connections *all;
};

struct connections {
    struct event_base *base;
    struct connection_limits limits;
    struct connection_list open; /* idle ones in the order in which they became so */
    struct connection_list dead;
    size_t n_open;
    bool is_paused, is_stopped;
    struct event *bury, *retry;
    struct listener listeners[MAX_LISTENERS];
    size_t n_listeners;
    SSL_CTX *tls;
};

static struct timeval milliseconds(int ms)
{
    return (struct timeval){ms / 1000, ms % 1000 * 1000};
}

static void pause_listening(struct connections *all, bool is_paused)
{
    if (all->is_paused == is_paused || all->is_stopped)
        return;
    all->is_paused = is_paused;
    for (size_t i = 0; i < all->n_listeners; i++) {
        if (is_paused)
            evconnlistener_disable(all->listeners[i].socket);
        else
            evconnlistener_enable(all->listeners[i].socket);
    }
}

static void die(struct connection *c)
{
    if (c->phase == DEAD)
        return;
    c->phase = DEAD;
    bufferevent_disable(c->bev, EV_READ | EV_WRITE);
    bufferevent_setcb(c->bev, NULL, NULL, NULL, NULL);
    event_del(c->deadline);
    TAILQ_REMOVE(&c->all->open, c, entry);
    TAILQ_INSERT_TAIL(&c->all->dead, c, entry);
    event_active(c->all->bury, 0, 0);
}

static void on_bury(evutil_socket_t fd, short what, void *user)
{
    (void)fd, (void)what;
    struct connections *all = user;
    struct connection *c;
    while ((c = TAILQ_FIRST(&all->dead)) != NULL) {
        TAILQ_REMOVE(&all->dead, c, entry);
        event_free(c->deadline);
        bufferevent_free(c->bev);
        free(c);
        all->n_open--;
    }
    pause_listening(all, false);
}

/* The client's doing: the owner hears of it. */
static void lose(struct connection *c)
{
    void (*on_gone)(void *) = c->hooks.on_gone;
    void *owner = c->owner;
    c->hooks = (struct connection_hooks){0};
    die(c);
    if (on_gone != NULL)
        on_gone(owner);
}

/* Closed at once, a socket of this kind is reset; the system does it for a process that died, too. */
static void set_reset(struct connection *c, bool is_set)
{
    const struct linger how = {.l_onoff = is_set};
    setsockopt(bufferevent_getfd(c->bev), SOL_SOCKET, SO_LINGER, &how, sizeof how);
    c->ends_by_reset = is_set;
}

/* All is sent. */
static void linger(struct connection *c)
{
    if (c->ends_by_reset && c->is_broken) {
        die(c);
        return;
    }
    if (c->ends_by_reset)
        set_reset(c, false);
    c->phase = LINGERING;
    if (c->all->tls != NULL)
        SSL_shutdown(bufferevent_openssl_get_ssl(c->bev));
    shutdown(bufferevent_getfd(c->bev), SHUT_WR);
    if (c->is_ended) /* nothing comes that would have to be read away */
        die(c);
    else
        connection_set_deadline(c, LINGER_MS);
}

/* The end of what a client sends is its end, unless its protocol has an answer for it: who has left
 * looks the same. */
static void end_input(struct connection *c)
{
    c->is_ended = true;
    if (c->phase == OPEN && c->hooks.on_end != NULL)
        c->hooks.on_end(c->owner, bufferevent_get_input(c->bev));
    else if (c->phase != FLUSHING)
        lose(c);
}

static void on_read(struct bufferevent *bev, void *user)
{
    struct connection *c = user;
    struct evbuffer *input = bufferevent_get_input(bev);
    if (c->phase != OPEN)
        evbuffer_drain(input, evbuffer_get_length(input));
    else if (c->is_ended) /* poked */
        end_input(c);
    else if (c->hooks.on_input != NULL)
        c->hooks.on_input(c->owner, input);
}

static void on_write(struct bufferevent *bev, void *user)
{
    struct connection *c = user;
    if (c->phase == FLUSHING) {
        if (evbuffer_get_length(bufferevent_get_output(bev)) == 0)
            linger(c);
    } else if (c->phase == OPEN && c->hooks.on_drained != NULL) {
        c->hooks.on_drained(c->owner);
    }
    const bool is_answered = c->phase == OPEN && c->is_idle && c->was_busy && connection_waiting(c) == 0 &&
                             evbuffer_get_length(bufferevent_get_input(bev)) == 0;
    if (is_answered && c->all->is_paused) /* others wait for its place */
        lose(c);
}

static bool is_plain_http(struct bufferevent *bev, const struct connection *c)
{
    bool is_plain = false;
    unsigned long wrong;
    while (c->all->tls != NULL && (wrong = bufferevent_get_openssl_error(bev)) != 0)
        is_plain = is_plain || ERR_GET_REASON(wrong) == SSL_R_HTTP_REQUEST;
    return is_plain;
}

/* To http:// on a port with TLS: past the TLS, which has nothing to send. What is unread would
 * reset the connection, and take the answer with it; who sends on and on does not keep the loop. */
static void refuse_plain_http(struct connection *c)
{
    static const char answer[] =
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
        "{\"error\":{\"message\":\"expected https://, not http://: this port has TLS\","
        "\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"invalid_request\"}}";
    enum { MOST_AWAY = 64 }; /* pieces: 256 KiB */
    const evutil_socket_t fd = bufferevent_getfd(c->bev);
    char away[4096];
    for (int i = 0; i < MOST_AWAY && recv(fd, away, sizeof away, MSG_DONTWAIT) > 0; i++) {
    }
    send(fd, answer, sizeof answer - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
}

static void on_event(struct bufferevent *bev, short what, void *user)
{
    struct connection *c = user;
    if ((what & BEV_EVENT_CONNECTED) != 0)
        return; /* the TLS handshake is done */
    if (is_plain_http(bev, c))
        refuse_plain_http(c);
    while (ERR_get_error() != 0) {
    }
    const short why = what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT); /* of both directions */
    if (why == BEV_EVENT_EOF && c->all->tls == NULL)
        end_input(c);
    else
        lose(c);
}

static void flush_on(struct connection *c)
{
    c->n_to_flush = connection_waiting(c);
    connection_set_deadline(c, FLUSH_MS);
}

/* A long answer over a slow link takes as long as it takes, unless the server ends, or what waits so
 * would fill the memory. */
static bool may_flush_on(const struct connection *c)
{
    size_t n_all = 0;
    const struct connection *other;
    TAILQ_FOREACH(other, &c->all->open, entry)
        n_all += other->phase == FLUSHING ? connection_waiting(other) : 0;
    return c->phase == FLUSHING && !c->all->is_stopped && n_all <= MOST_FLUSHED &&
           connection_waiting(c) + LEAST_FLUSHED <= c->n_to_flush;
}

static void on_deadline(evutil_socket_t fd, short what, void *user)
{
    (void)fd, (void)what;
    struct connection *c = user;
    if (c->phase == OPEN && c->hooks.on_deadline != NULL)
        c->hooks.on_deadline(c->owner);
    else if (may_flush_on(c))
        flush_on(c);
    else
        lose(c);
}

/* Close the connection that is idle longest, and has taken its answers; false: none is. */
static bool make_room(struct connections *all)
{
    struct connection *c;
    TAILQ_FOREACH(c, &all->open, entry)
        if (c->is_idle && c->phase == OPEN && connection_waiting(c) == 0) {
            lose(c);
            return true;
        }
    return false;
}

static void name_peer(struct connection *c, struct sockaddr *address, int length)
{
    char host[48] = "?";
    getnameinfo(address, (socklen_t)length, host, sizeof host, NULL, 0, NI_NUMERICHOST);
    snprintf(c->peer, sizeof c->peer, "%s", host);
}

static void on_accept(struct evconnlistener *socket, evutil_socket_t fd, struct sockaddr *address,
                      int length, void *user)
{
    (void)socket;
    struct listener *l = user;
    struct connections *all = l->all;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* a frame goes when it is there */
    struct connection *c = calloc(1, sizeof *c);
    const int options = BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS;
    if (c != NULL) {
        c->all = all;
        SSL *ssl = all->tls != NULL ? SSL_new(all->tls) : NULL;
        c->bev = all->tls == NULL ? bufferevent_socket_new(all->base, fd, options)
                                  : bufferevent_openssl_socket_new(all->base, fd, ssl,
                                                                   BUFFEREVENT_SSL_ACCEPTING, options);
        c->deadline = evtimer_new(all->base, on_deadline, c);
    }
    if (c == NULL || c->bev == NULL || c->deadline == NULL) {
        if (c != NULL && c->bev != NULL)
            bufferevent_free(c->bev);
        else
            evutil_closesocket(fd);
        free(c);
        return;
    }
    name_peer(c, address, length);
    TAILQ_INSERT_TAIL(&all->open, c, entry);
    all->n_open++;
    bufferevent_setcb(c->bev, on_read, on_write, on_event, c);
    bufferevent_setwatermark(c->bev, EV_WRITE, CONNECTION_LOW_WATER, 0);
    bufferevent_setwatermark(c->bev, EV_READ, 0, READ_HIGH_WATER);
    const struct timeval write_timeout = milliseconds(all->limits.write_ms);
    bufferevent_set_timeouts(c->bev, NULL, &write_timeout);
    if (all->n_open >= all->limits.max_sockets && !make_room(all)) /* it is not idle yet itself */
        pause_listening(all, true);
    l->on_accept(l->user, c);
    bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

/* Out of descriptors, say: wait until a connection ends, or for a while where others have them all. */
static void on_accept_error(struct evconnlistener *socket, void *user)
{
    (void)socket;
    const struct listener *l = user;
    struct connections *all = l->all;
    const struct timeval after = milliseconds(RETRY_MS);
    if (make_room(all))
        return;
    pause_listening(all, true);
    event_add(all->retry, &after);
}

static void on_retry(evutil_socket_t fd, short what, void *user)
{
    (void)fd, (void)what;
    struct connections *all = user;
    if (all->n_open < all->limits.max_sockets)
        pause_listening(all, false);
}

csm_status connections_new(struct event_base *base, const struct connection_limits *limits,
                           struct connections **out, csm_error *err)
{
    struct connections *all = calloc(1, sizeof *all);
    if (all != NULL) {
        all->bury = event_new(base, -1, 0, on_bury, all);
        all->retry = evtimer_new(base, on_retry, all);
    }
    if (all == NULL || all->bury == NULL || all->retry == NULL) {
        if (all != NULL && all->bury != NULL)
            event_free(all->bury);
        free(all);
        return csm_fail(err, CSM_NO_MEMORY, "connections: out of memory");
    }
    all->base = base;
    all->limits = *limits;
    TAILQ_INIT(&all->open);
    TAILQ_INIT(&all->dead);
    *out = all;
    return CSM_OK;
}

void connections_free(struct connections *all)
{
    if (all == NULL)
        return;
    struct connection *c;
    while ((c = TAILQ_FIRST(&all->open)) != NULL)
        lose(c);
    for (size_t i = 0; i < all->n_listeners; i++)
        evconnlistener_free(all->listeners[i].socket);
    all->n_listeners = 0;
    on_bury(-1, 0, all);
    event_base_loop(all->base, EVLOOP_NONBLOCK); /* a call that was still to come has its bufferevent's memory */
    event_free(all->bury);
    event_free(all->retry);
    SSL_CTX_free(all->tls);
    free(all);
}

static int bound_port(evutil_socket_t fd)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    char port[16] = "0";
    if (getsockname(fd, (struct sockaddr *)&address, &length) == 0)
        getnameinfo((struct sockaddr *)&address, length, NULL, 0, port, sizeof port, NI_NUMERICSERV);
    return atoi(port);
}

static void set_port(struct addrinfo *a, int port)
{
    for (; a != NULL; a = a->ai_next)
        if (a->ai_family == AF_INET)
            ((struct sockaddr_in *)a->ai_addr)->sin_port = htons((uint16_t)port);
        else if (a->ai_family == AF_INET6)
            ((struct sockaddr_in6 *)a->ai_addr)->sin6_port = htons((uint16_t)port);
}

/* Resolvers may give an address twice, for a name that stands twice in /etc/hosts. */
static bool came_before(const struct addrinfo *first, const struct addrinfo *a)
{
    for (; first != a; first = first->ai_next)
        if (first->ai_addrlen == a->ai_addrlen && memcmp(first->ai_addr, a->ai_addr, a->ai_addrlen) == 0)
            return true;
    return false;
}

static csm_status listen_at(struct connections *all, const struct listener *how, const struct addrinfo *a,
                            csm_error *err)
{
    char name[INET6_ADDRSTRLEN + 16] = "?", port[16] = "?";
    getnameinfo(a->ai_addr, a->ai_addrlen, name, sizeof name, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    if (all->n_listeners == MAX_LISTENERS)
        return csm_fail(err, CSM_BAD_FILE, "%s, port %s: more than %d listening sockets", name, port, MAX_LISTENERS);
    struct listener *l = &all->listeners[all->n_listeners];
    *l = *how;
    l->socket = evconnlistener_new_bind(all->base, on_accept, l,
                                        LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_EXEC, 1024,
                                        a->ai_addr, (int)a->ai_addrlen);
    if (l->socket == NULL)
        return csm_fail(err, CSM_BAD_FILE, "%s, port %s: %s", name, port, strerror(errno));
    evconnlistener_set_error_cb(l->socket, on_accept_error);
    all->n_listeners++;
    return CSM_OK;
}

csm_status connections_listen(struct connections *all, const char *host, int port,
                              void (*accepted)(void *user, struct connection *c), void *user,
                              int *bound, csm_error *missed, csm_error *err)
{
    const struct listener how = {.on_accept = accepted, .user = user, .all = all};
    const size_t n_before = all->n_listeners;
    char service[16];
    snprintf(service, sizeof service, "%d", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
    *missed = (csm_error){""};
    const int wrong = getaddrinfo(host, service, &hints, &found);
    if (wrong != 0)
        return csm_fail(err, CSM_BAD_FILE, "%s: %s, expected an address of this machine", host,
                        gai_strerror(wrong));
    for (struct addrinfo *a = found; a != NULL; a = a->ai_next) {
        csm_error why;
        if (came_before(found, a))
            continue;
        if (listen_at(all, &how, a, &why) != CSM_OK) {
            const size_t n = strlen(missed->text);
            snprintf(missed->text + n, sizeof missed->text - n, "%s%s", n > 0 ? "; " : "", why.text);
        } else if (all->n_listeners == n_before + 1) {
            *bound = bound_port(evconnlistener_get_fd(all->listeners[n_before].socket));
            set_port(found, *bound);
        }
    }
    freeaddrinfo(found);
    return all->n_listeners > n_before ? CSM_OK : csm_fail(err, CSM_BAD_FILE, "%s: %s", host, missed->text);
}

static int has_no_passphrase(char *to, int size, int is_for_writing, void *user)
{
    (void)to, (void)size, (void)is_for_writing, (void)user;
    return -1;
}

csm_status connections_use_tls(struct connections *all, const char *cert, const char *key,
                               csm_error *err)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (tls == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "TLS: out of memory");
    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    if (all->tls != NULL) /* the loop does not wait for somebody who types one */
        SSL_CTX_set_default_passwd_cb(tls, has_no_passphrase);
    const char *wrong = NULL;
    if (SSL_CTX_use_certificate_chain_file(tls, cert) != 1)
        wrong = cert;
    else if (SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1 ||
             SSL_CTX_check_private_key(tls) != 1)
        wrong = key;
    if (wrong != NULL) {
        const char *reason = ERR_reason_error_string(ERR_get_error());
        SSL_CTX_free(tls);
        return csm_fail(err, CSM_BAD_FILE, "%s: %s, expected PEM: a certificate and its key", wrong,
                        reason != NULL ? reason : "not usable");
    }
    SSL_CTX_free(all->tls); /* those that have it keep it */
    all->tls = tls;
    return CSM_OK;
}

void connections_stop(struct connections *all)
{
    pause_listening(all, true);
    all->is_stopped = true;
    for (size_t i = 0; i < all->n_listeners; i++)
        evconnlistener_free(all->listeners[i].socket);
    all->n_listeners = 0;
    while (make_room(all)) {
    }
}

size_t connections_count(const struct connections *all)
{
    return all->n_open;
}

bool connections_are_busy(const struct connections *all)
{
    const struct connection *c;
    TAILQ_FOREACH(c, &all->open, entry)
        if (c->phase != OPEN || connection_waiting(c) > 0)
            return true;
    return false;
}

void connection_own(struct connection *c, const struct connection_hooks *hooks, void *owner)
{
    c->hooks = *hooks;
    c->owner = owner;
}

void connection_set_deadline(struct connection *c, int ms)
{
    event_del(c->deadline);
    const struct timeval after = milliseconds(ms);
    if (ms > 0)
        event_add(c->deadline, &after);
}

void connection_set_idle(struct connection *c, bool is_idle)
{
    c->is_idle = is_idle;
    c->was_busy = c->was_busy || !is_idle;
    if (c->phase != OPEN || !is_idle)
        return;
    TAILQ_REMOVE(&c->all->open, c, entry);
    TAILQ_INSERT_TAIL(&c->all->open, c, entry);
}

struct evbuffer *connection_output(struct connection *c)
{
    return bufferevent_get_output(c->bev);
}

size_t connection_waiting(const struct connection *c)
{
    return evbuffer_get_length(bufferevent_get_output(c->bev));
}

bool connection_has_ended(const struct connection *c)
{
    return c->is_ended;
}

void connection_poke(struct connection *c)
{
    if (c->is_ended || evbuffer_get_length(bufferevent_get_input(c->bev)) > 0)
        bufferevent_trigger(c->bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

const char *connection_peer(const struct connection *c)
{
    return c->peer;
}

void connection_end_by_reset(struct connection *c)
{
    set_reset(c, true);
}

void connection_break(struct connection *c)
{
    c->is_broken = true;
    connection_close(c);
}

void connection_close(struct connection *c)
{
    if (c->phase != OPEN)
        return;
    c->hooks = (struct connection_hooks){0};
    c->phase = FLUSHING;
    c->is_idle = false;
    flush_on(c);
    if (connection_waiting(c) == 0)
        linger(c);
}

void connection_lose(struct connection *c)
{
    lose(c);
}

void connection_drop(struct connection *c)
{
    c->hooks = (struct connection_hooks){0};
    die(c);
}
