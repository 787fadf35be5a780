/* SPDX-License-Identifier: Apache-2.0 */
#include "saying.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "encoding.h"
#include "log.h"
#include "reply.h"
#include "sentences.h"

enum { MAX_EARLY = 64 }; /* texts that may come before the voice is there */

/* A text that came before the voice was there. */
struct early {
    char *text;
    bool is_split;
};

/* What the sound is being made for: what follows once it is. */
enum step { NO_STEP, SOUND_STEP, SENTENCE_STEP, END_STEP };

struct saying {
    struct service *service;
    struct speech_request request;
    enum saying_shape shape;
    enum speech_joint joint;
    struct saying_hooks hooks;
    void *owner;
    struct casting *casting; /* NULL: done, or never needed */
    struct early early[MAX_EARLY];
    size_t n_early;
    bool is_complete;
    struct speech *speech; /* NULL: the voice is not there yet */
    struct encoding *sound; /* NULL: none has begun */
    enum step step;         /* under way: nothing is taken before it is done */
    size_t sentence;        /* of SENTENCE_STEP */
    size_t n_over;         /* frames of sounds that are over */
    uint64_t began_us, first_us, ended_us;
    const char *outcome; /* for the metrics */
    struct remark_list remarks; /* what was known before it was drawn */
    bool has_short_mark;
    csm_remark short_mark; /* of the first sound that is too short */
};

/* ---- the sound ------------------------------------------------------------------ */

static void fail(struct saying *s, const struct refusal *why)
{
    s->outcome = "error";
    s->ended_us = http_now_us();
    s->hooks.on_failed(s->owner, why);
}

static void fail_status(struct saying *s, csm_status status, const char *message)
{
    struct refusal why;
    refusal_of_status(status, message, &why);
    if (why.status >= 500)
        log_line(s->service, "a speech failed: %s", message);
    fail(s, &why);
}

/* Letters, digits or what stands for a word: a text may have none. */
static bool refuse_silence(struct refusal *why)
{
    return refuse(why, 400, "input", "invalid_value", "input: nothing in it can be said");
}

static void on_step(void *owner);

static csm_status begin_sound(struct saying *s, csm_error *err)
{
    const struct serve_options *options = s->service->options;
    csm_mark_options mark = csm_mark_defaults();
    mark.key = options->mark_key;
    mark.rate_hz = s->service->info->sample_rate_hz;
    mark.payload = csm_mark_payload_of(s->service->info->digest);
    const struct sound_setup setup = {.format = s->request.format,
                                      .rate_hz = s->service->info->sample_rate_hz,
                                      .out_hz = s->request.rate_hz,
                                      .speed = s->request.speed,
                                      .mark = options->is_marked ? &mark : NULL,
                                      .is_whole = !s->request.is_streamed,
                                      .credentials = options->credentials};
    return s->sound != NULL
               ? CSM_OK
               : encoding_open(&setup, s->service->encoders, on_step, s, &s->sound, err);
}

static void give_sound(struct saying *s)
{
    size_t n;
    const void *bytes = encoding_take(s->sound, &n);
    if (n > 0 && s->hooks.on_sound != NULL)
        s->hooks.on_sound(s->owner, bytes, n);
}

/* Whether the speech in a sound that is over, as it is heard, is too short for its mark. */
static void remark_mark(struct saying *s)
{
    const csm_model_info *info = s->service->info;
    const size_t n_frames = speech_counts(s->speech)->n_frames - s->n_over;
    const double n_samples = (double)(n_frames * info->frame_samples) / s->request.speed;
    s->n_over += n_frames;
    if (s->service->options->is_marked && n_frames > 0 && !s->has_short_mark)
        s->has_short_mark =
            csm_remark_mark((size_t)n_samples, info->sample_rate_hz, &s->short_mark);
}

static const char *outcome_of(const struct speech_tally *tally)
{
    return tally->guarded[0] != '\0' ? "guard" : tally->is_cut ? "length" : "stop";
}

/* Each step: true to go on, false when it is under way or the saying may be no more. */

