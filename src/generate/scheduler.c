/* SPDX-License-Identifier: Apache-2.0
 *
 * scheduler.c - outline: at a border the thread takes what is new from the queue and looks
 * which generations want to leave or have a reader who is behind; then, in the model's turn,
 * it reads pieces of prompts and feeds the last frames of those that speak, in one pass, draws
 * a frame of each, and hands each over as soon as it has its sound.
 * pace.h says how much is done between two borders, and for whom; scheduler_parts.h, what is
 * done in which file. */
#include "generate/scheduler.h"

#include <stdlib.h>
#include <string.h>

#include "base/arithmetic.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/sized.h"
#include "generate/fallback.h"
#include "generate/frames.h"
#include "generate/pace.h"
#include "generate/scheduler_parts.h"

enum {
    FIRST_PIECE = 2,
    START_MS = 4, /* between two borders, of beginning others */
    WORTH_WAITING = 32 /* positions that another generation is about to read */
};

/* ---- beginning and ending --------------------------------------------------------------- */

static bool keeps_prefixes(const struct csm_scheduler *s)
{
    const struct csm_host *host = &s->model->host;
    return host->traits->independent_rows && host->engine.ops->lane_fork != NULL;
}

/* What a generation has read is kept for those that begin alike. */
static void keep(struct csm_scheduler *s, csm_generation *g)
{
    const size_t n = g->sequence.n_positions;
    if (!g->is_started || n == 0 || g->host != &s->model->host || !keeps_prefixes(s) ||
        s->prefixes.most_bytes == 0)
        return;
    g->prompt.n = n;
    csm_prefixes_keep(&s->prefixes, &g->prompt, g->sequence.lane);
    g->sequence.lane = NULL;
}

/* In the model's turn. */
void csm_scheduler_end(struct csm_scheduler *s, csm_generation *g, csm_status st,
                       const csm_error *err)
{
    size_t i = 0;
    while (s->lanes[i] != g)
        i++;
    memmove(s->lanes + i, s->lanes + i + 1, (s->n_lanes - i - 1) * sizeof *s->lanes);
    s->n_lanes--;
    if (st == CSM_OK || st == CSM_CANCELLED)
        keep(s, g);
    csm_drawing_stop(g);
    csm_scheduler_let_go(s, g, st, err);
}

static csm_status fail_again(const csm_generation *g, csm_status st, csm_error *err)
{
    const csm_error why = *err;
    return g->work.fallback[0] == '\0'
               ? st
               : csm_fail(err, st, "%s, and failed too: %s", g->work.fallback, why.text);
}

/* Another engine for it, or its end. */
static void give_up(struct csm_scheduler *s, csm_generation *g)
{
    csm_error err = g->failure;
    csm_status st = g->failed;
    g->failed = CSM_OK;
    if (csm_can_fall_back(g, st)) {
        csm_status moved = csm_fall_back(g, st, &err);
        if (moved == CSM_OK)
            return;
        st = moved;
    } else {
        st = fail_again(g, st, &err);
    }
    csm_scheduler_end(s, g, st, &err);
}

/* Positions that a new prompt shares with what another generation has read, or will have
 * once its own prompt is read. */
static size_t shared_with(const struct csm_scheduler *s, const csm_generation *other,
                          const csm_generation *g, bool is_later)
{
    if (other == g || !other->is_started || other->host != &s->model->host)
        return 0;
    const size_t n = csm_prompt_shared(&other->prompt, &g->prompt, s->prefixes.n_codebooks);
    const size_t most = is_later ? other->n_prompt : other->sequence.n_positions;
    return n < most ? n : most;
}

/* The longest beginning that is there; at least one position is left, whose hidden state
 * begins the first frame. An observer wants them all. Returns false where one that is being
 * read is worth waiting for. */
