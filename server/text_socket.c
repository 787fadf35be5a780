/* SPDX-License-Identifier: Apache-2.0
 *
 * text_socket.c - WS /v1/audio/speech/stream: text as it is written, speech as its
 * sentences come. The messages are those of vllm-omni and sglang-omni. */
#include <stdlib.h>
#include <string.h>

#include "reply.h"
#include "routes.h"
#include "text_parts.h"

enum {
    MAX_MESSAGE = 15 * 1024 * 1024, /* a configuration with a recording */
    MAX_TEXT_MESSAGE = 128 * 1024,
    MAX_WAITING = 1024, /* messages behind an utterance that is being said */
    CONFIG_MS = 10000
};

static void socket_free(struct text_socket *t)
{
    TAILQ_REMOVE(&t->service->guests, &t->guest, entry);
    saying_close(t->saying);
    casting_forget(t->casting);
    prompt_release(t->cast.prompt);
    speech_request_empty(&t->config);
    speech_request_empty(&t->next);
    free(t->text);
    while (t->first != NULL) {
        struct message *m = t->first;
        t->first = m->next;
        json_decref(m->json);
        free(m);
    }
    free(t);
}

static void close_socket(struct text_socket *t, int code, const char *reason)
{
    websocket_close(t->ws, code, reason);
    socket_free(t);
}

/* ---- configuration --------------------------------------------------------------------------- */

static bool read_config(struct text_socket *t, const json_t *message, struct speech_request *config,
                        enum granularity *granularity, struct refusal *why)
{
    static const char *const names[] = {"none", "sentence", "clause"};
    const json_t *session = json_object_get(message, "session");
    if (session == NULL)
        session = message;
    speech_request_defaults(config);
    config->format = CSM_AUDIO_FORMAT_WAV;
    if (!speech_request_read(session, t->service->info, &t->service->limits, false, config, why))
        return false;
    const json_t *split = json_object_get(session, "split_granularity");
    const json_t *stream = json_object_get(session, "stream_audio");
    if (stream != NULL && !json_is_null(stream) && !json_is_boolean(stream))
        return refuse(why, 400, "stream_audio", "invalid_value", "stream_audio: expected true or false");
    if (json_is_boolean(stream))
        config->is_streamed = json_is_true(stream);
    if (config->input != NULL)
        return refuse(why, 400, "input", "invalid_value", "input: expected in input.text");
    if (!config->is_split)
        return refuse(why, 400, "split", "invalid_value", "split: expected split_granularity, none");
    *granularity = BY_SENTENCE;
    if (split == NULL || json_is_null(split))
        return true;
    for (int i = BY_UTTERANCE; i <= BY_CLAUSE; i++)
        if (json_is_string(split) && strcmp(json_string_value(split), names[i]) == 0) {
            *granularity = (enum granularity)i;
            return true;
        }
    return refuse(why, 400, "split_granularity", "invalid_value",
                  "split_granularity: expected none, sentence or clause");
}

/* The next configuration holds: the cast is taken. */
static void take_cast(struct text_socket *t, const struct cast *cast)
{
    static const char *const names[] = {"none", "sentence", "clause"};
    speech_request_empty(&t->config);
    prompt_release(t->cast.prompt);
    t->config = t->next;
    t->granularity = t->next_granularity;
    t->cast = *cast;
    t->next = (struct speech_request){0};
    t->is_configured = true;
    text_send_json(t, json_pack("{s:s, s:s, s:s, s:b, s:s}", "type", "session.configured", "session_id",
                                t->id, "response_format", speech_format_name(t->config.format),
                                "stream_audio", (int)t->config.is_streamed, "split_granularity",
                                names[t->granularity]));
}

static void refuse_config(struct text_socket *t, const struct refusal *why)
{
    speech_request_empty(&t->next);
    text_send_refusal(t, why);
}

static void on_cast(void *owner, const struct cast *cast, const struct refusal *why)
{
    struct text_socket *t = owner;
    t->casting = NULL;
    if (why != NULL)
        refuse_config(t, why);
    else
        take_cast(t, cast);
    text_go_on(t);
}

static void on_config(struct text_socket *t, const json_t *message)
{
    struct refusal why;
    if (t->saying != NULL || t->n_text > 0) {
        text_send_error(t, "session.config: expected between utterances; send input.done first");
        return;
    }
    if (!read_config(t, message, &t->next, &t->next_granularity, &why)) {
        refuse_config(t, &why);
        return;
    }
    struct cast cast;
    switch (cast_begin(t->service, &t->next, on_cast, t, &cast, &t->casting, &why)) {
    case CAST_READY:
        take_cast(t, &cast);
        break;
    case CAST_LATER:
        break;
    case CAST_REFUSED:
        refuse_config(t, &why);
        break;
    }
}

/* What has come is said before. */
static void on_close(struct text_socket *t)
{
    t->is_closing = true;
    if (t->saying != NULL || t->n_text > 0)
        text_complete(t);
}

