/* SPDX-License-Identifier: Apache-2.0
 *
 * wyoming.c - events are a line {"type", "data_length", "payload_length"}, then so many
 * bytes of JSON, then so many of sound. Unknown events are passed over, as clients of
 * every age need it. */
#include "wyoming.h"

#include <stdlib.h>
#include <string.h>

#include <csm/text.h>

#include "log.h"
#include "reply.h"
#include "saying.h"

enum {
    MAX_LINE = 64 * 1024,
    MAX_DATA = 1024 * 1024,
    MAX_PENDING = 512,
    MAX_SENTENCE = 240,
    IDLE_MS = 900000,
    HIGH_WATER = 256 * 1024
};

struct wyoming {
    struct service *service;
    struct connection *c;
    struct guest guest;

    json_t *event;   /* whose data and payload are still to come; NULL: none */
    size_t n_data, n_payload;
    bool is_reading; /* within on_input */

    struct saying *saying; /* NULL: none */
    bool is_streaming;     /* between synthesize-start and the end of its sound */
    bool is_complete;      /* its text is */
    bool has_started;      /* audio-start was sent */
    char *text;            /* of synthesize-chunk, not yet given to the saying */
    char *voice;
    bool is_refused; /* what is asked cannot be said: told once, the rest is passed over */
};

/* ---- sending ------------------------------------------------------------------------ */

/* Takes `data`, which may be NULL. */
static void send_event(struct wyoming *w, const char *type, json_t *data, const void *payload,
                       size_t n)
{
    char *text = data != NULL ? json_text(data) : NULL;
    const size_t n_data = text != NULL ? strlen(text) : 0;
    struct evbuffer *out = connection_output(w->c);
    evbuffer_add_printf(out, "{\"type\":\"%s\",\"version\":\"1.8.0\"", type);
    if (n_data > 0)
        evbuffer_add_printf(out, ",\"data_length\":%zu", n_data);
    if (n > 0)
        evbuffer_add_printf(out, ",\"payload_length\":%zu", n);
    evbuffer_add(out, "}\n", 2);
    evbuffer_add(out, text, n_data);
    evbuffer_add(out, payload, n);
    free(text);
}

static json_t *format_json(const struct wyoming *w)
{
    return json_pack("{s:i, s:i, s:i}", "rate", w->service->info->sample_rate_hz, "width", 2,
                     "channels", 1);
}

/* In the log, too: Home Assistant shows nobody the events that it does not wait for. */
static void send_error(struct wyoming *w, const char *code, const char *message)
{
    log_line(w->service, "Wyoming: %s", message);
    send_event(w, "error", json_pack("{s:s, s:s}", "text", message, "code", code), NULL, 0);
}

static json_t *attribution(void)
{
    return json_pack("{s:s, s:s}", "name", "csm", "url", "https://github.com/SesameAILabs/csm");
}

static json_t *voice_json(const char *name)
{
    return json_pack("{s:s, s:o, s:b, s:s, s:s, s:[s], s:n}", "name", name, "attribution",
                     attribution(), "installed", 1, "description", name, "version", csm_version(),
                     "languages", "en", "speakers");
}

static void send_info(struct wyoming *w)
{
    struct voice_store *store = w->service->voices;
    json_t *voices = json_array();
    for (size_t i = 0; i < voice_store_count(store); i++)
        json_array_append_new(voices, voice_json(voice_store_at(store, i)->name));
    const char *alias, *of;
    for (size_t i = 0; voice_store_alias(store, i, &alias, &of); i++)
        json_array_append_new(voices, voice_json(alias));
    json_t *program = json_pack("{s:s, s:o, s:b, s:s, s:s, s:o, s:b}", "name", "csm", "attribution",
                                attribution(), "installed", 1, "description",
                                "Conversational Speech Model", "version", csm_version(), "voices",
                                voices, "supports_synthesize_streaming", 1);
    send_event(w, "info",
               json_pack("{s:[], s:[o], s:[], s:[], s:[], s:[], s:[]}", "asr", "tts", program,
                         "handle", "intent", "wake", "mic", "snd"),
               NULL, 0);
}

/* ---- what the saying tells --------------------------------------------------------------- */

