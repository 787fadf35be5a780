/* SPDX-License-Identifier: Apache-2.0
 *
 * speech.c - texts in, sentence after sentence out. */
#include <stdlib.h>

#include "speech_parts.h"

enum { MAX_SOUND_MS = 600000 };

/* ---- what is taken ------------------------------------------------------------------ */

static struct speech_piece piece(const struct speech *s, enum speech_kind kind)
{
    return (struct speech_piece){.kind = kind,
                                 .sentence = s->next,
                                 .text = s->next < s->said.n ? s->said.items[s->next].text : "",
                                 .status = s->status,
                                 .message = s->has_failed ? s->error.text : ""};
}

static struct speech_piece failed(struct speech *s, csm_status status)
{
    speech_fail(s, status);
    return piece(s, SPEECH_FAILED);
}

static struct speech_piece sound(const struct speech *s, const float *samples, size_t n)
{
    struct speech_piece p = piece(s, SPEECH_SOUND);
    p.samples = samples;
    p.n_samples = n;
    return p;
}

/* A frame; where sounds are joined, its last 10 ms are given with the next. */
static struct speech_piece take_frame(struct speech *s, const csm_frame *frame)
{
    s->tally.n_frames++;
    if (!speech_keep_codes(s, frame))
        return failed(s, csm_fail(&s->error, CSM_NO_MEMORY, "speech: out of memory"));
    if (!s->is_joined)
        return sound(s, frame->samples, frame->n_samples);
    const float *samples;
    size_t n;
    const csm_status st =
        csm_joint_push(s->joint, frame->samples, frame->n_samples, &samples, &n, &s->error);
    return st == CSM_OK ? sound(s, samples, n) : failed(s, st);
}

static struct speech_piece take_pause(struct speech *s, int pause_ms)
{
    const float *samples;
    size_t n;
    const csm_status st = csm_joint_pause(s->joint, pause_ms, &samples, &n, &s->error);
    return st == CSM_OK ? sound(s, samples, n) : failed(s, st);
}

static struct speech_piece take_end(struct speech *s)
{
    const bool is_last = s->next + 1 == s->said.n && s->is_complete;
    const int asked_ms = s->said.items[s->next].pause_ms;
    const int pause_ms = asked_ms > 0 ? asked_ms : s->is_joined && !is_last ? CSM_PAUSE_MS : 0;
    if (!speech_end_sentence(s))
        return failed(s, csm_fail(&s->error, CSM_NO_MEMORY, "speech: out of memory"));
    s->is_ending = true;
    return take_pause(s, pause_ms);
}

static struct speech_piece take_from_generation(struct speech *s)
{
    csm_poll found = CSM_POLL_PENDING;
    const csm_frame *frame = NULL;
    const csm_status st = csm_generation_poll(s->notice->generation, 0, &found, &frame, &s->error);
    if (st != CSM_OK)
        return failed(s, st);
    if (found == CSM_POLL_PENDING)
        return piece(s, SPEECH_NOTHING);
    return found == CSM_POLL_FRAME ? take_frame(s, frame) : take_end(s);
}

/* The silence before the first sentence. */
static struct speech_piece take_lead(struct speech *s)
{
    const int lead_ms = s->said.lead_ms;
    s->said.lead_ms = 0;
    return take_pause(s, lead_ms);
}

/* No frame is left for what is still to be said, which texts that are added make more. */
static void cut(struct speech *s)
{
    s->tally.is_cut = true;
    s->tally.cut_behind = s->next;
    s->tally.cut_of = s->said.n;
}

struct speech_piece speech_take(struct speech *s)
{
    if (s->has_failed)
        return piece(s, SPEECH_FAILED);
    if (s->is_ending) {
        const struct speech_piece done = piece(s, SPEECH_DONE);
        s->is_ending = false;
        s->next++;
        return done;
    }
    if (s->notice != NULL)
        return take_from_generation(s);
    if (s->next < s->said.n && s->frames_left == 0)
        cut(s);
    if (s->next < s->said.n && s->frames_left > 0) {
        if (s->place != RUNNING)
            return piece(s, SPEECH_NOTHING);
        if (s->said.lead_ms > 0)
            return take_lead(s);
        return speech_begin_sentence(s) ? piece(s, SPEECH_SENTENCE) : piece(s, SPEECH_FAILED);
    }
    speech_leave_stream(s);
    return piece(s, s->is_complete ? SPEECH_END : SPEECH_NOTHING);
}

/* ---- texts ---------------------------------------------------------------------------- */

csm_status speech_add(struct speech *s, const char *text, bool is_split, csm_error *err)
{
    const csm_text_rules *rules = s->setup.is_normalized ? s->all->rules : NULL;
    const csm_status st = sentences_add(&s->said, rules, s->next, text, is_split, err);
    if (st != CSM_OK || s->next == s->said.n || s->has_failed)
        return st;
    if (s->all->is_stopped && s->place == IDLE) {
        speech_fail(s, csm_fail(&s->error, CSM_CANCELLED, "the server is ending"));
        speech_tell(s);
    } else {
        speech_want_stream(s);
    }
    return CSM_OK;
}

void speech_complete(struct speech *s)
{
    s->is_complete = true;
    if (s->setup.joint == SPEECH_JOINED_IF_DIVIDED)
        s->is_joined = sentences_are_divided(&s->said);
    speech_tell(s);
}

size_t speech_pending(const struct speech *s)
{
    return s->said.n - s->next;
}

const struct speech_tally *speech_counts(const struct speech *s)
{
    return &s->tally;
}

/* ---- beginning and end ------------------------------------------------------------------------ */

csm_status speech_open(struct speeches *all, const struct speech_setup *setup,
                       void (*news)(void *owner), void *owner, struct speech **out, csm_error *err)
{
    struct speech *s = calloc(1, sizeof *s);
    if (s == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "speech: out of memory");
    const csm_status st = csm_joint_open(all->info->sample_rate_hz, &s->joint, err);
    if (st != CSM_OK) {
        free(s);
        return st;
    }
    s->all = all;
    s->setup = *setup;
    s->setup.prompt = prompt_keep(setup->prompt);
    s->is_joined = setup->joint == SPEECH_JOINED;
    s->frames_left = setup->max_frames > 0 ? setup->max_frames
                                           : (size_t)(MAX_SOUND_MS / all->info->frame_ms);
    s->on_news = news;
    s->owner = owner;
    s->tally.guarded = "";
    *out = s;
    return CSM_OK;
}

void speech_close(struct speech *s)
{
    if (s == NULL)
        return;
    speech_drop_generation(s);
    speech_leave_stream(s);
    if (s->has_news)
        TAILQ_REMOVE(&s->all->told, s, told);
    sentences_free(&s->said);
    csm_joint_close(s->joint);
    free(s->codes);
    prompt_release(s->last);
    prompt_release(s->setup.prompt);
    free(s);
}

