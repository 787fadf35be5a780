/* SPDX-License-Identifier: Apache-2.0
 *
 * realtime.c - WS /v1/realtime: OpenAI's events as far as speech out goes. What is added
 * to the conversation as text is what the next response says; nothing listens, and no
 * language model answers. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "log.h"
#include "reply.h"
#include "routes.h"
#include "saying.h"
#include "websocket.h"

enum { MAX_MESSAGE = 1024 * 1024, IDLE_MS = 900000, HIGH_WATER = 256 * 1024 };

struct realtime {
    struct service *service;
    struct websocket *ws;
    struct guest guest;
    bool is_beta; /* events have the names that they had before OpenAI's release */
    struct speech_request config;
    char session[36], response[36], item[36];
    const char *asked; /* the id of the event that is being read; NULL: it has none, or none is */

    char *text;      /* added and not yet said; NULL: none */
    char *last_item; /* the id of the conversation's last item; NULL: it has none */
    struct saying *saying; /* of the response under way; NULL: none */
    char *transcript;      /* of it */
    json_t *metadata;      /* the client's own words for it; NULL: none */
};

/* ---- events ------------------------------------------------------------------------- */

/* Takes the object, and adds its id. */
static void send_event(struct realtime *t, const char *type, json_t *event)
{
    char id[36];
    bytes_random_name("event_", id);
    json_object_set_new(event, "type", json_string(type));
    json_object_set_new(event, "event_id", json_string(id));
    char *text = json_text(event);
    if (text != NULL)
        websocket_send_text(t->ws, text, strlen(text));
    free(text);
}

/* It names the event that it answers: clients find by that what did not happen. */
static void send_refusal(struct realtime *t, const struct refusal *why)
{
    json_t *error = refusal_json(why);
    json_object_set_new(error, "event_id", t->asked != NULL ? json_string(t->asked) : json_null());
    send_event(t, "error", json_pack("{s:o}", "error", error));
}

static void send_error(struct realtime *t, const char *code, const char *message)
{
    struct refusal why;
    refuse(&why, 400, "", code, "%s", message);
    send_refusal(t, &why);
}

static json_t *session_json(const struct realtime *t)
{
    const char *voice = t->config.voice != NULL ? t->config.voice : "default";
    return json_pack("{s:s, s:s, s:s, s:s, s:[s], s:s, s:{s:{s:s, s:f, s:{s:s, s:i}}}}", "id",
                     t->session, "object", "realtime.session", "type", "realtime", "model",
                     t->service->info->name, "output_modalities", "audio", "voice", voice, "audio",
                     "output", "voice", voice, "speed", t->config.speed, "format", "type",
                     "audio/pcm", "rate", t->service->info->sample_rate_hz);
}

/* The one part of an item: its sound, with the words of it so far. */
static json_t *part_json(const struct realtime *t, const char *type)
{
    return json_pack("{s:s, s:s}", "type", type, "transcript",
                     t->transcript != NULL ? t->transcript : "");
}

/* An item begins without its part, which is told by an event of its own. */
static json_t *item_json(const struct realtime *t, const char *status)
{
    json_t *content = json_array();
    if (strcmp(status, "in_progress") != 0)
        json_array_append_new(content, part_json(t, t->is_beta ? "audio" : "output_audio"));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "id", t->item, "object", "realtime.item",
                     "type", "message", "status", status, "role", "assistant", "content", content);
}

/* Of a response that is over. */
static const char *item_status(const char *status)
{
    return strcmp(status, "completed") == 0 ? "completed" : "incomplete";
}

/* Its metadata are the client's, whose values are texts; when it is over the seed is there, too. */
static json_t *response_json(const struct realtime *t, const char *status)
{
    json_t *metadata = t->metadata != NULL ? json_deep_copy(t->metadata) : json_object();
    json_t *response = json_pack("{s:s, s:s, s:s, s:[], s:o}", "id", t->response, "object",
                                 "realtime.response", "status", status, "output", "metadata", metadata);
    if (t->saying == NULL || strcmp(status, "in_progress") == 0)
        return response;
    const struct saying_report r = saying_report(t->saying);
    char seed[24];
    snprintf(seed, sizeof seed, "%" PRIu64, r.seed);
    json_object_set_new(metadata, "seed", json_string(seed));
    json_array_append_new(json_object_get(response, "output"), item_json(t, item_status(status)));
    json_object_set_new(response, "usage",
                        json_pack("{s:I, s:I, s:I}", "input_tokens",
                                  (json_int_t)(r.n_text + r.n_prompt), "output_tokens",
                                  (json_int_t)r.n_frames, "total_tokens",
                                  (json_int_t)(r.n_text + r.n_prompt + r.n_frames)));
    const struct remark_list remarks = saying_remarks(t->saying);
    json_object_set_new(response, "remarks", remark_list_json(&remarks));
    return response;
}

