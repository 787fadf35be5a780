/* SPDX-License-Identifier: Apache-2.0
 *
 * scheduler_sound.c - sound that is made while the next frame is drawn: of many streams that go
 * through the codec together. Settled: it is there, and with its reader. */
#include "generate/fallback.h"
#include "generate/frames.h"
#include "generate/scheduler_parts.h"

/* The codec, where all streams go through it together: its engine takes them so and has no
 * sides, on which each thread has some of its own. */
struct csm_mimi *csm_scheduler_together(csm_model *model)
{
    struct csm_mimi *mimi = &model->codec.mimi;
    const struct csm_engine_ops *ops = mimi->engine != NULL ? mimi->engine->ops : NULL;
    return ops != NULL && ops->conv_lanes != NULL && ops->side == NULL ? mimi : NULL;
}

/* Its sound again, from another engine, where the codec's device was lost. */
void csm_scheduler_hear_elsewhere(struct csm_scheduler *s, csm_generation *g)
{
    const csm_status st = csm_move_sound(g, g->unheard, &g->unheard_why);
    if (st == CSM_OK)
        csm_frames_sound(s->model, &g, 1, s->scratch);
    else
        g->unheard = st;
}

/* A frame's codes are there, and its sound is made while the next one is drawn. */
void csm_scheduler_let_wait(struct csm_scheduler *s, csm_generation *g)
{
    csm_error err;
    const csm_status st = csm_drawing_take(g, &err);
    if (st != CSM_OK) {
        csm_scheduler_end(s, g, st, &err);
        return;
    }
    g->is_waiting = true;
    s->n_waiting++;
    g->is_done = g->is_over;
}

/* What waited for its sound, and has it, goes to its reader. */
static void give_heard(struct csm_scheduler *s)
{
    for (size_t i = 0; i < s->n_lanes; i++) {
        csm_generation *g = s->lanes[i];
        if (!g->is_waiting || g->unheard != CSM_OK)
            continue;
        csm_drawing_watch(g);
        g->is_done = g->is_done || g->is_over;
        g->is_waiting = false;
        s->n_waiting--;
        csm_scheduler_hand_over(s, g);
    }
}

static void begin_waiting(struct csm_scheduler *s)
{
    struct csm_scratch *x = s->scratch; /* another than before, where there was no room for all */
    size_t n = 0;
    x->mimi = csm_scheduler_together(s->model);
    for (size_t i = 0; i < s->n_lanes; i++)
        if (s->lanes[i]->is_waiting)
            x->waiting[n++] = s->lanes[i];
    csm_frames_begin_sound(x->waiting, n, x);
    s->has_begun = true;
}

/* csm_scratch's. While the engine is at work, those wait on whose sound failed. */
void csm_scheduler_settle(void *user, enum csm_settle what)
{
    struct csm_scheduler *s = user;
    if (s->n_waiting == 0)
        return;
    if (!s->has_begun)
        begin_waiting(s);
    if (what == CSM_SETTLE_BEGIN)
        return;
    csm_frames_finish_sound(s->scratch);
    give_heard(s);
    if (what == CSM_SETTLE_GIVE || s->n_waiting == 0)
        return;
    for (size_t i = 0; i < s->n_lanes; i++) {
        csm_generation *g = s->lanes[i];
        if (g->is_waiting && g->unheard != CSM_OK && csm_can_move_sound(g, g->unheard))
            csm_scheduler_hear_elsewhere(s, g);
    }
    give_heard(s);
    for (size_t i = 0; i < s->n_lanes; i++) {
        csm_generation *g = s->lanes[i];
        if (!g->is_waiting)
            continue;
        g->failed = g->unheard; /* nothing more is drawn */
        g->is_done = true;
        g->is_waiting = false;
    }
    s->n_waiting = 0;
}

/* Those whose last frame has been handed over, or could not be. */
void csm_scheduler_end_done(struct csm_scheduler *s)
{
    for (size_t i = s->n_lanes; i-- > 0;) {
        csm_generation *g = s->lanes[i];
        if (g->is_done && !g->is_waiting)
            csm_scheduler_end(s, g, g->unheard, &g->unheard_why);
    }
}

/* Nothing waits any more. */
void csm_scheduler_settle_all(struct csm_scheduler *s)
{
    if (s->n_waiting == 0)
        return;
    csm_scheduler_settle(s, CSM_SETTLE_ALL);
    csm_scheduler_end_done(s);
}
