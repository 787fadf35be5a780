/* SPDX-License-Identifier: Apache-2.0
 *
 * text_parts.h - what the parts of WS /v1/audio/speech/stream share: text_socket.c takes
 * messages, text_utterance.c has what they bring said.
 *
 * An *utterance* is what comes up to input.done: one saying. What arrives while an earlier
 * one is still being said waits its turn. */
#ifndef CSM_SERVER_TEXT_PARTS_H
#define CSM_SERVER_TEXT_PARTS_H

#include "saying.h"
#include "websocket.h"

enum { TEXT_IDLE_MS = 300000 };

enum granularity { BY_UTTERANCE, BY_SENTENCE, BY_CLAUSE };

struct message {
    json_t *json;
    size_t n;
    struct message *next;
};

struct text_socket {
    struct service *service;
    struct websocket *ws;
    struct guest guest;
    char id[40];

    bool is_configured;
    struct speech_request config;
    struct cast cast;        /* who speaks */
    struct casting *casting; /* its recordings are being encoded: messages wait */
    enum granularity granularity;
    struct speech_request next; /* a configuration that is not taken yet: one that is */
    enum granularity next_granularity; /* refused leaves that of before as it was */

    char *text; /* [n_text], zero-terminated: has come and is not yet given to the saying */
    size_t n_text;
    struct saying *saying;  /* of the utterance under way; NULL: none */
    bool is_flushed;        /* input.done came for it */
    bool is_failed;         /* an error was told: its text is dropped up to input.done */
    size_t n_utterances, n_bytes;
    bool has_started; /* audio.start was sent for the sound under way */

    struct message *first, **end; /* what waits behind the utterance */
    size_t n_waiting, n_waiting_bytes;
    bool is_closing, is_handling;
};

/* ---- text_utterance.c ------------------------------------------------------------------ */

/* Takes the object. */
void text_send_json(struct text_socket *t, json_t *object);
void text_send_refusal(struct text_socket *t, const struct refusal *why);
void text_send_error(struct text_socket *t, const char *message);

/* input.text: what is complete of it is said. */
void text_take(struct text_socket *t, const json_t *message);

/* Say what has come. */
void text_say_rest(struct text_socket *t);

/* The same, and no more of this utterance comes. */
void text_complete(struct text_socket *t);

/* ---- text_socket.c --------------------------------------------------------------------- */

/* Take up what waits behind an utterance that is over. The socket may be no more. */
void text_go_on(struct text_socket *t);

#endif
