/* SPDX-License-Identifier: Apache-2.0
 *
 * batch.c - several utterances side by side, a lane of the engine's caches each.
 *
 * Outline: one lane more than are at work holds the context, read once; a lane that
 * begins is a copy of it. The lanes at work are the first n_active: where one ends,
 * the last of them takes its place, and the next utterance begins behind them, so
 * that no product has a row that nobody needs. Rows are independent, and each
 * utterance has draws, decoder and guard of its own: what it says is what it would
 * say alone. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sized.h"
#include "generate/fallback.h"
#include "generate/result.h"

struct lane {
    csm_generation *g;
    csm_result *result;
};

struct batch {
    csm_model *model;
    const csm_turn *context;
    size_t n_context;
    const csm_utterance *utterances;
    size_t n, n_lanes;
    csm_generate_options options;
    bool (*on_result)(void *user, size_t utterance, csm_result *result);
    bool *is_given; /* [n]: the callee has it */

    struct csm_language_state state; /* of n_lanes + 1: the last one holds the context */
    struct lane *lanes;              /* [n_lanes] */
    size_t n_active, n_begun;
    int32_t *codes;  /* [n_lanes, n_codebooks] */
    int32_t *column; /* [n_lanes]: one code of each */
    float *logits;   /* [n_lanes, vocab] */
};

static csm_generate_options options_of(const struct batch *b, size_t i)
{
    csm_generate_options options =
        b->utterances[i].options != NULL ? *b->utterances[i].options : b->options;
    options.on_frame = b->options.on_frame;
    options.user = b->options.user;
    options.seed = b->utterances[i].seed;
    return options;
}

static csm_status give(struct batch *b, size_t i, csm_result *result, csm_error *err)
{
    b->is_given[i] = true;
    if (b->on_result(b->options.user, i, result))
        return CSM_OK;
    return csm_fail(err, CSM_CANCELLED, "batch: cancelled after utterance %zu", i);
}

/* ---- one after another ------------------------------------------------------ */

static csm_status run_in_turn(struct batch *b, csm_error *err)
{
    csm_status st = CSM_OK;
    for (size_t i = 0; st == CSM_OK && i < b->n; i++) {
        if (b->is_given[i])
            continue;
        const csm_generate_options options = options_of(b, i);
        csm_result *result = NULL;
        csm_request request = csm_request_of(b->utterances[i].text, b->utterances[i].speaker);
        bool has_own = b->utterances[i].context != NULL;
        request.context = has_own ? b->utterances[i].context : b->context;
        request.n_context = has_own ? b->utterances[i].n_context : b->n_context;
        st = csm_generate_utterance(b->model, &request, &options, i, &result, err);
        if (st == CSM_OK)
            st = give(b, i, result, err);
        else
            csm_result_close(result);
    }
    return st;
}

/* ---- side by side ----------------------------------------------------------- */

static bool has_lanes(const struct batch *b)
{
    const struct csm_engine_ops *ops = b->model->language.engine->ops;
    const csm_generate_options *o = &b->options;
    for (size_t i = 0; i < b->n; i++)
        if (b->utterances[i].context != NULL || b->utterances[i].options != NULL)
            return false;
    return ops->has_independent_rows && ops->cache_copy != NULL && o->observe == NULL &&
           o->hidden_frames == 0 && o->n_forced == 0 && o->max_frames > 0;
}

/* Positions of the longest prompt; every text fits. */
static csm_status measure(struct batch *b, size_t n_context, size_t *n_most, csm_error *err)
{
    csm_status st = CSM_OK;
    *n_most = n_context;
    for (size_t i = 0; st == CSM_OK && i < b->n; i++) {
        struct csm_prompt prompt = {0};
        st = csm_prompt_build(b->model, NULL, 0, b->utterances[i].text, b->utterances[i].speaker,
                              &prompt, err);
        size_t n = n_context + prompt.n;
        csm_prompt_free(&prompt);
        if (st == CSM_OK)
            st = csm_check_room(b->model, n, b->options.max_frames, err);
        *n_most = n > *n_most ? n : *n_most;
    }
    return st;
}