static bool end_step(struct saying *s)
{
    csm_error err;
    const enum step step = s->step;
    s->step = NO_STEP;
    const csm_status st = encoding_status(s->sound, &err);
    if (st != CSM_OK) {
        fail_status(s, st, err.text);
        return false;
    }
    if (step != SOUND_STEP)
        remark_mark(s);
    if (step != SOUND_STEP || s->request.is_streamed)
        give_sound(s); /* it stays until the next step */
    if (step == END_STEP) {
        s->hooks.on_end(s->owner);
        return false;
    }
    if (step == SENTENCE_STEP) {
        encoding_close(s->sound);
        s->sound = NULL;
        if (s->hooks.on_sentence_end != NULL)
            s->hooks.on_sentence_end(s->owner, s->sentence);
    }
    return true;
}

/* The next samples of the sound, or its end: an empty one, where nothing was said. */
static bool begin_step(struct saying *s, enum step step, const float *samples, size_t n)
{
    csm_error err;
    const csm_status st = begin_sound(s, &err);
    if (st != CSM_OK) {
        fail_status(s, st, err.text);
        return false;
    }
    s->step = step;
    return encoding_step(s->sound, samples, n, step != SOUND_STEP) && end_step(s);
}

static bool take_sound(struct saying *s, const struct speech_piece *p)
{
    if (p->n_samples == 0)
        return true;
    if (s->first_us == 0)
        s->first_us = http_now_us();
    return begin_step(s, SOUND_STEP, p->samples, p->n_samples);
}

static bool take_sentence_end(struct saying *s, const struct speech_piece *p)
{
    s->sentence = p->sentence;
    if (s->shape == SAYING_EACH_A_SOUND)
        return begin_step(s, SENTENCE_STEP, NULL, 0);
    if (s->hooks.on_sentence_end != NULL)
        s->hooks.on_sentence_end(s->owner, p->sentence);
    return true;
}

static void take_end(struct saying *s)
{
    struct refusal why;
    if (speech_counts(s->speech)->n_sentences == 0) {
        refuse_silence(&why);
        fail(s, &why);
        return;
    }
    s->outcome = outcome_of(speech_counts(s->speech));
    s->ended_us = http_now_us();
    if (s->shape == SAYING_ONE_SOUND)
        begin_step(s, END_STEP, NULL, 0);
    else
        s->hooks.on_end(s->owner);
}

/* Take what there is; the saying may be no more when this returns. */
static void pump(struct saying *s)
{
    bool goes_on = true;
    while (goes_on && (s->hooks.has_room == NULL || s->hooks.has_room(s->owner))) {
        const struct speech_piece p = speech_take(s->speech);
        switch (p.kind) {
        case SPEECH_NOTHING:
            return;
        case SPEECH_SENTENCE:
            if (s->hooks.on_sentence != NULL)
                s->hooks.on_sentence(s->owner, p.sentence, p.text);
            break;
        case SPEECH_SOUND:
            goes_on = take_sound(s, &p);
            break;
        case SPEECH_DONE:
            goes_on = take_sentence_end(s, &p);
            break;
        case SPEECH_END:
            take_end(s);
            return;
        case SPEECH_FAILED:
            fail_status(s, p.status, p.message);
            return;
        }
    }
}

static void on_step(void *owner)
{
    if (end_step(owner))
        pump(owner);
}

static void on_news(void *owner)
{
    saying_go_on(owner);
}

void saying_go_on(struct saying *s)
{
    if (s->speech != NULL && s->ended_us == 0 && s->step == NO_STEP)
        pump(s);
}

/* ---- the beginning ------------------------------------------------------------------ */

