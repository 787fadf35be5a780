/* SPDX-License-Identifier: Apache-2.0
 *
 * frames.c - outline: what is done for several at once is repeated for each alone where it
 * failed, so that one that has no memory, or breaks the engine, ends by itself. Rows are
 * independent: who fails or leaves changes nothing for the others. */
#include "generate/frames.h"

#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "generate/speculation.h"

/* From so many generations on, threads share what is done for each: a draw takes some
 * microseconds, as waking them does. */
enum { MANY_CODES = 4, MANY_FRAMES = 2 };

static void each(const struct csm_scratch *x, csm_work work, void *user, size_t n, size_t many)
{
    if (x->threads != NULL && n >= many)
        csm_threads_run(x->threads, work, user, n, 1);
    else if (n > 0)
        work(user, 0, n, 0);
}

static void fail(csm_generation *g, csm_status st, const csm_error *err)
{
    g->failed = st;
    g->failure = *err;
}

/* What a call that failed left of a sequence is what it was before. */
static void mend(csm_generation *g)
{
    csm_error err;
    csm_status st = csm_sequence_truncate(&g->sequence, g->sequence.n_positions, &err);
    if (st != CSM_OK && g->failed == CSM_OK)
        fail(g, st, &err);
}

static void settle(struct csm_scratch *x, enum csm_settle what)
{
    if (x->settle != NULL)
        x->settle(x->settle_user, what);
}

/* ---- reading --------------------------------------------------------------------- */

static void read_alone(struct csm_host *host, const struct csm_feed *feed, csm_generation *g)
{
    csm_error err;
    csm_status st = csm_pass_feed(&host->pass, feed, 1, &err);
    if (st == CSM_OK)
        return;
    fail(g, st, &err);
    mend(g);
}

static double *time_of(csm_generation *g, const struct csm_feed *feed)
{
    return feed->n > 1 || g->n_drawn == 0 ? &g->work.prompt_ms : &g->work.backbone_ms;
}

void csm_frames_read(struct csm_host *host, const struct csm_feed *feeds, csm_generation **lanes,
                     size_t n, csm_error *err)
{
    const double start = csm_now_ms();
    if (!host->traits->lanes) {
        for (size_t i = 0; i < n; i++) {
            const double from = csm_now_ms();
            read_alone(host, &feeds[i], lanes[i]);
            *time_of(lanes[i], &feeds[i]) += csm_now_ms() - from;
        }
        return;
    }
    if (n > 0 && csm_pass_feed(&host->pass, feeds, n, err) != CSM_OK) {
        for (size_t i = 0; i < n; i++)
            mend(lanes[i]);
        for (size_t i = 0; i < n; i++)
            if (lanes[i]->failed == CSM_OK)
                read_alone(host, &feeds[i], lanes[i]);
    }
    for (size_t i = 0; i < n; i++)
        *time_of(lanes[i], &feeds[i]) += csm_now_ms() - start;
}

/* ---- drawing part by part ------------------------------------------------------------ */

/* Logits of code k for sequences first.. of the list; alone: the one of that place. */
static csm_status logits_of(struct csm_host *host, struct csm_scratch *x, size_t first, size_t n,
                            size_t k, csm_error *err)
{
    float *logits = x->logits + first * x->vocab;
    return k == 0 ? csm_pass_first(&host->pass, x->sequences + first, n, logits, err)
                  : csm_pass_depth(&host->pass, x->sequences + first, n, first, k,
                                   x->codes + first, logits, err);
}

/* Code k of each, from its logits. */
struct code_job {
    csm_generation **lanes;
    struct csm_scratch *x;
    size_t k;
};