/* Where in the response something belongs. */
static json_t *place_json(const struct realtime *t)
{
    return json_pack("{s:s, s:s, s:i, s:i}", "response_id", t->response, "item_id", t->item,
                     "output_index", 0, "content_index", 0);
}

/* The part of a response's item, and where it is. */
static json_t *placed_part_json(const struct realtime *t)
{
    json_t *part = place_json(t);
    json_object_set_new(part, "part", part_json(t, "audio"));
    return part;
}

static const char *name_of(const struct realtime *t, const char *beta, const char *now)
{
    return t->is_beta ? beta : now;
}

/* An item joins the conversation, behind the last one. */
static void send_item_added(struct realtime *t, json_t *item)
{
    const char *id = json_string_value(json_object_get(item, "id"));
    send_event(t, name_of(t, "conversation.item.created", "conversation.item.added"),
               json_pack("{s:s?, s:O}", "previous_item_id", t->last_item, "item", item));
    free(t->last_item);
    t->last_item = id != NULL ? strdup(id) : NULL;
}

/* Nothing of it is still to come; before OpenAI's release nobody was told. */
static void send_item_done(struct realtime *t, json_t *item)
{
    if (!t->is_beta)
        send_event(t, "conversation.item.done", json_pack("{s:O}", "item", item));
}

static void realtime_free(struct realtime *t)
{
    TAILQ_REMOVE(&t->service->guests, &t->guest, entry);
    saying_close(t->saying);
    speech_request_empty(&t->config);
    free(t->text);
    free(t->last_item);
    free(t->transcript);
    json_decref(t->metadata);
    free(t);
}

/* ---- a response ------------------------------------------------------------------------ */

static bool append(char **text, const char *more)
{
    const size_t n = *text != NULL ? strlen(*text) : 0, n_more = strlen(more);
    char *grown = realloc(*text, n + n_more + 2);
    if (grown == NULL)
        return false;
    if (n > 0)
        grown[n] = ' ';
    memcpy(grown + n + (n > 0), more, n_more + 1);
    *text = grown;
    return true;
}

/* However it ends, each of its parts is told to be over: clients wait for that. */
static void end_response(struct realtime *t, const char *status)
{
    send_event(t, name_of(t, "response.audio.done", "response.output_audio.done"), place_json(t));
    json_t *transcript = place_json(t);
    json_object_set_new(transcript, "transcript",
                        json_string(t->transcript != NULL ? t->transcript : ""));
    send_event(t, name_of(t, "response.audio_transcript.done", "response.output_audio_transcript.done"),
               transcript);
    send_event(t, "response.content_part.done", placed_part_json(t));
    json_t *item = item_json(t, item_status(status));
    send_item_done(t, item);
    send_event(t, "response.output_item.done",
               json_pack("{s:s, s:i, s:o}", "response_id", t->response, "output_index", 0, "item", item));
    send_event(t, "response.done", json_pack("{s:o}", "response", response_json(t, status)));
    saying_close(t->saying);
    t->saying = NULL;
    free(t->transcript);
    t->transcript = NULL;
    json_decref(t->metadata);
    t->metadata = NULL;
    websocket_set_deadline(t->ws, IDLE_MS);
    if (t->service->is_ending) {
        websocket_close(t->ws, WEBSOCKET_GOING_AWAY, "the server is ending");
        realtime_free(t);
    }
}

static bool has_room(void *owner)
{
    const struct realtime *t = owner;
    return websocket_waiting(t->ws) < HIGH_WATER;
}

static void on_sentence(void *owner, size_t sentence, const char *text)
{
    struct realtime *t = owner;
    (void)sentence;
    json_t *delta = place_json(t);
    json_object_set_new(delta, "delta", json_string(text));
    if (!append(&t->transcript, text))
        send_error(t, "server_error", "out of memory: a sentence is missing in the transcript");
    send_event(t, name_of(t, "response.audio_transcript.delta", "response.output_audio_transcript.delta"),
               delta);
}

static void on_sound(void *owner, const void *bytes, size_t n)
{
    struct realtime *t = owner;
    char *audio = bytes_to_base64(bytes, n);
    json_t *delta = place_json(t);
    json_object_set_new(delta, "delta", json_string(audio != NULL ? audio : ""));
    send_event(t, name_of(t, "response.audio.delta", "response.output_audio.delta"), delta);
    free(audio);
}