/* ---- messages ---------------------------------------------------------------------------------- */

static void handle(struct text_socket *t, const json_t *message)
{
    const char *type = json_string_value(json_object_get(message, "type"));
    if (type == NULL)
        text_send_error(t, "a message: expected an object with a type");
    else if (strcmp(type, "session.config") == 0)
        on_config(t, message);
    else if (!t->is_configured)
        text_send_error(t, "the first message: expected session.config");
    else if (strcmp(type, "input.text") == 0)
        text_take(t, message);
    else if (strcmp(type, "input.commit") == 0)
        text_say_rest(t);
    else if (strcmp(type, "input.done") == 0)
        text_complete(t);
    else if (strcmp(type, "session.close") == 0)
        on_close(t);
    else
        text_send_error(t, "a message: its type is none of session.config, input.text, input.commit, "
                      "input.done, session.close");
    if (t->is_configured || t->casting != NULL)
        websocket_set_deadline(t->ws, TEXT_IDLE_MS);
}

/* One message after another, until an utterance is being finished. */
void text_go_on(struct text_socket *t)
{
    if (t->is_handling)
        return;
    t->is_handling = true;
    while (t->first != NULL && !t->is_flushed && !t->is_closing && t->casting == NULL) {
        struct message *m = t->first;
        t->first = m->next;
        if (t->first == NULL)
            t->end = &t->first;
        t->n_waiting--;
        t->n_waiting_bytes -= m->n;
        handle(t, m->json);
        json_decref(m->json);
        free(m);
    }
    t->is_handling = false;
    const bool is_idle = t->saying == NULL && t->first == NULL && t->casting == NULL;
    if (t->is_closing && t->saying == NULL)
        close_socket(t, WEBSOCKET_NORMAL, "");
    else if (t->service->is_ending && is_idle)
        close_socket(t, WEBSOCKET_GOING_AWAY, "the server is ending");
}

static void on_text(void *owner, const char *text, size_t n)
{
    struct text_socket *t = owner;
    json_error_t error;
    json_t *json = json_read(text, n, JSON_REJECT_DUPLICATES, &error);
    struct message *m = malloc(sizeof *m);
    const char *type = json_string_value(json_object_get(json, "type"));
    const bool is_config = type != NULL && strcmp(type, "session.config") == 0;
    const char *wrong = NULL;
    if (!json_is_object(json) || m == NULL)
        wrong = "a message: expected a JSON object";
    else if (!is_config && n > MAX_TEXT_MESSAGE)
        wrong = "a message: expected at most 128 KiB";
    else if (t->n_waiting == MAX_WAITING || t->n_waiting_bytes + n > MAX_MESSAGE)
        wrong = "a message: too many wait behind what is being said";
    if (wrong != NULL) {
        text_send_error(t, wrong);
        json_decref(json);
        free(m);
        return;
    }
    *m = (struct message){.json = json, .n = n};
    *t->end = m;
    t->end = &m->next;
    t->n_waiting++;
    t->n_waiting_bytes += n;
    text_go_on(t);
}

static void on_gone(void *owner)
{
    socket_free(owner);
}

static void on_drained(void *owner)
{
    struct text_socket *t = owner;
    if (t->saying != NULL)
        saying_go_on(t->saying);
}

static void on_deadline(void *owner)
{
    struct text_socket *t = owner;
    if (t->saying != NULL && t->is_configured) {
        websocket_set_deadline(t->ws, TEXT_IDLE_MS); /* it is being said */
        return;
    }
    text_send_error(t, t->is_configured ? "no message for too long" : "session.config did not come in time");
    close_socket(t, WEBSOCKET_POLICY, "timeout");
}

/* The server is ending: what is being said is completed. Text of which nothing is said yet is
 * told as refused. */
static void on_ending(void *owner)
{
    struct text_socket *t = owner;
    if (t->saying == NULL && t->n_text == 0)
        close_socket(t, WEBSOCKET_GOING_AWAY, "the server is ending");
    else if (!t->is_flushed)
        text_complete(t);
}

void open_text_socket(struct service *service, struct http_request *r, const char *name)
{
    static const struct websocket_hooks hooks = {on_text, on_gone, on_drained, on_deadline};
    (void)name;
    struct text_socket *t = calloc(1, sizeof *t);
    if (t == NULL) {
        reply_error(r, 503, "", "", "out of memory");
        return;
    }
    t->service = service;
    t->end = &t->first;
    snprintf(t->id, sizeof t->id, "%.39s", r->id);
    t->guest = (struct guest){.on_end = on_ending, .owner = t};
    t->ws = websocket_accept(r, MAX_MESSAGE, "realtime", &hooks, t);
    if (t->ws == NULL) {
        free(t);
        return;
    }
    TAILQ_INSERT_TAIL(&service->guests, &t->guest, entry);
    websocket_set_deadline(t->ws, CONFIG_MS);
}