static void code_work(void *user, size_t first, size_t end, int thread)
{
    const struct code_job *job = user;
    struct csm_scratch *x = job->x;
    const size_t k = job->k;
    (void)thread;
    for (size_t i = first; i < end; i++) {
        csm_generation *g = job->lanes[i];
        csm_error err;
        x->codes[i] = 0; /* of one that failed: nobody looks */
        if (g->failed != CSM_OK)
            continue;
        struct csm_slot *slot = csm_drawing_slot(g);
        const int32_t *forced = csm_drawing_forced(g);
        const double from = csm_now_ms();
        csm_status st = csm_drawing_draw(g, slot, k, x->logits + i * x->vocab,
                                         csm_scratch_rows(x, i), NULL, &err);
        g->work.draw_ms += csm_now_ms() - from;
        if (st != CSM_OK) {
            fail(g, st, &err);
            continue;
        }
        g->fed[k] = forced != NULL ? forced[k] : slot->codes[k];
        x->codes[i] = g->fed[k];
    }
}

/* Code k of each; gives how many are still right. */
static size_t draw_code(struct csm_host *host, csm_generation **lanes, size_t n, size_t k,
                        struct csm_scratch *x)
{
    csm_error err;
    size_t n_right = 0;
    const double start = csm_now_ms();
    const csm_status all = logits_of(host, x, 0, n, k, &err);
    if (all != CSM_OK && n == 1)
        fail(lanes[0], all, &err);
    for (size_t i = 0; all != CSM_OK && n > 1 && i < n; i++) {
        csm_status st = lanes[i]->failed == CSM_OK ? logits_of(host, x, i, 1, k, &err) : CSM_OK;
        if (st != CSM_OK)
            fail(lanes[i], st, &err);
    }
    const double took = csm_now_ms() - start;
    for (size_t i = 0; i < n; i++)
        *(k == 0 ? &lanes[i]->work.backbone_ms : &lanes[i]->work.depth_ms) += took;
    each(x, code_work, &(struct code_job){lanes, x, k}, n, MANY_CODES);
    for (size_t i = 0; i < n; i++)
        n_right += lanes[i]->failed == CSM_OK;
    return n_right;
}

static void draw_parts(struct csm_host *host, csm_generation **lanes, size_t n,
                       struct csm_scratch *x)
{
    for (size_t i = 0; i < n; i++)
        x->sequences[i] = &lanes[i]->sequence;
    settle(x, CSM_SETTLE_ALL);
    const bool is_guessed = n == 1 && csm_speculation_fits(host, lanes[0]);
    for (size_t k = 0; k < (is_guessed ? 1 : x->n_codebooks); k++)
        if (draw_code(host, lanes, n, k, x) == 0)
            return;
    if (is_guessed)
        csm_speculation_draw(host, lanes[0], csm_scratch_rows(x, 0));
}

/* ---- sound of many together ------------------------------------------------------------ */

void csm_frames_begin_sound(csm_generation **lanes, size_t n, struct csm_scratch *x)
{
    csm_error err;
    for (size_t i = 0; i < n;) {
        const size_t at = x->n_begun;
        const double from = csm_now_ms();
        for (; i < n && x->n_begun < at + CSM_MIMI_TOGETHER; i++) {
            csm_generation *g = lanes[i];
            if (g->is_begun || (g->decoder.mimi != NULL && g->decoder.mimi != x->mimi))
                continue;
            g->is_begun = true;
            if (!csm_drawing_hear(g, x->heard + x->n_begun * x->n_codebooks))
                continue;
            x->streams[x->n_begun] = &g->decoder;
            x->samples[x->n_begun] = csm_drawing_samples(g);
            x->begun[x->n_begun++] = g;
        }
        if (at == 0)
            x->begun_ms = from;
        csm_status st = csm_mimi_begin_together(x->mimi, x->streams + at, x->n_begun - at,
                                                x->heard + at * x->n_codebooks, x->n_codebooks, &err);
        while (st != CSM_OK && x->n_begun > at)
            csm_drawing_heard(x->begun[--x->n_begun], from, st, &err);
    }
}

void csm_frames_finish_sound(struct csm_scratch *x)
{
    csm_error err;
    csm_status st = x->n_begun > 0 ? csm_mimi_finish_together(x->mimi, x->samples, &err) : CSM_OK;
    for (size_t i = 0; i < x->n_begun; i++)
        csm_drawing_heard(x->begun[i], x->begun_ms, st, &err);
    x->n_begun = 0;
}