static void on_end(void *owner)
{
    end_response(owner, "completed");
}

static void on_failed(void *owner, const struct refusal *why)
{
    struct realtime *t = owner;
    send_refusal(t, why);
    end_response(t, "failed");
}

/* false: `why` tells. */
static bool begin_response(struct realtime *t, struct speech_request *request, struct refusal *why)
{
    static const struct saying_hooks hooks = {.has_room = has_room,
                                              .on_sentence = on_sentence,
                                              .on_sound = on_sound,
                                              .on_end = on_end,
                                              .on_failed = on_failed};
    log_text(t->service, t->session, request->input);
    if (!saying_begin(t->service, request, &hooks, t, &t->saying, why))
        return false;
    bytes_random_name("resp_", t->response);
    bytes_random_name("item_", t->item);
    send_event(t, "response.created", json_pack("{s:o}", "response", response_json(t, "in_progress")));
    json_t *item = item_json(t, "in_progress");
    send_event(t, "response.output_item.added",
               json_pack("{s:s, s:i, s:O}", "response_id", t->response, "output_index", 0, "item", item));
    send_item_added(t, item);
    json_decref(item);
    send_event(t, "response.content_part.added", placed_part_json(t));
    return true;
}

/* ---- what the client sends --------------------------------------------------------------- */

static bool drop_text(struct realtime *t, char **to, const char *code, const char *why)
{
    free(*to);
    *to = NULL;
    send_error(t, code, why);
    return false;
}

/* System messages are instructions, and what functions are called with and give is for a
 * language model. */
static bool is_to_be_said(const json_t *item)
{
    const char *role = json_string_value(json_object_get(item, "role"));
    const char *type = json_string_value(json_object_get(item, "type"));
    return (role == NULL || strcmp(role, "system") != 0) &&
           (type == NULL || strncmp(type, "function_call", 13) != 0);
}

/* Append the texts of an item's content to `to`; what has none is told, since it will not be said.
 * false: refused, and nothing is kept. */
static bool add_content(struct realtime *t, const json_t *item, char **to)
{
    const json_t *content = json_object_get(item, "content");
    if (!is_to_be_said(item))
        return true;
    if (!json_is_array(content))
        send_error(t, "invalid_value", "an item's content: expected an array");
    for (size_t i = 0; i < json_array_size(content); i++) {
        const char *text = json_string_value(json_object_get(json_array_get(content, i), "text"));
        if (text == NULL)
            send_error(t, "unsupported", "an item's content: expected text, which alone is said");
        else if (*text != '\0' && !append(to, text))
            return drop_text(t, to, "server_error", "out of memory");
    }
    return *to == NULL || strlen(*to) <= 4 * t->service->limits.max_text ||
           drop_text(t, to, "string_above_max_length", "the conversation: too much text before a response");
}

static void on_item(struct realtime *t, const json_t *message)
{
    const json_t *item = json_object_get(message, "item");
    if (!json_is_object(item)) {
        send_error(t, "invalid_value", "item: expected an object");
        return;
    }
    if (!add_content(t, item, &t->text))
        return;
    json_t *added = json_deep_copy(item);
    if (!json_is_string(json_object_get(added, "id"))) {
        char id[36];
        bytes_random_name("item_", id);
        json_object_set_new(added, "id", json_string(id));
    }
    send_item_added(t, added);
    send_item_done(t, added);
    json_decref(added);
}

/* What was sent and not heard of the last answer is no longer in the conversation: nothing that is said
 * later depends on it. */
static void on_truncate(struct realtime *t, const json_t *message)
{
    const char *item = json_string_value(json_object_get(message, "item_id"));
    const json_t *end = json_object_get(message, "audio_end_ms");
    if (item == NULL || *item == '\0' || strcmp(item, t->item) != 0)
        send_error(t, "item_not_found", "item_id: expected that of the last response's item");
    else if (!json_is_number(end) || json_number_value(end) < 0)
        send_error(t, "invalid_value", "audio_end_ms: expected milliseconds, 0 or more");
    else
        send_event(t, "conversation.item.truncated",
                   json_pack("{s:s, s:i, s:O}", "item_id", item, "content_index", 0, "audio_end_ms", end));
}

/* Whether sound is among the kinds of answer that are asked for; none named: it is. */
static bool has_audio(const json_t *modalities)
{
    bool is_asked = !json_is_array(modalities);
    for (size_t i = 0; i < json_array_size(modalities); i++) {
        const char *name = json_string_value(json_array_get(modalities, i));
        is_asked |= name != NULL && strcmp(name, "audio") == 0;
    }
    return is_asked;
}

