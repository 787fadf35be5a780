/* SPDX-License-Identifier: Apache-2.0
 *
 * text_socket.c - WS /v1/audio/speech/stream: text as it is written, speech as its
 * sentences come. The messages are those of vllm-omni and sglang-omni.
 *
 * An *utterance* is what comes up to input.done: one saying. What arrives while an
 * earlier one is still being said waits its turn. */
#include <stdlib.h>
#include <string.h>

#include <csm/text.h>

#include "log.h"
#include "reply.h"
#include "routes.h"
#include "saying.h"
#include "websocket.h"

enum {
    MAX_MESSAGE = 15 * 1024 * 1024, /* a configuration with a recording */
    MAX_TEXT_MESSAGE = 128 * 1024,
    MAX_BUFFERED = 256 * 1024, /* bytes of text that is not yet said */
    MAX_WAITING = 1024,        /* messages behind an utterance that is being said */
    MAX_PENDING = 512,         /* sentences that wait */
    MAX_SENTENCE = 240,
    CONFIG_MS = 10000,
    IDLE_MS = 300000,
    HIGH_WATER = 256 * 1024
};

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

/* ---- sending ------------------------------------------------------------------------ */

/* Takes the object. */
static void send_json(struct text_socket *t, json_t *object)
{
    char *text = json_text(object);
    if (text != NULL)
        websocket_send_text(t->ws, text, strlen(text));
    free(text);
}

static void send_refusal(struct text_socket *t, const struct refusal *why)
{
    send_json(t, json_pack("{s:s, s:s, s:o}", "type", "error", "message", why->message, "error",
                           refusal_json(why)));
}

static void send_error(struct text_socket *t, const char *message)
{
    struct refusal why;
    refuse(&why, 400, "", "invalid_request", "%s", message);
    send_refusal(t, &why);
}

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

/* ---- what the saying tells ------------------------------------------------------------ */

static void go_on(struct text_socket *t);

static bool has_room(void *owner)
{
    const struct text_socket *t = owner;
    return websocket_waiting(t->ws) < HIGH_WATER;
}

static void on_sentence(void *owner, size_t sentence, const char *text)
{
    struct text_socket *t = owner;
    if (t->has_started)
        return; /* one sound of several sentences */
    t->has_started = true;
    t->n_bytes = 0;
    const bool is_whole = t->granularity == BY_UTTERANCE;
    send_json(t, json_pack("{s:s, s:s, s:I, s:I, s:s, s:s, s:i, s:i, s:I}", "type", "audio.start",
                           "id", t->id, "utterance_index", (json_int_t)t->n_utterances,
                           "sentence_index", (json_int_t)(is_whole ? 0 : sentence), "sentence_text",
                           text, "format", speech_format_name(t->config.format), "sample_rate",
                           t->config.rate_hz > 0 ? t->config.rate_hz
                                                 : t->service->info->sample_rate_hz,
                           "channels", 1, "seed",
                           (json_int_t)saying_report(t->saying).seed));
}

static void on_sound(void *owner, const void *bytes, size_t n)
{
    struct text_socket *t = owner;
    t->n_bytes += n;
    websocket_send_binary(t->ws, bytes, n);
}

static void send_done(struct text_socket *t, size_t sentence, bool has_failed)
{
    t->has_started = false;
    send_json(t, json_pack("{s:s, s:s, s:I, s:I, s:I, s:b}", "type", "audio.done", "id", t->id,
                           "utterance_index", (json_int_t)t->n_utterances, "sentence_index",
                           (json_int_t)sentence, "total_bytes", (json_int_t)t->n_bytes, "error",
                           (int)has_failed));
}

static void on_sentence_end(void *owner, size_t sentence)
{
    struct text_socket *t = owner;
    if (t->granularity != BY_UTTERANCE)
        send_done(t, sentence, false);
}