/* ---- drawing whole --------------------------------------------------------------------- */

static csm_status begin_whole(csm_generation *g, struct csm_pass *pass, size_t i,
                              struct csm_frame_lane *frame, csm_error *err)
{
    const size_t k = g->model->info.n_codebooks;
    csm_lane *depth = NULL;
    csm_status st = csm_pass_depth_lane(pass, i, &depth, err);
    const bool has_feed = g->sequence.n_positions < g->prompt.n;
    if (st == CSM_OK && has_feed)
        st = csm_sequence_reserve(&g->sequence, 1, err);
    *frame = (struct csm_frame_lane){
        .backbone = g->sequence.lane,
        .depth = depth,
        .feed = has_feed ? g->prompt.codes + g->sequence.n_positions * k : NULL,
        .hidden = g->sequence.hidden,
        .draw = &g->whole.draw,
        .codes = g->whole.codes,
        .logits = g->whole.logits};
    return st;
}

/* The first n_codes codes of those of the list from `first` on. */
struct judge_job {
    struct csm_scratch *x;
    size_t first, n, n_codes;
    double took_ms; /* beside the engine's work */
};

/* What the engine drew, drawn again. */
static void judge_work(void *user, size_t first, size_t end, int thread)
{
    const struct judge_job *job = user;
    struct csm_scratch *x = job->x;
    csm_error err;
    (void)thread;
    for (size_t i = job->first + first; i < job->first + end; i++) {
        csm_generation *g = x->asked[i];
        if (g->failed != CSM_OK)
            continue;
        const double from = csm_now_ms();
        csm_status st = csm_whole_frame_judge(g, job->n_codes, csm_drawing_slot(g), csm_scratch_rows(x, i), &err);
        g->work.draw_ms += csm_now_ms() - from;
        if (st != CSM_OK)
            fail(g, st, &err);
    }
}

static void judge_arrived(void *user, size_t n_codes)
{
    struct judge_job *job = user;
    const double from = csm_now_ms();
    job->n_codes = n_codes;
    each(job->x, judge_work, job, job->n, MANY_FRAMES);
    if (n_codes == 0)
        settle(job->x, CSM_SETTLE_BEGIN);
    else if (4 * n_codes >= 3 * job->x->n_codebooks)
        settle(job->x, CSM_SETTLE_GIVE);
    job->took_ms += csm_now_ms() - from;
}

/* Ask for the frames of n of the list, from `first` on; those that could not be given are marked.
 * Draws of the codes that come first are repeated while the others are computed. */
static void ask(struct csm_host *host, struct csm_scratch *x, size_t first, size_t n, csm_error *err)
{
    const struct csm_engine *engine = &host->engine;
    csm_generation **lanes = x->asked + first;
    struct csm_frame_lane *frames = x->frames + first;
    struct judge_job job = {x, first, n, 0, 0};
    for (size_t i = 0; i < n; i++)
        lanes[i]->whole.has_parted = false;
    const double start = csm_now_ms();
    csm_status st = n >= MANY_FRAMES && engine->ops->frame_in_pieces != NULL
                        ? engine->ops->frame_in_pieces(engine->ctx, &host->language.parts, frames, n, judge_arrived,
                                                       &job, err)
                        : engine->ops->frame(engine->ctx, &host->language.parts, frames, n, err);
    const double took = csm_now_ms() - start - job.took_ms;
    settle(x, CSM_SETTLE_ALL);
    for (size_t i = 0; i < n; i++) {
        lanes[i]->work.depth_ms += took;
        if (st == CSM_OK) {
            lanes[i]->sequence.n_positions += frames[i].feed != NULL;
            frames[i].feed = NULL;
        } else {
            mend(lanes[i]);
        }
    }
    if (st != CSM_OK && n == 1)
        fail(lanes[0], st, err);
    for (size_t i = 0; st != CSM_OK && n > 1 && i < n; i++)
        if (lanes[i]->failed == CSM_OK)
            ask(host, x, first + i, 1, err);
}