static bool find_shared(struct csm_scheduler *s, const csm_generation *g, const csm_lane **lane,
                        size_t *n_shared)
{
    *lane = NULL;
    *n_shared = 0;
    if (!keeps_prefixes(s) || g->observe != NULL)
        return true;
    *lane = csm_prefixes_find(&s->prefixes, &g->prompt, n_shared);
    size_t later = 0;
    for (size_t i = 0; i < s->n_lanes; i++) {
        const size_t now = shared_with(s, s->lanes[i], g, false);
        const size_t then = shared_with(s, s->lanes[i], g, true);
        if (now > *n_shared) {
            *n_shared = now;
            *lane = s->lanes[i]->sequence.lane;
        }
        later = then > later ? then : later;
    }
    if (later >= *n_shared + WORTH_WAITING)
        return false;
    *n_shared = *n_shared < g->prompt.n ? *n_shared : g->prompt.n - 1;
    if (*n_shared == 0)
        *lane = NULL;
    return true;
}

static void start(struct csm_scheduler *s, csm_generation *g)
{
    csm_error err;
    const csm_lane *shared;
    size_t n_shared;
    if (g->settings.max_frames == 0) {
        csm_scheduler_end(s, g, CSM_OK, NULL);
        return;
    }
    if (!find_shared(s, g, &shared, &n_shared))
        return;
    g->work.queue_ms = csm_now_ms() - g->opened_ms - g->encode_ms;
    csm_status st = csm_drawing_start(g, shared, n_shared, &err);
    if (st != CSM_OK) {
        g->failed = st;
        g->failure = err;
        give_up(s, g);
        return;
    }
    pthread_mutex_lock(&s->lock);
    s->load.n_reused += n_shared;
    pthread_mutex_unlock(&s->lock);
}

/* ---- the work between two borders ---------------------------------------------------------- */

/* Prompts' pieces and the last frames, into the scratch's feeds; gives how many. */
static size_t gather(struct csm_scheduler *s, struct csm_host *host, size_t n_speaking,
                     size_t n_present, size_t *n_rows)
{
    struct csm_scratch *x = s->scratch;
    struct csm_budget left = csm_pace_budget(s, host, n_speaking, n_present);
    size_t n = 0;
    const size_t k = x->n_codebooks;
    *n_rows = 0;
    for (int pass = 0; pass < 2; pass++) /* frames first, so that they are one run of rows */
        for (size_t i = 0; i < s->n_lanes; i++) {
            csm_generation *g = s->lanes[i];
            const bool speaks = csm_pace_is_speaking(g);
            if (g->host != host || !g->is_started || g->is_done || csm_pace_pending(g) == 0 ||
                speaks != (pass == 0) || (speaks && (g->whole.is_used || !g->has_room)))
                continue;
            size_t rows = csm_pace_pending(g);
            if (!speaks) {
                const size_t cost = rows + left.frame;
                rows = rows < left.rows ? rows : left.rows;
                left.rows -= cost < left.rows ? cost : left.rows;
                *n_rows += rows;
            }
            if (rows == 0)
                continue;
            g->sequence.watch.frame = g->n_drawn;
            const size_t at = g->sequence.n_positions;
            x->group[n] = g;
            x->feeds[n++] = (struct csm_feed){.sequence = &g->sequence,
                                              .text = g->prompt.text + at,
                                              .codes = g->prompt.codes + at * k,
                                              .n = rows};
        }
    return n;
}

/* Those of which a frame is drawn now. */
static size_t find_ready(struct csm_scheduler *s, struct csm_host *host)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_lanes; i++) {
        csm_generation *g = s->lanes[i];
        if (g->host != host || !g->is_started || g->is_done || g->failed != CSM_OK || !g->has_room)
            continue;
        if (csm_pace_pending(g) == 0 || (csm_pace_is_speaking(g) && g->whole.is_used))
            s->scratch->ready[n++] = g;
    }
    return n;
}

/* A frame and its sound are there: to its reader. */
static void take(struct csm_scheduler *s, csm_generation *g)
{
    if (csm_can_move_sound(g, g->unheard))
        csm_scheduler_hear_elsewhere(s, g);
    csm_error err = g->unheard_why;
    csm_status st = g->unheard != CSM_OK ? g->unheard : csm_drawing_take(g, &err);
    if (st == CSM_OK && g->is_sound) {
        csm_drawing_watch(g);
        csm_scheduler_hand_over(s, g);
    }
    if (st != CSM_OK || g->is_over)
        csm_scheduler_end(s, g, st, &err);
}

