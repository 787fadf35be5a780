/* SPDX-License-Identifier: Apache-2.0
 *
 * websocket.h - WebSocket (RFC 6455) over the connection of an HTTP request. */
#ifndef CSM_SERVER_WEBSOCKET_H
#define CSM_SERVER_WEBSOCKET_H

#include "http.h"

struct websocket;

struct websocket_hooks {
    void (*on_text)(void *owner, const char *text, size_t n); /* a whole message, UTF-8 */
    void (*on_gone)(void *owner);     /* closed by either side's failure; it is no more */
    void (*on_drained)(void *owner);
    void (*on_deadline)(void *owner); /* of websocket_set_deadline */
};

enum { /* of RFC 6455, 7.4.1 */
    WEBSOCKET_NORMAL = 1000,
    WEBSOCKET_GOING_AWAY = 1001,
    WEBSOCKET_POLICY = 1008
};

/* What is wrong with a request that would become a WebSocket; NULL: nothing. */
const char *websocket_refusal(const struct http_request *r);

/* Take over the connection of such a request, which is no more then.
 *   max_message  bytes; a longer one closes the socket with 1009
 *   subprotocol  to be agreed to where the client offers it; NULL: none
 * NULL: out of memory, the connection is dropped. */
struct websocket *websocket_accept(struct http_request *r, size_t max_message,
                                   const char *subprotocol, const struct websocket_hooks *hooks,
                                   void *owner);

void websocket_send_text(struct websocket *ws, const char *text, size_t n);
void websocket_send_binary(struct websocket *ws, const void *bytes, size_t n);
size_t websocket_waiting(const struct websocket *ws);
void websocket_set_deadline(struct websocket *ws, int ms);

/* Send what waits and the closing handshake; the owner hears no more. */
void websocket_close(struct websocket *ws, int code, const char *reason);

#endif
