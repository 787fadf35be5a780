/* SPDX-License-Identifier: Apache-2.0
 *
 * speech_route.c - POST /v1/audio/speech: whole, as bytes that come, or as events. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "log.h"
#include "reply.h"
#include "routes.h"
#include "saying.h"

enum { HIGH_WATER = 256 * 1024 }; /* bytes that may wait for a client before its speech pauses */

static const char trailers[] =
    "X-Finish-Reason, X-Prompt-Tokens, X-Completion-Tokens, X-Audio-Duration-Ms, X-RTF, X-Remarks";

struct spoken {
    struct service *service;
    struct http_request *r;
    struct saying *saying;
    bool has_begun;
    const void *bytes; /* whole: between on_sound and on_end */
    size_t n;
};

static void spoken_free(struct spoken *s)
{
    saying_close(s->saying);
    free(s);
}

static void on_gone(void *owner)
{
    spoken_free(owner);
}

static void on_drained(void *owner)
{
    struct spoken *s = owner;
    saying_go_on(s->saying);
}

static bool has_room(void *owner)
{
    const struct spoken *s = owner;
    return http_waiting(s->r) < HIGH_WATER;
}

static void add_remarks(struct spoken *s)
{
    const struct remark_list remarks = saying_remarks(s->saying);
    char codes[REMARK_CODES];
    remark_list_codes(&remarks, codes);
    if (remarks.n > 0)
        http_header(s->r, "X-Remarks", "%s", codes);
}

static void begin(struct spoken *s)
{
    const struct speech_request *asked = saying_request(s->saying);
    char type[SPEECH_TYPE];
    s->has_begun = true;
    http_header(s->r, "X-Seed", "%" PRIu64, saying_report(s->saying).seed);
    add_remarks(s);
    http_header(s->r, "X-Accel-Buffering", "no"); /* nginx would keep it until it is whole */
    if (asked->is_sse) {
        http_header(s->r, "Cache-Control", "no-cache");
        http_begin(s->r, 200, "text/event-stream", "");
    } else {
        http_begin(s->r, 200, speech_request_type(asked, s->service->info, type), trailers);
    }
}

/* ---- events ---------------------------------------------------------------------- */

static void push_event(struct spoken *s, const char *type, json_t *data)
{
    char *text = json_text(data);
    if (text == NULL)
        return;
    struct evbuffer *event = evbuffer_new();
    if (event != NULL) {
        evbuffer_add_printf(event, "event: %s\ndata: %s\n\n", type, text);
        const size_t n = evbuffer_get_length(event);
        http_push(s->r, evbuffer_pullup(event, -1), n);
        evbuffer_free(event);
    }
    free(text);
}

static void push_delta(struct spoken *s, const void *bytes, size_t n)
{
    char *audio = bytes_to_base64(bytes, n);
    const char *format = speech_format_name(saying_request(s->saying)->format);
    if (audio != NULL)
        push_event(s, "speech.audio.delta",
                   json_pack("{s:s, s:s, s:s}", "type", "speech.audio.delta", "audio", audio,
                             "response_format", format));
    free(audio);
}

static double rtf(const struct saying_report *report)
{
    return report->sound_s > 0 ? report->total_s / report->sound_s : 0;
}

static void push_done(struct spoken *s)
{
    const struct saying_report r = saying_report(s->saying);
    const struct remark_list remarks = saying_remarks(s->saying);
    json_t *usage =
        json_pack("{s:I, s:I, s:I, s:{s:I, s:I}}", "input_tokens", (json_int_t)(r.n_text + r.n_prompt),
                  "output_tokens", (json_int_t)r.n_frames, "total_tokens",
                  (json_int_t)(r.n_text + r.n_prompt + r.n_frames), "input_token_details",
                  "text_tokens", (json_int_t)r.n_text, "audio_tokens", (json_int_t)r.n_prompt);
    push_event(s, "speech.audio.done",
               json_pack("{s:s, s:o, s:o, s:s, s:I, s:f, s:f, s:f}", "type", "speech.audio.done", "usage",
                         usage, "remarks", remark_list_json(&remarks), "finish_reason", r.finish, "seed",
                         (json_int_t)r.seed, "audio_ms", r.sound_s * 1e3, "first_audio_ms", r.first_s * 1e3,
                         "rtf", rtf(&r)));
}