/* The utterance is over, said or not: tell it, and take up what waited. */
static void end_utterance(struct text_socket *t)
{
    size_t n_sounds = 0;
    struct remark_list remarks = {0};
    if (t->saying != NULL) {
        n_sounds = saying_report(t->saying).n_sentences;
        remarks = saying_remarks(t->saying);
    }
    if (t->granularity == BY_UTTERANCE && n_sounds > 1)
        n_sounds = 1;
    saying_close(t->saying);
    t->saying = NULL;
    send_json(t, json_pack("{s:s, s:s, s:o, s:I, s:I}", "type", "session.done", "session_id", t->id,
                           "remarks", remark_list_json(&remarks),
                           "utterance_index", (json_int_t)t->n_utterances, "total_sentences",
                           (json_int_t)n_sounds));
    t->n_utterances++;
    t->is_flushed = t->is_failed = false;
    websocket_set_deadline(t->ws, IDLE_MS);
    go_on(t);
}

static void on_end(void *owner)
{
    struct text_socket *t = owner;
    if (t->granularity == BY_UTTERANCE && t->has_started)
        send_done(t, 0, false);
    end_utterance(t);
}

static void on_failed(void *owner, const struct refusal *why)
{
    struct text_socket *t = owner;
    const size_t sentence = saying_report(t->saying).n_sentences;
    send_refusal(t, why);
    if (t->has_started)
        send_done(t, t->granularity == BY_UTTERANCE ? 0 : sentence, true);
    saying_close(t->saying);
    t->saying = NULL;
    t->is_failed = true;
    if (t->is_flushed)
        end_utterance(t);
}

static const struct saying_hooks saying_events = {has_room,        on_sentence, on_sound,
                                                  on_sentence_end, on_end,      on_failed};

/* ---- text -------------------------------------------------------------------------------- */

static bool keep_text(struct text_socket *t, const char *text, size_t n)
{
    char *grown = realloc(t->text, t->n_text + n + 1);
    if (grown == NULL)
        return false;
    memcpy(grown + t->n_text, text, n);
    t->text = grown;
    t->n_text += n;
    grown[t->n_text] = '\0';
    return true;
}

static void drop_text(struct text_socket *t, size_t n)
{
    t->n_text -= n;
    memmove(t->text, t->text + n, t->n_text + 1);
}

static void drop_all_text(struct text_socket *t)
{
    free(t->text);
    t->text = NULL;
    t->n_text = 0;
}

/* The first n bytes of what has come, as one or more sentences. */
static void say(struct text_socket *t, size_t n)
{
    char *text = malloc(n + 1);
    struct refusal why;
    bool is_said = text != NULL || refuse(&why, 503, "", "", "out of memory");
    if (is_said) {
        memcpy(text, t->text, n);
        text[n] = '\0';
        log_text(t->service, t->id, text);
    }
    drop_text(t, n);
    if (is_said && t->saying == NULL) {
        struct speech_request request;
        is_said = speech_request_copy(&t->config, &request) || refuse(&why, 503, "", "", "out of memory");
        if (is_said)
            is_said = saying_open(t->service, &request, &t->cast,
                                  t->granularity == BY_UTTERANCE ? SAYING_ONE_SOUND
                                                                 : SAYING_EACH_A_SOUND,
                                  &saying_events, t, &t->saying, &why);
    }
    if (is_said && saying_pending(t->saying) >= MAX_PENDING)
        is_said = refuse(&why, 503, "", "overloaded", "too many sentences wait to be said");
    if (is_said)
        is_said = saying_add(t->saying, text, t->granularity == BY_UTTERANCE, &why);
    free(text);
    if (!is_said) {
        send_refusal(t, &why);
        t->is_failed = true;
    }
}

/* How many bytes of the text that has come are a sentence (a clause) that is complete:
 * something follows it; 0: none is. */
static size_t complete_part(const char *text, enum granularity granularity)
{
    const size_t n_space = strspn(text, " \t\r\n");
    if (text[n_space] == '\0')
        return 0;
    size_t part = csm_text_sentence(text + n_space, MAX_SENTENCE);
    for (size_t i = 1; granularity == BY_CLAUSE && i + 1 < part; i++)
        if (strchr(",;:", text[n_space + i - 1]) != NULL && text[n_space + i] == ' ')
            part = i;
    const char *rest = text + n_space + part;
    return *(rest + strspn(rest, " \t\r\n")) != '\0' ? n_space + part : 0;
}

static void say_what_is_complete(struct text_socket *t)
{
    size_t n;
    while (t->granularity != BY_UTTERANCE && !t->is_failed && t->n_text > 0 &&
           (n = complete_part(t->text, t->granularity)) > 0)
        say(t, n);
}