/* The draws that are left. Who is to be asked for again comes to the front of the list; gives how
 * many. */
static size_t judge(struct csm_scratch *x, size_t n_asked)
{
    size_t n_again = 0;
    each(x, judge_work, &(struct judge_job){x, 0, n_asked, x->n_codebooks, 0}, n_asked, MANY_FRAMES);
    for (size_t i = 0; i < n_asked; i++) {
        csm_generation *g = x->asked[i];
        if (g->failed == CSM_OK && g->whole.k < x->n_codebooks) {
            x->frames[n_again] = x->frames[i];
            x->asked[n_again++] = g;
        } else if (g->failed == CSM_OK) {
            csm_drawing_judge(g);
        }
    }
    return n_again;
}

/* What each needs for itself. */
static void begin_work(void *user, size_t first, size_t end, int thread)
{
    csm_generation **lanes = user;
    csm_error err;
    (void)thread;
    for (size_t i = first; i < end; i++) {
        csm_status st = csm_whole_frame_begin(lanes[i], csm_drawing_forced(lanes[i]), &err);
        if (st != CSM_OK)
            fail(lanes[i], st, &err);
    }
}

static void draw_whole(struct csm_host *host, csm_generation **lanes, size_t n,
                       struct csm_scratch *x)
{
    csm_error err;
    size_t n_asked = 0;
    each(x, begin_work, lanes, n, MANY_FRAMES);
    for (size_t i = 0; i < n; i++) {
        if (lanes[i]->failed != CSM_OK)
            continue;
        csm_status st = begin_whole(lanes[i], &host->pass, i, &x->frames[n_asked], &err);
        if (st != CSM_OK)
            fail(lanes[i], st, &err);
        else
            x->asked[n_asked++] = lanes[i];
    }
    while (n_asked > 0) {
        ask(host, x, 0, n_asked, &err);
        n_asked = judge(x, n_asked);
    }
}

/* ---- both -------------------------------------------------------------------------------- */

static void draw_group(struct csm_host *host, csm_generation **lanes, size_t n,
                       struct csm_scratch *x,
                       void (*draw)(struct csm_host *, csm_generation **, size_t,
                                    struct csm_scratch *))
{
    if (host->traits->lanes && n > 0)
        draw(host, lanes, n, x);
    for (size_t i = 0; !host->traits->lanes && i < n; i++)
        draw(host, lanes + i, 1, x);
}

void csm_frames_draw(struct csm_host *host, csm_generation **lanes, size_t n,
                     struct csm_scratch *x)
{
    size_t n_parts = 0; /* these to the front */
    for (size_t i = 0; i < n; i++) {
        lanes[i]->sequence.watch.frame = lanes[i]->n_drawn;
        if (lanes[i]->whole.is_used)
            continue;
        csm_generation *g = lanes[i];
        lanes[i] = lanes[n_parts];
        lanes[n_parts++] = g;
    }
    draw_group(host, lanes, n_parts, x, draw_parts);
    for (size_t i = 0; i < n_parts; i++)
        if (lanes[i]->failed == CSM_OK)
            csm_drawing_judge(lanes[i]);
    draw_group(host, lanes + n_parts, n - n_parts, x, draw_whole);
}

/* ---- sound ------------------------------------------------------------------------------- */

struct sound_job {
    csm_generation **lanes;
    size_t n, n_each; /* lanes; those of a pass */
    struct csm_scratch *x;
    const struct csm_engine *engine; /* of the codec */
};

/* One by one, with all threads. */
static void sound_each(csm_generation **lanes, size_t n, struct csm_scratch *x)
{
    csm_error err;
    for (size_t i = 0; i < n; i++) {
        if (!csm_drawing_hear(lanes[i], x->heard))
            continue;
        const double from = csm_now_ms();
        csm_status st = csm_mimi_decode(&lanes[i]->decoder, x->heard, 1, x->n_codebooks, NULL,
                                        csm_drawing_samples(lanes[i]), &err);
        csm_drawing_heard(lanes[i], from, st, &err);
    }
}

