/* SPDX-License-Identifier: Apache-2.0
 *
 * websocket.c - wslay's frames between the two buffers of a connection. */
#include "websocket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/sha.h>
#include <wslay/wslay.h>

#include "bytes.h"

struct websocket {
    struct connection *c;
    wslay_event_context_ptr frames;
    struct evbuffer *input;
    struct websocket_hooks hooks;
    void *owner;
    bool is_reading, is_over;
};

const char *websocket_refusal(const struct http_request *r)
{
    const char *key = http_head_find(&r->head, "sec-websocket-key");
    const char *version = http_head_find(&r->head, "sec-websocket-version");
    if (!r->head.is_websocket || strcmp(r->head.method, "GET") != 0)
        return "this route is a WebSocket: expected GET with Upgrade: websocket";
    if (version == NULL || strcmp(version, "13") != 0)
        return "Sec-WebSocket-Version: expected 13";
    size_t n_key = 0;
    if (key != NULL)
        free(bytes_from_base64(key, strlen(key), &n_key));
    if (n_key != 16)
        return "Sec-WebSocket-Key: expected 16 bytes in base64";
    return NULL;
}

static void websocket_free(struct websocket *ws)
{
    wslay_event_context_free(ws->frames);
    free(ws);
}

/* ---- frames ------------------------------------------------------------------ */

static ssize_t receive(wslay_event_context_ptr frames, uint8_t *to, size_t n, int flags, void *user)
{
    (void)flags;
    struct websocket *ws = user;
    const size_t n_waiting = connection_waiting(ws->c) + wslay_event_get_queued_msg_length(frames);
    const int got = n_waiting > CONNECTION_FULL ? 0 : evbuffer_remove(ws->input, to, n);
    if (got > 0)
        return got;
    wslay_event_set_error(frames, WSLAY_ERR_WOULDBLOCK);
    return -1;
}