/* The session's settings with these over them; refused, `out` is as it was.
 * Where voice, speed and format may stand: at the top, and in audio.output. */
static bool read_settings(struct realtime *t, const json_t *settings, struct speech_request *out,
                          struct refusal *why)
{
    const json_t *output = json_object_get(json_object_get(settings, "audio"), "output");
    const json_t *format = json_object_get(output, "format");
    const json_t *beta_format = json_object_get(settings, "output_audio_format");
    const char *type = json_string_value(json_object_get(format, "type"));
    const char *beta_type = json_string_value(beta_format);
    const json_t *rate = json_object_get(format, "rate");
    if ((format != NULL && !json_is_null(format) && !json_is_object(format)) ||
        (type != NULL && strcmp(type, "audio/pcm") != 0) ||
        (beta_type != NULL && strcmp(beta_type, "pcm16") != 0) ||
        (rate != NULL && !json_is_null(rate) &&
         json_integer_value(rate) != t->service->info->sample_rate_hz) ||
        (beta_format != NULL && !json_is_null(beta_format) && beta_type == NULL))
        return refuse(why, 400, "session.audio.output.format", "invalid_value",
                      "session.audio.output.format: expected audio/pcm, 24000 Hz");
    if (!has_audio(json_object_get(settings, "output_modalities")) ||
        !has_audio(json_object_get(settings, "modalities")))
        return refuse(why, 400, "session.output_modalities", "invalid_value",
                      "session.output_modalities: expected audio among them: this server speaks");
    /* What the top holds of other kinds (temperature of a language model) is not ours. */
    json_t *ours = json_object();
    static const char *const names[] = {"voice", "speed", "seed", "speaker"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_t *value = json_object_get(output, names[i]);
        if (value == NULL)
            value = json_object_get(settings, names[i]);
        if (value != NULL)
            json_object_set(ours, names[i], value);
    }
    struct speech_request read;
    bool is_right = speech_request_copy(&t->config, &read) || refuse(why, 503, "", "", "out of memory");
    is_right = is_right && speech_request_read(ours, t->service->info, &t->service->limits, false,
                                               &read, why);
    json_decref(ours);
    const struct voice *voice;
    is_right = is_right && cast_find_voice(t->service, read.voice, &voice, why);
    if (is_right)
        *out = read;
    else
        speech_request_empty(&read);
    return is_right;
}

static void on_session(struct realtime *t, const json_t *message)
{
    struct speech_request config;
    struct refusal why;
    const json_t *session = json_object_get(message, "session");
    const char *type = json_string_value(json_object_get(session, "type"));
    bool is_right = json_is_object(session) ||
                    refuse(&why, 400, "session", "missing_required_parameter", "session: expected an object");
    is_right = is_right && (type == NULL || strcmp(type, "realtime") == 0 ||
                            refuse(&why, 400, "session.type", "invalid_value",
                                   "session.type: expected realtime: this server speaks"));
    is_right = is_right && read_settings(t, session, &config, &why);
    if (is_right) {
        speech_request_empty(&t->config);
        t->config = config;
    }
    if (is_right)
        send_event(t, "session.updated", json_pack("{s:o}", "session", session_json(t)));
    else
        send_refusal(t, &why);
}

static void on_response(struct realtime *t, const json_t *message)
{
    const json_t *settings = json_object_get(message, "response");
    const json_t *input = json_object_get(settings, "input"), *metadata = json_object_get(settings, "metadata");
    struct speech_request request; /* its settings are its own: the session keeps those it has */
    struct refusal why;
    if (t->saying != NULL) {
        send_error(t, "conversation_already_has_active_response", "a response is being said");
        return;
    }
    if (input != NULL && !json_is_null(input) && !json_is_array(input)) {
        send_error(t, "invalid_value", "response.input: expected an array of items");
        return;
    }
    if (metadata != NULL && !json_is_null(metadata) && !json_is_object(metadata)) {
        send_error(t, "invalid_value", "response.metadata: expected an object");
        return;
    }
    if (!read_settings(t, settings, &request, &why)) {
        send_refusal(t, &why);
        return;
    }
    /* Its own input stands in the conversation's place, whose text is for the next response. */
    const bool has_own = json_is_array(input);
    char *text = has_own || t->text == NULL ? NULL : strdup(t->text);
    for (size_t i = 0; i < json_array_size(input); i++)
        if (!add_content(t, json_array_get(input, i), &text)) {
            speech_request_empty(&request);
            return;
        }
    if (text == NULL) {
        speech_request_empty(&request);
        if (has_own || t->text == NULL)
            send_error(t, "invalid_value", "a response: nothing was added that can be said");
        else
            send_error(t, "server_error", "out of memory");
        return;
    }
    request.input = text;
    if (json_is_object(metadata))
        t->metadata = json_deep_copy(metadata);
    const bool has_begun = begin_response(t, &request, &why);
    if (!has_begun) {
        json_decref(t->metadata);
        t->metadata = NULL;
        send_refusal(t, &why);
    }
    if (!has_own && (has_begun || why.status != 503)) { /* else for when there is room */
        free(t->text);
        t->text = NULL;
    }
}