/* Read the context in lane 0, and keep it in the last one. */
static csm_status read_context(struct batch *b, const struct csm_prompt *context, csm_error *err)
{
    if (context->n == 0)
        return CSM_OK;
    csm_status st = csm_backbone_prompt(&b->state, 0, context, 0, err);
    return st == CSM_OK ? csm_language_copy_lane(&b->state, 0, b->n_lanes, err) : st;
}

static csm_status open_lanes(struct batch *b, csm_error *err)
{
    csm_model *m = b->model;
    struct csm_prompt context = {0};
    size_t n_most = 0;
    csm_status st = csm_prompt_build(m, b->context, b->n_context, NULL, 0, &context, err);
    if (st == CSM_OK)
        st = measure(b, context.n, &n_most, err);
    b->lanes = calloc(b->n_lanes, sizeof *b->lanes);
    b->codes = calloc(b->n_lanes * m->info.n_codebooks, sizeof *b->codes);
    b->column = calloc(b->n_lanes, sizeof *b->column);
    b->logits = calloc(b->n_lanes * m->info.vocab, sizeof *b->logits);
    if (st == CSM_OK && (b->lanes == NULL || b->codes == NULL || b->column == NULL ||
                         b->logits == NULL))
        st = csm_fail(err, CSM_NO_MEMORY, "batch: %zu lanes", b->n_lanes);
    if (st == CSM_OK)
        st = csm_language_state_open(&m->language, b->n_lanes + 1, n_most + b->options.max_frames,
                                     &b->state, err);
    if (st == CSM_OK)
        st = read_context(b, &context, err);
    csm_prompt_free(&context);
    return st;
}

static void close_lanes(struct batch *b)
{
    for (size_t i = 0; i < b->n_active; i++) {
        csm_generation_close(b->lanes[i].g);
        csm_result_close(b->lanes[i].result);
    }
    csm_language_state_close(&b->state);
    free(b->lanes);
    free(b->codes);
    free(b->column);
    free(b->logits);
}

/* The next utterance, in the lane behind those at work. */
static csm_status begin(struct batch *b, csm_error *err)
{
    const size_t i = b->n_begun++, at = b->n_active;
    const csm_utterance *u = &b->utterances[i];
    const csm_generate_options options = options_of(b, i);
    struct lane *lane = &b->lanes[at];
    *lane = (struct lane){0};
    csm_status st = csm_generation_prepare(b->model, b->context, b->n_context, u->text, &options,
                                        &lane->g, err);
    if (st != CSM_OK)
        return st;
    b->n_active++; /* from here on close_lanes knows of it */
    lane->g->utterance = i;
    double start = csm_now_ms();
    struct csm_prompt prompt = {0};
    st = csm_result_open(b->model, &lane->result, err);
    if (st == CSM_OK)
        st = csm_prompt_build(b->model, NULL, 0, u->text, u->speaker, &prompt, err);
    if (st == CSM_OK)
        st = csm_language_copy_lane(&b->state, b->n_lanes, at, err);
    if (st == CSM_OK)
        st = csm_backbone_prompt(&b->state, at, &prompt, 0, err);
    csm_report *report = &lane->g->report;
    report->n_reused = b->state.n_position[b->n_lanes];
    report->n_prompt = report->n_reused + prompt.n;
    report->prompt_ms = csm_now_ms() - start;
    csm_prompt_free(&prompt);
    return st;
}

/* Feed the frames last drawn. */
static csm_status feed(struct batch *b, csm_error *err)
{
    const size_t k = b->model->info.n_codebooks;
    if (b->n_active == 0)
        return CSM_OK;
    double start = csm_now_ms();
    for (size_t i = 0; i < b->n_active; i++)
        memcpy(b->codes + i * k, b->lanes[i].g->fed, k * sizeof *b->codes);
    b->state.n_lanes = b->n_active;
    csm_status st = csm_backbone_step(&b->state, b->codes, err);
    for (size_t i = 0; i < b->n_active; i++)
        b->lanes[i].g->report.backbone_ms += csm_now_ms() - start;
    return st;
}