/* ---- frames ------------------------------------------------------------------------------------ */

/* Frames' codes are there: sound, and to their readers. Of many streams that go through the codec
 * together, sound is made beside their next frames. */
static void take_all(struct csm_scheduler *s, csm_generation **ready, size_t n)
{
    enum { MANY = 8 };
    struct csm_scratch *x = s->scratch;
    size_t n_right = 0;
    for (size_t i = 0; i < n; i++) {
        /* The frame before was the last: the guard's doing, or its sound failed. This one counts for nothing. */
        if (ready[i]->is_done) {
            ready[i]->work.has_ended = false;
            csm_scheduler_end(s, ready[i], ready[i]->unheard, &ready[i]->unheard_why);
        } else if (ready[i]->failed != CSM_OK) {
            give_up(s, ready[i]);
        } else {
            ready[n_right++] = ready[i];
        }
    }
    if (x->mimi == NULL || n_right < MANY) {
        csm_frames_sound(s->model, ready, n_right, x);
        for (size_t i = 0; i < n_right; i++)
            take(s, ready[i]);
        return;
    }
    const size_t n_together = csm_frames_sound_elsewhere(s->model, ready, n_right, x);
    s->has_begun = false;
    for (size_t i = 0; i < n_right; i++) {
        csm_generation *g = ready[i];
        if (i < n_together && g->is_sound && g->settings.has_sound)
            csm_scheduler_let_wait(s, g);
        else
            take(s, g);
    }
}

/* Threads for what is done for each of many generations: an engine's, or where none has any,
 * some of the scheduler's own. */
static csm_threads *find_threads(struct csm_scheduler *s, const struct csm_host *host, size_t n)
{
    const struct csm_engine *codec = s->model->codec.mimi.engine;
    csm_error err;
    if (host->engine.ops->threads != NULL)
        return host->engine.ops->threads(host->engine.ctx);
    if (codec != NULL && codec->ops->threads != NULL)
        return codec->ops->threads(codec->ctx);
    if (s->threads == NULL && n > 1 && host->traits->lanes &&
        csm_threads_new(s->model->n_threads, &s->threads, &err) == CSM_OK)
        csm_threads_rest_early(s->threads);
    return s->threads; /* NULL: one after the other, then */
}

static void advance(struct csm_scheduler *s, struct csm_host *host)
{
    struct csm_scratch *x = s->scratch;
    csm_error err;
    size_t n_speaking = 0, n_present = 0, n_rows;
    for (size_t i = 0; i < s->n_lanes; i++) {
        const bool is_present = s->lanes[i]->host == host && csm_pace_is_speaking(s->lanes[i]);
        n_present += is_present;
        n_speaking += is_present && s->lanes[i]->has_room;
    }
    const double from = csm_now_ms();
    const size_t n = gather(s, host, n_speaking, n_present, &n_rows);
    if (n > 0)
        csm_scheduler_settle(s, CSM_SETTLE_ALL); /* reading may take longer than a frame */
    csm_frames_read(host, x->feeds, x->group, n, &err);
    const double read = csm_now_ms();
    if (n_speaking == 0 && n_rows > 0)
        s->alone_ms = csm_pace_usually(s->alone_ms, (read - from) / (double)n_rows);
    const size_t n_ready = find_ready(s, host);
    for (size_t i = 0; i < n; i++)
        if (x->group[i]->failed != CSM_OK && !x->group[i]->is_done)
            give_up(s, x->group[i]);
    x->threads = find_threads(s, host, n_ready);
    x->mimi = csm_scheduler_together(s->model);
    x->settle = csm_scheduler_settle;
    x->settle_user = s;
    csm_frames_draw(host, x->ready, n_ready, x);
    csm_scheduler_settle(s, CSM_SETTLE_ALL); /* where nobody was drawn */
    take_all(s, x->ready, n_ready);
    csm_scheduler_end_done(s);
    if (n_ready > 0)
        s->draw_ms = csm_pace_usually(s->draw_ms, (csm_now_ms() - read) / (double)n_ready);
    if (n_speaking == n_ready)
        csm_pace_learn(s, n_speaking, n_rows, csm_now_ms() - from);
    pthread_mutex_lock(&s->lock);
    s->load.n_prompt += n_rows;
    pthread_mutex_unlock(&s->lock);
}

