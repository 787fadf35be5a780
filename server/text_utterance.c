/* SPDX-License-Identifier: Apache-2.0
 *
 * text_utterance.c - the text of a socket, as it is written: sentences to the saying, and what
 * becomes of them to the client. */
#include <stdlib.h>
#include <string.h>

#include <csm/text.h>

#include "log.h"
#include "reply.h"
#include "text_parts.h"

enum {
    MAX_BUFFERED = 256 * 1024, /* bytes of text that is not yet said */
    MAX_PENDING = 512,         /* sentences that wait */
    MAX_SENTENCE = 240,
    HIGH_WATER = 256 * 1024
};

/* ---- sending ------------------------------------------------------------------------ */

void text_send_json(struct text_socket *t, json_t *object)
{
    char *text = json_text(object);
    if (text != NULL)
        websocket_send_text(t->ws, text, strlen(text));
    free(text);
}

void text_send_refusal(struct text_socket *t, const struct refusal *why)
{
    text_send_json(t, json_pack("{s:s, s:s, s:o}", "type", "error", "message", why->message, "error",
                                refusal_json(why)));
}

void text_send_error(struct text_socket *t, const char *message)
{
    struct refusal why;
    refuse(&why, 400, "", "invalid_request", "%s", message);
    text_send_refusal(t, &why);
}

/* ---- what the saying tells ------------------------------------------------------------ */

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
    text_send_json(t, json_pack("{s:s, s:s, s:I, s:I, s:s, s:s, s:i, s:i, s:I}", "type", "audio.start",
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
    text_send_json(t, json_pack("{s:s, s:s, s:I, s:I, s:I, s:b}", "type", "audio.done", "id", t->id,
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
    text_send_json(t, json_pack("{s:s, s:s, s:o, s:I, s:I}", "type", "session.done", "session_id", t->id,
                                "remarks", remark_list_json(&remarks),
                                "utterance_index", (json_int_t)t->n_utterances, "total_sentences",
                                (json_int_t)n_sounds));
    t->n_utterances++;
    t->is_flushed = t->is_failed = false;
    websocket_set_deadline(t->ws, TEXT_IDLE_MS);
    text_go_on(t);
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
    text_send_refusal(t, why);
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
        text_send_refusal(t, &why);
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

void text_take(struct text_socket *t, const json_t *message)
{
    const json_t *text = json_object_get(message, "text");
    if (!json_is_string(text)) {
        text_send_error(t, "input.text: expected a text");
        return;
    }
    if (t->is_failed)
        return;
    if (t->n_text + json_string_length(text) > MAX_BUFFERED ||
        !keep_text(t, json_string_value(text), json_string_length(text))) {
        text_send_error(t, "input.text: too much text without an end of a sentence or input.done");
        drop_all_text(t);
        t->is_failed = true;
        return;
    }
    say_what_is_complete(t);
}

void text_say_rest(struct text_socket *t)
{
    const bool has_words = t->n_text > 0 && t->text[strspn(t->text, " \t\r\n")] != '\0';
    if (has_words && !t->is_failed)
        say(t, t->n_text);
    drop_all_text(t);
}

void text_complete(struct text_socket *t)
{
    text_say_rest(t);
    t->is_flushed = true;
    if (t->saying != NULL)
        saying_complete(t->saying);
    else
        end_utterance(t); /* nothing was to be said */
}