/* Code k of every lane. */
static csm_status draw(struct batch *b, size_t k, csm_error *err)
{
    const size_t vocab = b->model->info.vocab;
    double start = csm_now_ms();
    csm_status st = k == 0 ? csm_backbone_logits(&b->state, b->logits, err)
                           : csm_depth_step(&b->state, k, b->column, b->logits, err);
    double took = csm_now_ms() - start;
    for (size_t i = 0; st == CSM_OK && i < b->n_active; i++) {
        csm_generation *g = b->lanes[i].g;
        *(k == 0 ? &g->report.backbone_ms : &g->report.depth_ms) += took;
        start = csm_now_ms();
        memcpy(g->logits + k * vocab, b->logits + i * vocab, vocab * sizeof *g->logits);
        st = csm_generation_draw(g, k, err);
        b->column[i] = g->fed[k] = g->codes[k];
        g->report.draw_ms += csm_now_ms() - start;
    }
    return st;
}

/* Give what is whole; the last lane at work takes the place of one that ended. */
static csm_status end_lanes(struct batch *b, csm_error *err)
{
    csm_status st = CSM_OK;
    for (size_t i = b->n_active; st == CSM_OK && i-- > 0;) {
        struct lane done = b->lanes[i];
        if (!csm_generation_is_over(done.g))
            continue;
        const size_t last = --b->n_active;
        if (i != last) {
            b->lanes[i] = b->lanes[last];
            st = csm_language_copy_lane(&b->state, last, i, err);
        }
        csm_result_finish(done.result, done.g);
        csm_status given = give(b, done.g->utterance, done.result, err);
        st = st == CSM_OK ? given : st;
        csm_generation_close(done.g);
    }
    return st;
}

static csm_status next_frames(struct batch *b, csm_error *err)
{
    csm_status st = feed(b, err);
    while (st == CSM_OK && b->n_active < b->n_lanes && b->n_begun < b->n)
        st = begin(b, err);
    b->state.n_lanes = b->n_active;
    for (size_t k = 0; st == CSM_OK && k < b->model->info.n_codebooks; k++)
        st = draw(b, k, err);
    for (size_t i = 0; st == CSM_OK && i < b->n_active; i++) {
        csm_frame frame;
        bool has_frame = false;
        st = csm_generation_take(b->lanes[i].g, &frame, &has_frame, err);
        if (st == CSM_OK && has_frame)
            st = csm_result_append(b->lanes[i].result, b->lanes[i].g, &frame, err);
    }
    return st == CSM_OK ? end_lanes(b, err) : st;
}

static csm_status run_side_by_side(struct batch *b, csm_error *err)
{
    csm_status st = open_lanes(b, err);
    while (st == CSM_OK && (b->n_active > 0 || b->n_begun < b->n))
        st = next_frames(b, err);
    const bool can_go_on = b->n_active > 0 && csm_can_fall_back(b->lanes[0].g, st);
    close_lanes(b);
    return can_go_on ? run_in_turn(b, err) : st;
}

csm_status csm_generate_batch(csm_model *model, const csm_turn *context, size_t n_context,
                              const csm_utterance *utterances, size_t n, size_t n_lanes,
                              const csm_generate_options *options,
                              bool (*on_result)(void *user, size_t utterance, csm_result *result),
                              csm_error *err)
{
    csm_error unread; /* a fallback tells it in the report */
    err = err != NULL ? err : &unread;
    struct batch b = {.model = model,
                      .context = context,
                      .n_context = n_context,
                      .utterances = utterances,
                      .n = n,
                      .n_lanes = n_lanes < n ? n_lanes : n,
                      .options = csm_generate_defaults(),
                      .on_result = on_result};
    csm_status known = CSM_OK;
    if (options != NULL)
        known = csm_sized_read(options, &b.options, sizeof b.options, "generate options", err);
    if (known != CSM_OK)
        return known;
    if (n_lanes == 0)
        return csm_fail(err, CSM_BAD_ARG, "batch: 0 lanes, expected 1 or more");
    if (n == 0)
        return CSM_OK;
    b.is_given = calloc(n, sizeof *b.is_given);
    if (b.is_given == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "batch: %zu utterances", n);
    if (model->generation != NULL)
        model->generation->is_taken_over = true;
    csm_status st = has_lanes(&b) ? run_side_by_side(&b, err) : run_in_turn(&b, err);
    free(b.is_given);
    return st;
}