static void work(struct csm_scheduler *s)
{
    const csm_error cancelled = {"generation: cancelled"};
    struct csm_scratch *x = s->scratch;
    bool is_leaving = false;
    for (size_t i = 0; i < s->n_lanes; i++)
        is_leaving = is_leaving || s->lanes[i]->is_leaving;
    if (is_leaving)
        csm_scheduler_settle_all(s); /* what is computed for them */
    const size_t n = s->n_lanes;
    if (n > 0)
        memcpy(x->lanes, s->lanes, n * sizeof *x->lanes);
    const double until = csm_now_ms() + START_MS;
    for (size_t i = 0; i < n; i++)
        if (x->lanes[i]->is_leaving)
            csm_scheduler_end(s, x->lanes[i], CSM_CANCELLED, &cancelled);
        else if (!x->lanes[i]->is_started && csm_now_ms() < until)
            start(s, x->lanes[i]);
    csm_pace_let_rest(s);
    advance(s, &s->model->host);
    if (s->fallback != NULL)
        advance(s, &s->fallback->host);
}

void *csm_scheduler_run(void *argument)
{
    struct csm_scheduler *s = argument;
    csm_arithmetic_of_thread();
    pthread_mutex_lock(&s->lock);
    for (;;) {
        s->is_awake = false;
        csm_scheduler_admit(s);
        const bool has_work = csm_scheduler_look(s);
        if (s->is_stopping && s->n_lanes == 0 && s->first == NULL)
            break;
        if (!has_work) {
            while (!s->is_awake)
                pthread_cond_wait(&s->work, &s->lock);
            continue;
        }
        pthread_mutex_unlock(&s->lock);
        csm_turns_take(&s->model->turns);
        pthread_mutex_lock(&s->lock); /* what came while it waited */
        csm_scheduler_admit(s);
        csm_scheduler_look(s);
        pthread_mutex_unlock(&s->lock);
        const double from = csm_now_ms();
        work(s);
        s->took_ms = csm_now_ms() - from;
        csm_turns_give(&s->model->turns);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- from outside --------------------------------------------------------------------------- */

void csm_scheduler_open(struct csm_scheduler *s, csm_model *model, size_t max_lanes,
                        size_t prefix_bytes)
{
    *s = (struct csm_scheduler){.model = model,
                                .max_lanes = max_lanes,
                                .piece = FIRST_PIECE,
                                .prefixes = {.engine = &model->host.engine,
                                             .n_codebooks = model->info.n_codebooks,
                                             .most_bytes = prefix_bytes},
                                .load = {.size = sizeof(csm_load)}};
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
}

void csm_scheduler_close(struct csm_scheduler *s)
{
    if (s->model == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    s->is_stopping = true;
    csm_scheduler_wake(s);
    pthread_mutex_unlock(&s->lock);
    if (s->has_thread)
        pthread_join(s->thread, NULL);
    csm_prefixes_close(&s->prefixes);
    csm_stand_in_close(s->fallback);
    csm_threads_free(s->threads);
    csm_scratch_free(s->scratch);
    free(s->lanes);
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    s->model = NULL;
}

void csm_model_load(const csm_model *model, csm_load *load)
{
    struct csm_scheduler *s = (struct csm_scheduler *)&model->scheduler;
    csm_load now = {.size = sizeof now};
    if (csm_turns_are_ours(&model->turns)) {
        pthread_mutex_lock(&s->lock);
        now = s->load;
        pthread_mutex_unlock(&s->lock);
    }
    csm_sized_write(load, &now, sizeof now);
}