static void wyoming_free(struct wyoming *w)
{
    TAILQ_REMOVE(&w->service->guests, &w->guest, entry);
    saying_close(w->saying);
    json_decref(w->event);
    free(w->text);
    free(w->voice);
    free(w);
}

static void start_sound(struct wyoming *w)
{
    if (!w->has_started)
        send_event(w, "audio-start", format_json(w), NULL, 0);
    w->has_started = true;
}

/* The sound is over: back to reading. Clients wait for audio-stop, those that stream for
 * synthesize-stopped, also where nothing was said. */
static void end_synthesis(struct wyoming *w)
{
    if (!w->is_streaming)
        start_sound(w);
    if (w->has_started)
        send_event(w, "audio-stop", NULL, NULL, 0);
    if (w->is_streaming)
        send_event(w, "synthesize-stopped", NULL, NULL, 0);
    saying_close(w->saying);
    w->saying = NULL;
    w->is_streaming = w->is_complete = w->has_started = w->is_refused = false;
    free(w->text);
    w->text = NULL;
    connection_set_deadline(w->c, IDLE_MS);
    if (w->service->is_ending && !w->is_reading) {
        connection_close(w->c);
        wyoming_free(w);
    } else if (!w->is_reading) {
        connection_poke(w->c); /* for events that came meanwhile */
    }
}

static bool has_room(void *owner)
{
    const struct wyoming *w = owner;
    return connection_waiting(w->c) < HIGH_WATER;
}

static void on_sound(void *owner, const void *bytes, size_t n)
{
    struct wyoming *w = owner;
    start_sound(w);
    send_event(w, "audio-chunk", format_json(w), bytes, n);
}

/* Its events have no place for remarks. */
static void on_end(void *owner)
{
    struct wyoming *w = owner;
    const struct remark_list remarks = saying_remarks(w->saying);
    for (size_t i = 0; i < remarks.n; i++)
        log_line(w->service, "Wyoming: %s: %s", remarks.items[i].code, remarks.items[i].text);
    end_synthesis(w);
}

static void on_failed(void *owner, const struct refusal *why)
{
    struct wyoming *w = owner;
    send_error(w, "synthesis", why->message);
    if (w->is_streaming && !w->is_complete) { /* what is still written is passed over */
        saying_close(w->saying);
        w->saying = NULL;
        w->is_refused = true;
    } else {
        end_synthesis(w);
    }
}

/* ---- texts -------------------------------------------------------------------------------- */

static bool open_saying(struct wyoming *w, struct refusal *why)
{
    static const struct saying_hooks hooks = {
        .has_room = has_room, .on_sound = on_sound, .on_end = on_end, .on_failed = on_failed};
    struct speech_request request;
    speech_request_defaults(&request);
    request.format = CSM_AUDIO_FORMAT_S16LE;
    request.is_streamed = true;
    request.voice = w->voice;
    w->voice = NULL;
    return saying_open(w->service, &request, NULL, SAYING_ONE_SOUND, &hooks, w, &w->saying, why);
}

static void say(struct wyoming *w, const char *text)
{
    struct refusal why;
    if (w->is_refused)
        return;
    bool is_said = w->saying != NULL || open_saying(w, &why);
    w->is_refused = !is_said;
    if (is_said && saying_pending(w->saying) >= MAX_PENDING)
        is_said = refuse(&why, 503, "", "overloaded", "too many sentences wait to be said");
    if (is_said)
        is_said = saying_add(w->saying, text, true, &why);
    log_text(w->service, "wyoming", text);
    if (!is_said)
        send_error(w, "synthesis", why.message);
}

/* What the event says of the voice: a speaker, which is one of ours too, is more than its
 * name, as with HTTP. Whether there is one is seen when it is to speak. */
static void keep_voice(struct wyoming *w, const json_t *data)
{
    const json_t *voice = json_object_get(data, "voice"), *name = json_object_get(voice, "speaker");
    if (name == NULL || json_is_null(name))
        name = json_object_get(voice, "name");
    const bool has_name = name != NULL && !json_is_null(name);
    const bool is_right = (voice == NULL || json_is_null(voice) || json_is_object(voice)) &&
                          (!has_name || json_is_string(name));
    free(w->voice);
    w->voice = is_right && has_name ? strdup(json_string_value(name)) : NULL;
    w->is_refused = !is_right || (has_name && w->voice == NULL);
    if (w->is_refused)
        send_error(w, "synthesis",
                   is_right ? "out of memory" : "voice: expected an object with a name or a speaker");
}