static ssize_t send_frame(wslay_event_context_ptr frames, const uint8_t *from, size_t n, int flags,
                          void *user)
{
    (void)flags;
    struct websocket *ws = user;
    if (evbuffer_add(connection_output(ws->c), from, n) == 0)
        return (ssize_t)n;
    wslay_event_set_error(frames, WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static void on_message(wslay_event_context_ptr frames,
                       const struct wslay_event_on_msg_recv_arg *message, void *user)
{
    struct websocket *ws = user;
    static const char expected[] = "expected messages of text";
    if (message->opcode == WSLAY_BINARY_FRAME && !ws->is_over) /* none of our protocols has them */
        wslay_event_queue_close(frames, WSLAY_CODE_UNSUPPORTED_DATA, (const uint8_t *)expected,
                                sizeof expected - 1);
    if (message->opcode != WSLAY_TEXT_FRAME || ws->is_over)
        return; /* wslay answers pings itself */
    char *text = malloc(message->msg_length + 1);
    if (text == NULL)
        return;
    memcpy(text, message->msg, message->msg_length);
    text[message->msg_length] = '\0';
    ws->hooks.on_text(ws->owner, text, message->msg_length);
    free(text);
}

/* ---- the connection ------------------------------------------------------------ */

/* Both sides have said goodbye, or the frames were wrong: wslay has queued the reason. */
static bool is_finished(const struct websocket *ws)
{
    return !wslay_event_want_read(ws->frames) ||
           (wslay_event_get_close_received(ws->frames) && wslay_event_get_close_sent(ws->frames));
}

static void finish(struct websocket *ws)
{
    void (*told)(void *) = ws->is_over ? NULL : ws->hooks.on_gone;
    void *owner = ws->owner;
    connection_close(ws->c);
    websocket_free(ws);
    if (told != NULL)
        told(owner);
}

static void on_input(void *user, struct evbuffer *input)
{
    struct websocket *ws = user;
    ws->input = input;
    ws->is_reading = true;
    const int wrong = wslay_event_recv(ws->frames);
    ws->is_reading = false;
    const bool is_sent = wslay_event_send(ws->frames) == 0;
    if (wrong != 0 || !is_sent || is_finished(ws))
        finish(ws);
}

static void on_gone(void *user)
{
    struct websocket *ws = user;
    void (*told)(void *) = ws->is_over ? NULL : ws->hooks.on_gone;
    void *owner = ws->owner;
    websocket_free(ws);
    if (told != NULL)
        told(owner);
}

static void on_drained(void *user)
{
    struct websocket *ws = user;
    if (!ws->is_over && ws->hooks.on_drained != NULL)
        ws->hooks.on_drained(ws->owner);
    connection_poke(ws->c); /* for messages that found it full */
}

static void on_deadline(void *user)
{
    struct websocket *ws = user;
    if (ws->is_over || ws->hooks.on_deadline == NULL)
        finish(ws);
    else
        ws->hooks.on_deadline(ws->owner);
}

static const struct connection_hooks connection_events = {.on_input = on_input,
                                                          .on_drained = on_drained,
                                                          .on_gone = on_gone,
                                                          .on_deadline = on_deadline};

/* RFC 6455, 4.2.2: the key and this name, digested, show that the request was understood. */
static char *accept_key(const char *key)
{
    static const char name[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char both[24 + sizeof name];
    unsigned char digest[SHA_DIGEST_LENGTH];
    snprintf(both, sizeof both, "%.24s%s", key, name);
    SHA1((const unsigned char *)both, strlen(both), digest);
    return bytes_to_base64(digest, sizeof digest);
}

struct websocket *websocket_accept(struct http_request *r, size_t max_message,
                                   const char *subprotocol, const struct websocket_hooks *hooks,
                                   void *owner)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = receive, .send_callback = send_frame, .on_msg_recv_callback = on_message};
    struct websocket *ws = calloc(1, sizeof *ws);
    char *accepted = accept_key(http_head_find(&r->head, "sec-websocket-key"));
    const bool is_agreed = subprotocol != NULL &&
                           http_head_has_token(&r->head, "sec-websocket-protocol", subprotocol);
    char id[sizeof r->id];
    snprintf(id, sizeof id, "%s", r->id);
    struct connection *c = http_leave(r);
    if (ws == NULL || accepted == NULL ||
        wslay_event_context_server_init(&ws->frames, &callbacks, ws) != 0) {
        free(ws);
        free(accepted);
        connection_drop(c);
        return NULL;
    }
    wslay_event_config_set_max_recv_msg_length(ws->frames, max_message);
    ws->c = c;
    ws->hooks = *hooks;
    ws->owner = owner;
    evbuffer_add_printf(connection_output(c),
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nX-Request-Id: %s\r\nSec-WebSocket-Accept: %s\r\n",
                        id, accepted);
    if (is_agreed)
        evbuffer_add_printf(connection_output(c), "Sec-WebSocket-Protocol: %s\r\n", subprotocol);
    evbuffer_add(connection_output(c), "\r\n", 2);
    free(accepted);
    connection_own(c, &connection_events, ws);
    connection_poke(c); /* for frames that came with the handshake */
    return ws;
}

static void queue(struct websocket *ws, uint8_t opcode, const void *bytes, size_t n)
{
    const struct wslay_event_msg message = {.opcode = opcode, .msg = bytes, .msg_length = n};
    if (wslay_event_queue_msg(ws->frames, &message) == 0 && !ws->is_reading)
        wslay_event_send(ws->frames);
}

void websocket_send_text(struct websocket *ws, const char *text, size_t n)
{
    queue(ws, WSLAY_TEXT_FRAME, text, n);
}

void websocket_send_binary(struct websocket *ws, const void *bytes, size_t n)
{
    queue(ws, WSLAY_BINARY_FRAME, bytes, n);
}

size_t websocket_waiting(const struct websocket *ws)
{
    return connection_waiting(ws->c);
}

void websocket_set_deadline(struct websocket *ws, int ms)
{
    connection_set_deadline(ws->c, ms);
}

void websocket_close(struct websocket *ws, int code, const char *reason)
{
    enum { GOODBYE_MS = 5000 };
    ws->is_over = true;
    wslay_event_queue_close(ws->frames, (uint16_t)code, (const uint8_t *)reason, strlen(reason));
    if (!ws->is_reading)
        wslay_event_send(ws->frames);
    connection_set_deadline(ws->c, GOODBYE_MS);
}