/* Those of a pass, by one thread on its side. */
static void sound_beside(const struct sound_job *job, size_t first, size_t end, int thread)
{
    const size_t k = job->x->n_codebooks;
    int32_t *codes = job->x->heard + first * k;
    csm_generation *heard[CSM_MIMI_BESIDE];
    struct csm_mimi_stream *streams[CSM_MIMI_BESIDE];
    float *samples[CSM_MIMI_BESIDE];
    csm_error err;
    size_t n = 0;
    for (size_t i = first; i < end; i++) {
        csm_generation *g = job->lanes[i];
        if (!csm_drawing_hear(g, codes + n * k))
            continue;
        g->decoder.engine.ctx = job->engine->ops->side(job->engine->ctx, (size_t)thread);
        heard[n] = g;
        streams[n] = &g->decoder;
        samples[n++] = csm_drawing_samples(g);
    }
    if (n == 0)
        return;
    const double from = csm_now_ms();
    csm_status st = csm_mimi_decode_beside(streams, n, (size_t)thread, codes, k, samples, &err);
    for (size_t i = 0; i < n; i++) {
        csm_drawing_heard(heard[i], from, st, &err);
        streams[i]->engine.ctx = job->engine->ctx;
    }
}

static void sound_work(void *user, size_t first, size_t end, int thread)
{
    const struct sound_job *job = user;
    for (size_t i = first * job->n_each; i < end * job->n_each && i < job->n; i += job->n_each)
        sound_beside(job, i, i + job->n_each < job->n ? i + job->n_each : job->n, thread);
}

/* A side and working memory for each thread are there, and the weights have been used. */
static bool has_sides(struct csm_mimi *mimi, size_t n_threads)
{
    const struct csm_engine *engine = mimi->engine;
    csm_error err;
    if (!mimi->has_decoded || engine->ops->side == NULL)
        return false;
    for (size_t i = 0; i < n_threads; i++)
        if (engine->ops->side(engine->ctx, i) == NULL)
            return false;
    return csm_mimi_beside_open(mimi, n_threads, &err) == CSM_OK;
}

size_t csm_frames_sound_elsewhere(const csm_model *model, csm_generation **lanes, size_t n, struct csm_scratch *x)
{
    for (size_t i = 0; i < n;) {
        csm_generation *g = lanes[i];
        if (g->decoder.mimi == NULL || g->decoder.mimi == &model->codec.mimi) {
            i++;
            continue;
        }
        sound_each(&g, 1, x);
        lanes[i] = lanes[--n];
        lanes[n] = g;
    }
    return n;
}

void csm_frames_sound(csm_model *model, csm_generation **lanes, size_t n, struct csm_scratch *x)
{
    struct csm_mimi *mimi = &model->codec.mimi;
    n = csm_frames_sound_elsewhere(model, lanes, n, x);
    csm_threads *threads = mimi->engine != NULL && mimi->engine->ops->threads != NULL
                               ? mimi->engine->ops->threads(mimi->engine->ctx)
                               : NULL;
    if (x->mimi != NULL) {
        csm_frames_begin_sound(lanes, n, x);
        csm_frames_finish_sound(x);
        return;
    }
    /* One with all threads, one after the other, unless about as many as there are threads:
     * then each thread has one of its own, or two in one pass, and none waits for another. */
    const size_t n_threads = threads != NULL ? (size_t)csm_threads_count(threads) : 0;
    if (threads != NULL && n > 1 && 2 * n >= n_threads && has_sides(mimi, n_threads)) {
        struct sound_job job = {lanes, n, n > n_threads ? CSM_MIMI_BESIDE : 1, x, mimi->engine};
        csm_threads_run(threads, sound_work, &job, (n + job.n_each - 1) / job.n_each, 1);
    } else {
        sound_each(lanes, n, x);
    }
}
