/* SPDX-License-Identifier: Apache-2.0 */
#include "saying.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "cast.h"
#include "complain.h"
#include "reply.h"
#include "sound.h"

struct saying {
    struct service *service;
    struct speech_request request;
    struct saying_hooks hooks;
    void *owner;
    struct casting *casting; /* NULL: done, or never needed */
    struct speech *speech;
    struct sound *sound;
    uint64_t began_us, first_us, ended_us;
    const char *outcome; /* for the metrics */
};

/* ---- the sound ------------------------------------------------------------------ */

static void failed(struct saying *s, csm_status status, const char *message)
{
    struct refusal why;
    refusal_of_status(status, message, &why);
    s->outcome = "error";
    s->ended_us = http_now_us();
    s->hooks.on_failed(s->owner, &why);
}

static void ended(struct saying *s)
{
    csm_error err;
    const csm_status st = sound_finish(s->sound, &err);
    if (st != CSM_OK) {
        failed(s, st, err.text);
        return;
    }
    const struct speech_tally *tally = speech_counts(s->speech);
    s->outcome = tally->guarded[0] != '\0' ? "guard" : tally->is_cut ? "length" : "stop";
    s->ended_us = http_now_us();
    size_t n;
    const void *bytes = sound_take(s->sound, &n);
    if (n > 0)
        s->hooks.on_sound(s->owner, bytes, n);
    s->hooks.on_end(s->owner);
}

/* Take what there is; the saying may be closed when this returns. */
static void pump(struct saying *s)
{
    csm_error err;
    for (;;) {
        if (s->hooks.has_room != NULL && !s->hooks.has_room(s->owner))
            return;
        const struct speech_piece p = speech_take(s->speech);
        if (p.kind == SPEECH_NOTHING)
            return;
        if (p.kind == SPEECH_END) {
            ended(s);
            return;
        }
        if (p.kind == SPEECH_FAILED) {
            failed(s, p.status, p.message);
            return;
        }
        if (p.kind != SPEECH_SOUND || p.n_samples == 0)
            continue;
        if (s->first_us == 0)
            s->first_us = http_now_us();
        const csm_status st = sound_push(s->sound, p.samples, p.n_samples, &err);
        if (st != CSM_OK) {
            failed(s, st, err.text);
            return;
        }
        size_t n = 0;
        const void *bytes = s->request.is_streamed ? sound_take(s->sound, &n) : NULL;
        if (n > 0)
            s->hooks.on_sound(s->owner, bytes, n);
    }
}

static void on_news(void *owner)
{
    struct saying *s = owner;
    if (s->ended_us == 0)
        pump(s);
}

void saying_go_on(struct saying *s)
{
    if (s->speech != NULL && s->ended_us == 0)
        pump(s);
}

/* ---- the beginning ------------------------------------------------------------------ */

/* The voice is there: speak. */
static csm_status speak(struct saying *s, const struct cast *cast, csm_error *err)
{
    struct speech_request *r = &s->request;
    if (!r->has_seed)
        r->options.seed = bytes_random_u64() >> 11; /* exact in JSON's numbers, too */
    struct speech_setup setup = {.speaker = cast->speaker,
                                 .prompt = cast->prompt,
                                 .options = r->options,
                                 .max_frames = r->max_frames,
                                 .is_normalized = r->is_normalized};
    setup.is_joined = r->is_split && speech_has_sentences(r->input);
    const struct sound_setup sound = {.format = r->format,
                                      .rate_hz = s->service->info->sample_rate_hz,
                                      .speed = r->speed,
                                      .is_marked = s->service->options->is_marked,
                                      .is_whole = !r->is_streamed};
    csm_status st = sound_open(&sound, &s->sound, err);
    if (st == CSM_OK)
        st = speech_open(s->service->speeches, &setup, on_news, s, &s->speech, err);
    if (st == CSM_OK)
        st = speech_add(s->speech, r->input, r->is_split, err);
    if (st == CSM_OK && speech_pending(s->speech) == 0)
        st = complain(err, CSM_BAD_ARG, "input: nothing in it can be said");
    if (st == CSM_OK)
        speech_complete(s->speech);
    return st;
}