/* The voice is there: say what has come. */
static csm_status speak(struct saying *s, const struct cast *cast, csm_error *err)
{
    struct speech_request *r = &s->request;
    if (!r->has_seed)
        r->options.seed = bytes_random_u64() >> 11; /* exact in JSON's numbers, too */
    const struct speech_setup setup = {.speaker = cast->speaker,
                                       .prompt = cast->prompt,
                                       .options = r->options,
                                       .max_frames = r->max_frames,
                                       .is_normalized = r->is_normalized,
                                       .joint = s->joint};
    csm_remark remark;
    for (size_t i = 0; i < cast->remarks.n; i++)
        remark_list_add(&s->remarks, &cast->remarks.items[i]);
    if (csm_remark_speaker(s->service->model, cast->speaker,
                           cast->prompt != NULL ? cast->prompt->turns : NULL,
                           cast->prompt != NULL ? cast->prompt->n : 0, &remark))
        remark_list_add(&s->remarks, &remark);
    csm_status st = speech_open(s->service->speeches, &setup, on_news, s, &s->speech, err);
    for (size_t i = 0; st == CSM_OK && i < s->n_early; i++)
        st = speech_add(s->speech, s->early[i].text, s->early[i].is_split, err);
    if (st == CSM_OK && s->is_complete)
        speech_complete(s->speech);
    return st;
}

static void on_cast(void *owner, const struct cast *cast, const struct refusal *why)
{
    struct saying *s = owner;
    s->casting = NULL;
    csm_error err;
    csm_status st = CSM_OK;
    if (why == NULL)
        st = speak(s, cast, &err);
    if (cast != NULL)
        prompt_release(cast->prompt);
    if (why != NULL)
        fail(s, why);
    else if (st != CSM_OK)
        fail_status(s, st, err.text);
}

/* A server that signs gives away nothing that it cannot sign. */
static bool can_be_signed(const struct service *service, const struct speech_request *request,
                          struct refusal *why)
{
    if (service->options->credentials == NULL)
        return true;
    if (!csm_credentials_fit(request->format))
        return refuse(why, 400, "response_format", "invalid_value",
                      "response_format: this server signs its files, expected wav, flac or mp3");
    return !request->is_streamed ||
           refuse(why, 400, "stream", "invalid_value",
                  "stream: this server signs its files, expected whole ones");
}

bool saying_open(struct service *service, struct speech_request *request, const struct cast *known,
                 enum saying_shape shape, const struct saying_hooks *hooks, void *owner,
                 struct saying **out, struct refusal *why)
{
    if (!can_be_signed(service, request, why)) {
        speech_request_empty(request);
        return false;
    }
    struct saying *s = calloc(1, sizeof *s);
    if (s == NULL) {
        speech_request_empty(request);
        return refuse(why, 503, "", "", "out of memory");
    }
    *s = (struct saying){.service = service,
                         .request = *request,
                         .shape = shape,
                         .hooks = *hooks,
                         .owner = owner,
                         .began_us = http_now_us(),
                         .outcome = "gone"};
    *request = (struct speech_request){0};
    csm_remark remark;
    if (s->request.has_instructions) {
        csm_remark_write(&remark, "unused-instructions",
                         "instructions: this model follows none; its voice and its context say how it speaks");
        remark_list_add(&s->remarks, &remark);
    }
    s->joint = shape == SAYING_EACH_A_SOUND    ? SPEECH_APART
               : s->request.input != NULL ? SPEECH_JOINED_IF_DIVIDED
                                          : SPEECH_JOINED;
    struct cast cast = {0};
    csm_error err;
    csm_status st = CSM_OK;
    enum cast_state state = CAST_REFUSED;
    if (speeches_is_full(service->speeches))
        refuse(why, 503, "", "queue_full", "the queue of requests is full");
    else if (known != NULL)
        st = speak(s, known, &err);
    else
        state = cast_begin(service, &s->request, on_cast, s, &cast, &s->casting, why);
    if (state == CAST_READY) {
        st = speak(s, &cast, &err);
        prompt_release(cast.prompt);
    }
    if (st != CSM_OK)
        refusal_of_status(st, err.text, why);
    if (st != CSM_OK || (s->speech == NULL && s->casting == NULL)) {
        saying_close(s);
        return false;
    }
    *out = s;
    return true;
}