/* ---- the saying's news ------------------------------------------------------------- */

static void on_sound(void *owner, const void *bytes, size_t n)
{
    struct spoken *s = owner;
    const struct speech_request *asked = saying_request(s->saying);
    if (!asked->is_streamed) {
        s->bytes = bytes;
        s->n = n;
        return;
    }
    if (!s->has_begun)
        begin(s);
    if (asked->is_sse)
        push_delta(s, bytes, n);
    else
        http_push(s->r, bytes, n);
}

static void on_end(void *owner)
{
    struct spoken *s = owner;
    const struct speech_request *asked = saying_request(s->saying);
    const struct saying_report r = saying_report(s->saying);
    const struct remark_list remarks = saying_remarks(s->saying);
    char codes[REMARK_CODES], tail[320 + REMARK_CODES], type[SPEECH_TYPE];
    remark_list_codes(&remarks, codes);
    snprintf(tail, sizeof tail,
             "X-Finish-Reason: %s\r\nX-Prompt-Tokens: %zu\r\nX-Completion-Tokens: %zu\r\n"
             "X-Audio-Duration-Ms: %.0f\r\nX-RTF: %.4f\r\n%s%s%s",
             r.finish, r.n_text + r.n_prompt, r.n_frames, r.sound_s * 1e3, rtf(&r),
             remarks.n > 0 ? "X-Remarks: " : "", codes, remarks.n > 0 ? "\r\n" : "");
    if (asked->is_streamed && !s->has_begun)
        begin(s); /* nothing was said: an empty sound */
    if (asked->is_sse) {
        push_done(s);
        http_end(s->r, "");
    } else if (asked->is_streamed) {
        http_end(s->r, tail);
    } else {
        http_header(s->r, "X-Seed", "%" PRIu64, r.seed);
        http_header(s->r, "X-Finish-Reason", "%s", r.finish);
        http_header(s->r, "X-Prompt-Tokens", "%zu", r.n_text + r.n_prompt);
        http_header(s->r, "X-Completion-Tokens", "%zu", r.n_frames);
        http_header(s->r, "X-Audio-Duration-Ms", "%.0f", r.sound_s * 1e3);
        http_header(s->r, "X-RTF", "%.4f", rtf(&r));
        add_remarks(s);
        http_answer(s->r, 200, speech_request_type(asked, s->service->info, type), s->bytes, s->n);
    }
    spoken_free(s);
}

static void on_failed(void *owner, const struct refusal *why)
{
    struct spoken *s = owner;
    if (!s->has_begun) {
        reply_refusal(s->r, why);
    } else if (saying_request(s->saying)->is_sse) {
        push_event(s, "speech.audio.error",
                   json_pack("{s:s, s:s, s:s, s:n, s:n, s:b}", "type", "speech.audio.error",
                             "message", why->message, "error_type", "server_error", "param", "code",
                             "partial_audio", 1));
        http_end(s->r, "");
    } else {
        http_break(s->r);
    }
    spoken_free(s);
}

void answer_speech(struct service *service, struct http_request *r, const char *name)
{
    static const struct saying_hooks hooks = {
        .has_room = has_room, .on_sound = on_sound, .on_end = on_end, .on_failed = on_failed};
    (void)name;
    json_t *json = routes_read_json(r);
    if (json == NULL)
        return;
    struct speech_request request;
    struct refusal why;
    speech_request_defaults(&request);
    const bool is_right =
        speech_request_read(json, service->info, &service->limits, true, &request, &why);
    json_decref(json);
    /* The bare samples have no length to wait for. */
    if (request.format == CSM_AUDIO_FORMAT_S16LE)
        request.is_streamed = true;
    struct spoken *s = is_right ? calloc(1, sizeof *s) : NULL;
    if (s == NULL) {
        if (is_right)
            refuse(&why, 503, "", "", "out of memory");
        speech_request_empty(&request);
        reply_refusal(r, &why);
        return;
    }
    log_text(service, r->id, request.input);
    s->service = service;
    s->r = r;
    if (!saying_begin(service, &request, &hooks, s, &s->saying, &why)) {
        free(s);
        reply_refusal(r, &why);
        return;
    }
    r->owner = s;
    r->on_gone = on_gone;
    r->on_drained = on_drained;
}