/* Say the sentences of the text that are complete: something follows them. */
static void say_complete_ones(struct wyoming *w)
{
    for (;;) {
        const size_t n_space = w->text != NULL ? strspn(w->text, " \t\r\n") : 0;
        if (w->text == NULL || w->text[n_space] == '\0')
            return;
        const size_t n = n_space + csm_text_sentence(w->text + n_space, MAX_SENTENCE);
        const char *rest = w->text + n + strspn(w->text + n, " \t\r\n");
        if (*rest == '\0')
            return;
        const char kept = w->text[n];
        w->text[n] = '\0';
        say(w, w->text);
        w->text[n] = kept;
        memmove(w->text, rest, strlen(rest) + 1);
    }
}

static void on_chunk(struct wyoming *w, const json_t *data)
{
    const char *text = json_string_value(json_object_get(data, "text"));
    if (text == NULL) {
        send_error(w, "synthesis", "synthesize-chunk: expected a text");
        return;
    }
    const size_t n = w->text != NULL ? strlen(w->text) : 0, n_more = strlen(text);
    char *grown = n + n_more <= MAX_DATA ? realloc(w->text, n + n_more + 1) : NULL;
    if (grown == NULL) {
        send_error(w, "synthesis", "synthesize-chunk: too much text");
        return;
    }
    memcpy(grown + n, text, n_more + 1);
    w->text = grown;
    say_complete_ones(w);
}

/* No more text comes. */
static void complete(struct wyoming *w)
{
    if (w->text != NULL && w->text[strspn(w->text, " \t\r\n")] != '\0')
        say(w, w->text);
    w->is_complete = true;
    if (w->saying != NULL)
        saying_complete(w->saying);
    else
        end_synthesis(w); /* nothing was to be said */
}

static void on_synthesize(struct wyoming *w, const json_t *data)
{
    const char *text = json_string_value(json_object_get(data, "text"));
    if (w->is_streaming)
        return; /* the whole text, for servers that do not stream */
    keep_voice(w, data);
    if (text == NULL)
        send_error(w, "synthesis", "synthesize: expected a text");
    else if (text[strspn(text, " \t\r\n")] != '\0')
        say(w, text);
    complete(w);
}

static void handle(struct wyoming *w, const json_t *event)
{
    const char *type = json_string_value(json_object_get(event, "type"));
    const json_t *data = json_object_get(event, "data");
    if (!service_is_ready(w->service) && w->saying == NULL) {
        send_error(w, "not-ready", w->service->is_ending ? "the server is ending" : "the server is starting");
    } else if (strcmp(type, "describe") == 0) {
        send_info(w);
    } else if (strcmp(type, "ping") == 0) {
        send_event(w, "pong", json_deep_copy(data), NULL, 0);
    } else if (strcmp(type, "synthesize") == 0) {
        on_synthesize(w, data);
    } else if (strcmp(type, "synthesize-start") == 0) {
        if (w->is_streaming)
            end_synthesis(w); /* broken off: somebody else is to be heard */
        keep_voice(w, data);
        w->is_streaming = true;
    } else if (strcmp(type, "synthesize-chunk") == 0 || strcmp(type, "synthesize-stop") == 0) {
        if (!w->is_streaming)
            send_error(w, "protocol", "expected synthesize-start first");
        else if (strcmp(type, "synthesize-chunk") == 0)
            on_chunk(w, data);
        else
            complete(w);
    }
}

/* ---- reading -------------------------------------------------------------------------------- */

/* A count of a header: absent is 0. */
static bool read_count(const json_t *header, const char *name, json_int_t highest, size_t *n)
{
    const json_t *value = json_object_get(header, name);
    const json_int_t count = json_integer_value(value);
    *n = (size_t)count;
    return value == NULL || json_is_null(value) ||
           (json_is_integer(value) && count >= 0 && count <= highest);
}