bool saying_add(struct saying *s, const char *text, bool is_split, struct refusal *why)
{
    csm_error err;
    csm_remark remark;
    if (s->service->options->model_path == NULL && csm_remark_letters(text, &remark))
        remark_list_add(&s->remarks, &remark);
    if (s->request.is_normalized && csm_remark_thoughts(text, &remark))
        remark_list_add(&s->remarks, &remark);
    if (s->speech != NULL) {
        const csm_status st = speech_add(s->speech, text, is_split, &err);
        if (st != CSM_OK)
            refusal_of_status(st, err.text, why);
        return st == CSM_OK;
    }
    if (s->n_early == MAX_EARLY)
        return refuse(why, 503, "", "overloaded", "too many texts before the voice is ready");
    char *copy = malloc(strlen(text) + 1);
    if (copy == NULL)
        return refuse(why, 503, "", "", "out of memory");
    memcpy(copy, text, strlen(text) + 1);
    s->early[s->n_early++] = (struct early){copy, is_split};
    return true;
}

void saying_complete(struct saying *s)
{
    s->is_complete = true;
    if (s->speech != NULL)
        speech_complete(s->speech);
}

size_t saying_pending(const struct saying *s)
{
    return s->speech != NULL ? speech_pending(s->speech) : s->n_early;
}

/* Whether anything of a text is left to be said. */
static bool can_be_said(const struct service *service, const struct speech_request *request,
                        struct refusal *why)
{
    csm_error err;
    struct sentences said = {0};
    const csm_text_rules *rules = request->is_normalized ? speeches_rules(service->speeches) : NULL;
    const csm_status st = sentences_add(&said, rules, 0, request->input, false, &err);
    const bool is_empty = said.n == 0;
    sentences_free(&said);
    if (st == CSM_OK)
        return !is_empty || refuse_silence(why);
    refusal_of_status(st, err.text, why);
    return false;
}

bool saying_begin(struct service *service, struct speech_request *request,
                  const struct saying_hooks *hooks, void *owner, struct saying **out,
                  struct refusal *why)
{
    /* Where recordings are to be encoded first, the text is looked at before. */
    if (request->n_references > 0 && !can_be_said(service, request, why)) {
        speech_request_empty(request);
        return false;
    }
    struct saying *s;
    if (!saying_open(service, request, NULL, SAYING_ONE_SOUND, hooks, owner, &s, why))
        return false;
    bool is_right = saying_add(s, s->request.input, s->request.is_split, why);
    if (is_right && saying_pending(s) == 0)
        is_right = refuse_silence(why);
    if (!is_right) {
        s->outcome = "error";
        saying_close(s);
        return false;
    }
    saying_complete(s);
    *out = s;
    return true;
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
    report.n_sentences = tally->n_sentences;
    report.sound_s = (double)tally->n_frames * s->service->info->frame_ms / 1e3;
    report.queued_s = speech_queued_s(s->speech);
    return report;
}

struct remark_list saying_remarks(const struct saying *s)
{
    struct remark_list all = s->remarks;
    if (s->speech == NULL)
        return all;
    const struct speech_tally *tally = speech_counts(s->speech);
    for (size_t i = 0; i < tally->remarks.n; i++)
        remark_list_add(&all, &tally->remarks.items[i]);
    if (tally->cut_of > 0) { /* a sentence's own remark that it was cut comes before */
        csm_remark cut;
        csm_remark_write(&cut, "cut", "speech was cut behind sentence %zu of %zu, at the most it may last",
                         tally->cut_behind, tally->cut_of);
        remark_list_add(&all, &cut);
    }
    if (s->has_short_mark)
        remark_list_add(&all, &s->short_mark);
    return all;
}

const struct speech_request *saying_request(const struct saying *s)
{
    return &s->request;
}

static void count(const struct saying *s)
{
    const struct saying_report report = saying_report(s);
    metrics_spoken(s->service->metrics, &(struct metrics_speech){.outcome = s->outcome,
                                                                 .sound_s = report.sound_s,
                                                                 .first_s = report.first_s,
                                                                 .total_s = report.total_s,
                                                                 .queued_s = report.queued_s,
                                                                 .n_frames = report.n_frames,
                                                                 .n_text = report.n_text});
}

void saying_close(struct saying *s)
{
    if (s == NULL)
        return;
    if (s->speech != NULL)
        count(s);
    casting_forget(s->casting);
    speech_close(s->speech);
    encoding_close(s->sound);
    for (size_t i = 0; i < s->n_early; i++)
        free(s->early[i].text);
    speech_request_empty(&s->request);
    free(s);
}