static void on_cast(void *owner, const struct cast *cast, const struct refusal *why)
{
    struct saying *s = owner;
    s->casting = NULL;
    csm_error err;
    csm_status st = CSM_OK;
    struct refusal full;
    if (why == NULL && speeches_is_full(s->service->speeches)) {
        refuse(&full, 503, "", "queue_full", "the queue of requests is full");
        why = &full;
    }
    if (why == NULL)
        st = speak(s, cast, &err);
    if (cast != NULL)
        prompt_release(cast->prompt);
    if (st != CSM_OK) {
        failed(s, st, err.text);
    } else if (why != NULL) {
        s->outcome = "error";
        s->ended_us = http_now_us();
        s->hooks.on_failed(s->owner, why);
    }
}

bool saying_begin(struct service *service, struct speech_request *request,
                  const struct saying_hooks *hooks, void *owner, struct saying **out,
                  struct refusal *why)
{
    struct saying *s = calloc(1, sizeof *s);
    if (s == NULL) {
        speech_request_empty(request);
        return refuse(why, 503, "", "", "out of memory");
    }
    *s = (struct saying){.service = service,
                         .request = *request,
                         .hooks = *hooks,
                         .owner = owner,
                         .began_us = http_now_us(),
                         .outcome = "gone"};
    *request = (struct speech_request){0};
    bool is_begun = !speeches_is_full(service->speeches);
    if (!is_begun)
        refuse(why, 503, "", "queue_full", "the queue of requests is full");
    struct cast cast = {0};
    const enum cast_state state =
        is_begun ? cast_begin(service, &s->request, on_cast, s, &cast, &s->casting, why)
                 : CAST_REFUSED;
    is_begun = state != CAST_REFUSED;
    csm_error err;
    if (state == CAST_READY) {
        const csm_status st = speak(s, &cast, &err);
        prompt_release(cast.prompt);
        is_begun = st == CSM_OK;
        if (!is_begun)
            refusal_of_status(st, err.text, why);
    }
    if (is_begun)
        *out = s;
    else
        saying_close(s);
    return is_begun;
}

struct saying_report saying_report(const struct saying *s)
{
    const uint64_t until = s->ended_us != 0 ? s->ended_us : http_now_us();
    struct saying_report report = {.seed = s->request.options.seed,
                                   .finish = s->outcome,
                                   .total_s = (double)(until - s->began_us) / 1e6};
    if (s->first_us != 0)
        report.first_s = (double)(s->first_us - s->began_us) / 1e6;
    if (s->speech == NULL)
        return report;
    const struct speech_tally *tally = speech_counts(s->speech);
    report.n_text = tally->n_text;
    report.n_prompt = tally->n_prompt;
    report.n_frames = tally->n_frames;
    report.sound_s = (double)tally->n_frames * s->service->info->frame_ms / 1e3;
    report.queued_s = speech_queued_s(s->speech);
    return report;
}

const struct speech_request *saying_request(const struct saying *s)
{
    return &s->request;
}

void saying_close(struct saying *s)
{
    if (s == NULL)
        return;
    if (s->speech != NULL) {
        const struct saying_report report = saying_report(s);
        metrics_spoken(s->service->metrics, &(struct metrics_speech){.outcome = s->outcome,
                                                                     .sound_s = report.sound_s,
                                                                     .first_s = report.first_s,
                                                                     .total_s = report.total_s,
                                                                     .queued_s = report.queued_s,
                                                                     .n_frames = report.n_frames,
                                                                     .n_text = report.n_text});
    }
    casting_forget(s->casting);
    speech_close(s->speech);
    sound_close(s->sound);
    speech_request_empty(&s->request);
    free(s);
}