static void on_input_text(struct text_socket *t, const json_t *message)
{
    const json_t *text = json_object_get(message, "text");
    if (!json_is_string(text)) {
        send_error(t, "input.text: expected a text");
        return;
    }
    if (t->is_failed)
        return;
    if (t->n_text + json_string_length(text) > MAX_BUFFERED ||
        !keep_text(t, json_string_value(text), json_string_length(text))) {
        send_error(t, "input.text: too much text without an end of a sentence or input.done");
        drop_all_text(t);
        t->is_failed = true;
        return;
    }
    say_what_is_complete(t);
}

static void say_rest(struct text_socket *t)
{
    const bool has_words = t->n_text > 0 && t->text[strspn(t->text, " \t\r\n")] != '\0';
    if (has_words && !t->is_failed)
        say(t, t->n_text);
    drop_all_text(t);
}

static void on_input_done(struct text_socket *t)
{
    say_rest(t);
    t->is_flushed = true;
    if (t->saying != NULL)
        saying_complete(t->saying);
    else
        end_utterance(t); /* nothing was to be said */
}

/* What has come is said before. */
static void on_close(struct text_socket *t)
{
    t->is_closing = true;
    if (t->saying != NULL || t->n_text > 0)
        on_input_done(t);
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
    send_json(t, json_pack("{s:s, s:s, s:s, s:b, s:s}", "type", "session.configured", "session_id",
                           t->id, "response_format", speech_format_name(t->config.format),
                           "stream_audio", (int)t->config.is_streamed, "split_granularity",
                           names[t->granularity]));
}

static void refuse_config(struct text_socket *t, const struct refusal *why)
{
    speech_request_empty(&t->next);
    send_refusal(t, why);
}

static void on_cast(void *owner, const struct cast *cast, const struct refusal *why)
{
    struct text_socket *t = owner;
    t->casting = NULL;
    if (why != NULL)
        refuse_config(t, why);
    else
        take_cast(t, cast);
    go_on(t);
}

static void on_config(struct text_socket *t, const json_t *message)
{
    struct refusal why;
    if (t->saying != NULL || t->n_text > 0) {
        send_error(t, "session.config: expected between utterances; send input.done first");
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

/* ---- messages ---------------------------------------------------------------------------------- */

static void handle(struct text_socket *t, const json_t *message)
{
    const char *type = json_string_value(json_object_get(message, "type"));
    if (type == NULL)
        send_error(t, "a message: expected an object with a type");
    else if (strcmp(type, "session.config") == 0)
        on_config(t, message);
    else if (!t->is_configured)
        send_error(t, "the first message: expected session.config");
    else if (strcmp(type, "input.text") == 0)
        on_input_text(t, message);
    else if (strcmp(type, "input.commit") == 0)
        say_rest(t);
    else if (strcmp(type, "input.done") == 0)
        on_input_done(t);
    else if (strcmp(type, "session.close") == 0)
        on_close(t);
    else
        send_error(t, "a message: its type is none of session.config, input.text, input.commit, "
                      "input.done, session.close");
    if (t->is_configured || t->casting != NULL)
        websocket_set_deadline(t->ws, IDLE_MS);
}

/* Take up what waits, one message after another, until an utterance is being finished. */
static void go_on(struct text_socket *t)
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
        send_error(t, wrong);
        json_decref(json);
        free(m);
        return;
    }
    *m = (struct message){.json = json, .n = n};
    *t->end = m;
    t->end = &m->next;
    t->n_waiting++;
    t->n_waiting_bytes += n;
    go_on(t);
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
        websocket_set_deadline(t->ws, IDLE_MS); /* it is being said */
        return;
    }
    send_error(t, t->is_configured ? "no message for too long" : "session.config did not come in time");
    close_socket(t, WEBSOCKET_POLICY, "timeout");
}

/* The server is ending: what has come is said, nothing new is taken. */
static void on_ending(void *owner)
{
    struct text_socket *t = owner;
    if (t->saying == NULL)
        close_socket(t, WEBSOCKET_GOING_AWAY, "the server is ending");
    else if (!t->is_flushed)
        on_input_done(t);
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