/* The line of an event. Returns 1: read; 0: more is needed; -1: it is no event. */
static int read_line(struct wyoming *w, struct evbuffer *input)
{
    size_t n;
    char *line = evbuffer_readln(input, &n, EVBUFFER_EOL_LF);
    if (line == NULL)
        return evbuffer_get_length(input) > MAX_LINE ? -1 : 0;
    json_error_t error;
    w->event = n <= MAX_LINE ? json_loadb(line, n, 0, &error) : NULL;
    free(line);
    return json_is_string(json_object_get(w->event, "type")) &&
                   read_count(w->event, "data_length", MAX_DATA, &w->n_data) &&
                   read_count(w->event, "payload_length", INT32_MAX, &w->n_payload)
               ? 1
               : -1;
}

/* The JSON behind the line, over what the line itself has. */
static int read_data(struct wyoming *w, struct evbuffer *input)
{
    if (evbuffer_get_length(input) < w->n_data)
        return 0;
    json_error_t error;
    const char *bytes = (const char *)evbuffer_pullup(input, (ev_ssize_t)w->n_data);
    json_t *data = json_loadb(bytes, w->n_data, 0, &error);
    if (!json_is_object(data)) {
        json_decref(data);
        return -1;
    }
    json_t *inside = json_object_get(w->event, "data");
    if (json_is_object(inside))
        json_object_update_missing(data, inside);
    json_object_set_new(w->event, "data", data);
    evbuffer_drain(input, w->n_data);
    w->n_data = 0;
    return 1;
}

/* One event, or a part of it; as read_line. A text whose sound is not over holds up the
 * events behind it, which stay in the input. */
static int read_step(struct wyoming *w, struct evbuffer *input)
{
    if (w->event == NULL)
        return w->is_complete && w->saying != NULL ? 0 : read_line(w, input);
    if (w->n_data > 0)
        return read_data(w, input);
    const size_t n = evbuffer_get_length(input);
    const size_t n_passed = n < w->n_payload ? n : w->n_payload; /* sound: nothing listens */
    evbuffer_drain(input, n_passed);
    w->n_payload -= n_passed;
    if (w->n_payload > 0)
        return 0;
    json_t *event = w->event;
    w->event = NULL;
    handle(w, event);
    json_decref(event);
    return 1;
}

static bool is_full(const struct wyoming *w)
{
    return connection_waiting(w->c) > CONNECTION_FULL;
}

/* false: it was closed. */
static bool read_on(struct wyoming *w, struct evbuffer *input)
{
    int read = 1;
    w->is_reading = true;
    while (read == 1 && !is_full(w))
        read = read_step(w, input);
    w->is_reading = false;
    connection_set_deadline(w->c, IDLE_MS);
    if (read >= 0)
        return true;
    send_error(w, "protocol", "expected an event: a line of JSON with a type");
    connection_close(w->c);
    wyoming_free(w);
    return false;
}

static void on_input(void *owner, struct evbuffer *input)
{
    read_on(owner, input);
}

/* Who is being spoken to and sends no more has left. */
static void on_input_end(void *owner, struct evbuffer *input)
{
    struct wyoming *w = owner;
    if (!read_on(w, input) || (w->saying == NULL && is_full(w)))
        return;
    if (w->saying != NULL) {
        connection_lose(w->c);
        return;
    }
    connection_close(w->c);
    wyoming_free(w);
}

static void on_gone(void *owner)
{
    wyoming_free(owner);
}

static void on_drained(void *owner)
{
    struct wyoming *w = owner;
    struct connection *c = w->c; /* there until the next turn of the loop */
    if (w->saying != NULL)
        saying_go_on(w->saying);
    connection_poke(c); /* for events that found it full */
}

static void on_ending(void *owner)
{
    struct wyoming *w = owner;
    if (w->saying != NULL) {
        if (!w->is_complete)
            complete(w);
        return; /* it is closed when that is said */
    }
    connection_close(w->c);
    wyoming_free(w);
}

void wyoming_accept(void *user, struct connection *c)
{
    static const struct connection_hooks hooks = {
        .on_input = on_input, .on_end = on_input_end, .on_drained = on_drained, .on_gone = on_gone};
    struct service *service = user;
    struct wyoming *w = calloc(1, sizeof *w);
    if (w == NULL) {
        connection_drop(c);
        return;
    }
    w->service = service;
    w->c = c;
    w->guest = (struct guest){.on_end = on_ending, .owner = w};
    TAILQ_INSERT_TAIL(&service->guests, &w->guest, entry);
    connection_own(c, &hooks, w);
    connection_set_deadline(c, IDLE_MS);
}
