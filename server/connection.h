/* SPDX-License-Identifier: Apache-2.0
 *
 * connection.h - sockets of clients, whatever protocol they speak: accepted, read,
 * written as fast as each client reads, timed, and closed without cutting off what was
 * sent. One event loop, one thread; nothing here may be called from another. */
#ifndef CSM_SERVER_CONNECTION_H
#define CSM_SERVER_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include <csm/status.h>

struct connections; /* all of them, and the listening sockets */
struct connection;

/* What a protocol hears of its connection. After on_gone the connection is no more. */
struct connection_hooks {
    void (*on_input)(void *owner, struct evbuffer *input);
    /* The client sends no more than this input, and may still read: the owner answers, and closes
     * or loses the connection. Called again where it is poked. NULL: the client is gone. */
    void (*on_end)(void *owner, struct evbuffer *input);
    void (*on_drained)(void *owner);  /* less than CONNECTION_LOW_WATER waits to be sent */
    void (*on_gone)(void *owner);     /* the client left, stalled, or the deadline passed */
    void (*on_deadline)(void *owner); /* NULL: the connection is dropped */
};

/* Bytes that wait. Of more than CONNECTION_FULL some are answers that the client does not take, since
 * speech pauses before: what it asks on is left where it is until CONNECTION_LOW_WATER is reached. */
enum { CONNECTION_LOW_WATER = 64 * 1024, CONNECTION_FULL = 512 * 1024 };

struct connection_limits {
    size_t max_sockets; /* at once; the one that is idle longest makes room for a new one */
    int write_ms;       /* a client that takes no byte for so long is dropped */
};

csm_status connections_new(struct event_base *base, const struct connection_limits *limits,
                           struct connections **out, csm_error *err);
void connections_free(struct connections *all); /* drops every connection; takes NULL */

/* Listen. on_accept owns the new connection by connection_own, at once.
 *   host    an address, or a name: at all its addresses; port 0: any free one, the same of all
 *   bound   receives the port
 *   missed  receives which of several addresses could not be had; empty: none
 * CSM_BAD_FILE with the system's text: none could be had. */
csm_status connections_listen(struct connections *all, const char *host, int port,
                              void (*on_accept)(void *user, struct connection *c), void *user,
                              int *bound, csm_error *missed, csm_error *err);

/* Encrypt what is accepted from now on. PEM files; a key may ask for its passphrase at the
 * terminal the first time, and not again. CSM_BAD_FILE: all is as it was. */
csm_status connections_use_tls(struct connections *all, const char *cert, const char *key,
                               csm_error *err);

void connections_stop(struct connections *all); /* accept no more, close the idle ones */
size_t connections_count(const struct connections *all);
/* Whether something waits to be sent, or a client has not yet taken it all and closed. */
bool connections_are_busy(const struct connections *all);

void connection_own(struct connection *c, const struct connection_hooks *hooks, void *owner);

/* From now on; 0: none. */
void connection_set_deadline(struct connection *c, int ms);

/* Whether it may be closed for want of sockets, and when the server ends. */
void connection_set_idle(struct connection *c, bool is_idle);

struct evbuffer *connection_output(struct connection *c); /* append here what is to be sent */
size_t connection_waiting(const struct connection *c);    /* bytes not yet taken by the system */
bool connection_has_ended(const struct connection *c);    /* the client sends no more */
void connection_poke(struct connection *c); /* on_input, for what is there, or on_end once more, later */
const char *connection_peer(const struct connection *c); /* the client's address */

/* The client takes the close for the end of what it gets, which has no length of its own: from now
 * on whatever ends the connection before connection_close has sent all resets it, a crash, too. */
void connection_end_by_reset(struct connection *c);

/* Forget the owner; send what waits, then close (connection_drop: close at once;
 * connection_break: as the connection ends where not all was sent; connection_lose: as where the
 * client left, of which the owner hears). */
void connection_close(struct connection *c);
void connection_break(struct connection *c);
void connection_lose(struct connection *c);
void connection_drop(struct connection *c);

#endif