/* Whether what an event is about is the response under way: one that names none is. */
static bool is_being_said(const struct realtime *t, const json_t *message)
{
    const char *id = json_string_value(json_object_get(message, "response_id"));
    return t->saying != NULL && (id == NULL || strcmp(id, t->response) == 0);
}

static void on_text(void *owner, const char *text, size_t n)
{
    struct realtime *t = owner;
    json_error_t error;
    json_t *message = json_read(text, n, JSON_REJECT_DUPLICATES, &error);
    const char *type = json_string_value(json_object_get(message, "type"));
    if (type != NULL && strcmp(type, "response.cancel") == 0 && is_being_said(t, message)) {
        json_decref(message);
        end_response(t, "cancelled"); /* of a server that ends it is the end */
        return;
    }
    t->asked = json_string_value(json_object_get(message, "event_id"));
    if (type == NULL)
        send_error(t, "invalid_json", "an event: expected a JSON object with a type");
    else if (strcmp(type, "session.update") == 0)
        on_session(t, message);
    else if (strcmp(type, "conversation.item.create") == 0)
        on_item(t, message);
    else if (strcmp(type, "conversation.item.truncate") == 0)
        on_truncate(t, message);
    else if (strcmp(type, "response.create") == 0)
        on_response(t, message);
    else if (strcmp(type, "response.cancel") == 0)
        send_error(t, "response_cancel_not_active", "no response, or another one, is being said");
    else if (strncmp(type, "input_audio_buffer.", 19) == 0)
        send_error(t, "unsupported", "this server speaks; it does not listen");
    else
        send_error(t, "unsupported", "an event of no type that is known here");
    t->asked = NULL;
    json_decref(message);
}

/* ---- the socket ---------------------------------------------------------------------------- */

static void on_gone(void *owner)
{
    realtime_free(owner);
}

static void on_drained(void *owner)
{
    struct realtime *t = owner;
    if (t->saying != NULL)
        saying_go_on(t->saying);
}

static void on_deadline(void *owner)
{
    struct realtime *t = owner;
    if (t->saying != NULL) {
        websocket_set_deadline(t->ws, IDLE_MS);
        return;
    }
    websocket_close(t->ws, WEBSOCKET_POLICY, "no event for too long");
    realtime_free(t);
}

static void on_ending(void *owner)
{
    struct realtime *t = owner;
    if (t->saying != NULL)
        return; /* it is closed when that is said */
    websocket_close(t->ws, WEBSOCKET_GOING_AWAY, "the server is ending");
    realtime_free(t);
}

void open_realtime(struct service *service, struct http_request *r, const char *name)
{
    static const struct websocket_hooks hooks = {on_text, on_gone, on_drained, on_deadline};
    (void)name;
    struct realtime *t = calloc(1, sizeof *t);
    if (t == NULL) {
        reply_error(r, 503, "", "", "out of memory");
        return;
    }
    const char *beta = http_head_find(&r->head, "openai-beta");
    t->service = service;
    t->is_beta = (beta != NULL && strstr(beta, "realtime=v1") != NULL) || /* browsers set no headers */
                 http_head_has_token(&r->head, "sec-websocket-protocol", "openai-beta.realtime-v1");
    t->guest = (struct guest){.on_end = on_ending, .owner = t};
    speech_request_defaults(&t->config);
    t->config.format = CSM_AUDIO_FORMAT_S16LE;
    t->config.is_streamed = true;
    bytes_random_name("sess_", t->session);
    t->ws = websocket_accept(r, MAX_MESSAGE, "realtime", &hooks, t);
    if (t->ws == NULL) {
        speech_request_empty(&t->config);
        free(t);
        return;
    }
    TAILQ_INSERT_TAIL(&service->guests, &t->guest, entry);
    websocket_set_deadline(t->ws, IDLE_MS);
    send_event(t, "session.created", json_pack("{s:o}", "session", session_json(t)));
}
