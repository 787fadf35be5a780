/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls are those of transformers, so that an engine with PyTorch's
 * arithmetic gives its bits: the whole prompt in one pass, then one position a
 * frame; in the depth decoder positions 0 and 1 in one pass, then one by one. */
#include "model/language.h"

#include <stdlib.h>

#include "base/error.h"

csm_status csm_language_state_open(const struct csm_language *language, size_t n_lanes,
                                   size_t capacity, struct csm_language_state *state,
                                   csm_error *err)
{
    const struct csm_engine_ops *ops = language->engine->ops;
    void *ctx = language->engine->ctx;

    *state = (struct csm_language_state){
        .language = language, .n_lanes = n_lanes, .capacity = capacity};
    state->n_position = calloc(n_lanes, sizeof *state->n_position);
    size_t n_rows = capacity > n_lanes ? capacity : n_lanes;
    state->ids = calloc(n_rows * language->n_codebooks, sizeof *state->ids);
    if (state->n_position == NULL || state->ids == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "model: %zu lanes of %zu positions", n_lanes, capacity);
    csm_status st = ops->cache_new(ctx, language->backbone.attention, language->backbone.n_layers,
                                   n_lanes, capacity, &state->backbone, err);
    if (st == CSM_OK)
        st = ops->cache_new(ctx, language->depth.attention, language->depth.n_layers, n_lanes,
                            language->n_codebooks, &state->depth, err);
    csm_value **values[] = {&state->hidden, &state->a, &state->b, &state->c};
    for (size_t i = 0; st == CSM_OK && i < 4; i++)
        st = ops->value_new(ctx, values[i], err);
    return st;
}

void csm_language_state_close(struct csm_language_state *state)
{
    if (state->language == NULL)
        return;
    const struct csm_engine_ops *ops = state->language->engine->ops;
    void *ctx = state->language->engine->ctx;
    ops->cache_free(ctx, state->backbone);
    ops->cache_free(ctx, state->depth);
    ops->value_free(ctx, state->hidden);
    ops->value_free(ctx, state->a);
    ops->value_free(ctx, state->b);
    ops->value_free(ctx, state->c);
    free(state->n_position);
    free(state->ids);
    *state = (struct csm_language_state){0};
}

csm_status csm_language_truncate(struct csm_language_state *state, size_t lane, size_t n_positions,
                                 csm_error *err)
{
    const struct csm_engine *engine = state->language->engine;
    csm_status st =
        engine->ops->cache_truncate(engine->ctx, state->backbone, lane, n_positions, err);
    if (st == CSM_OK)
        state->n_position[lane] = n_positions;
    return st;
}

csm_status csm_language_copy_lane(struct csm_language_state *state, size_t from, size_t to,
                                  csm_error *err)
{
    const struct csm_engine *engine = state->language->engine;
    csm_status st = engine->ops->cache_copy(engine->ctx, state->backbone, from, to, err);
    if (st == CSM_OK)
        state->n_position[to] = state->n_position[from];
    return st;
}

static csm_status watch(struct csm_language_state *state, const char *name, const char *suffix,
                        size_t at, size_t rows, size_t cols, const csm_value *x, csm_error *err)
{
    if (state->watch.observe == NULL)
        return CSM_OK;
    state->watch.name = name;
    state->watch.at = at;
    return csm_watch_value(state->language->engine, &state->watch, suffix, rows, cols, x, err);
}

/* state->ids: the rows of audio_table that are the codes of frames. */
static void set_ids(struct csm_language_state *state, const int32_t *codes, size_t rows)
{
    const struct csm_language *l = state->language;
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < l->n_codebooks; k++)
            state->ids[r * l->n_codebooks + k] =
                (int32_t)(k * l->vocab) + codes[r * l->n_codebooks + k];
}

/* Embeddings of frames: out[r] = sum over k of audio_table[k * vocab + code k]. */
static csm_status embed_frames(struct csm_language_state *state, const int32_t *codes, size_t rows,
                               csm_value *out, csm_error *err)
{
    const struct csm_language *l = state->language;
    set_ids(state, codes, rows);
    return l->engine->ops->embed(l->engine->ctx, l->audio_table, state->ids, rows, l->n_codebooks,
                                 out, err);
}

/* Embeddings of positions first..n-1 into state->a, run by run of one kind. */
static csm_status embed_prompt(struct csm_language_state *state, const struct csm_prompt *prompt,
                               size_t first, csm_error *err)
{
    const struct csm_language *l = state->language;
    for (size_t at = first; at < prompt->n;) {
        bool is_text = prompt->text[at] >= 0;
        size_t end = at + 1;
        while (end < prompt->n && (prompt->text[end] >= 0) == is_text)
            end++;
        csm_status st =
            is_text ? l->engine->ops->embed(l->engine->ctx, l->text_table, prompt->text + at,
                                            end - at, 1, state->b, err)
                    : embed_frames(state, prompt->codes + at * l->n_codebooks, end - at, state->b,
                                   err);
        if (st == CSM_OK)
            st = l->engine->ops->copy_rows(l->engine->ctx, state->b, 0, end - at, state->a,
                                           at - first, err);
        if (st != CSM_OK)
            return st;
        at = end;
    }
    return CSM_OK;
}

static csm_status room_for(const struct csm_language_state *state, size_t lane, size_t n,
                           csm_error *err)
{
    if (n > state->capacity - state->n_position[lane])
        return csm_fail(err, CSM_BAD_ARG,
                        "model: %zu positions after %zu, expected at most %zu in all", n,
                        state->n_position[lane], state->capacity);
    return CSM_OK;
}

csm_status csm_backbone_prompt(struct csm_language_state *state, size_t lane,
                               const struct csm_prompt *prompt, size_t first, csm_error *err)
{
    const struct csm_language *l = state->language;
    const struct csm_engine_ops *ops = l->engine->ops;
    size_t n = prompt->n - first;
    size_t at = state->n_position[lane];

    csm_status st = room_for(state, lane, n, err);
    if (st == CSM_OK)
        st = embed_prompt(state, prompt, first, err);
    if (st == CSM_OK)
        st = watch(state, "inputs_embeds", "", at, n, l->width, state->a, err);
    if (st != CSM_OK)
        return st;
    state->watch.name = "backbone";
    st = csm_stack_run(l->engine, &l->backbone, state->backbone, lane, 1, n, &state->watch,
                       state->a, err);
    if (st == CSM_OK && state->watch.observe != NULL) {
        st = ops->norm(l->engine->ctx, &l->backbone.norm, state->a, state->b, err);
        if (st == CSM_OK)
            st = watch(state, "backbone", ".final", at, n, l->width, state->b, err);
    }
    if (st == CSM_OK)
        st = ops->copy_rows(l->engine->ctx, state->a, n - 1, 1, state->b, 0, err);
    if (st == CSM_OK)
        st = ops->norm(l->engine->ctx, &l->backbone.norm, state->b, state->c, err);
    if (st == CSM_OK)
        st = ops->copy_rows(l->engine->ctx, state->c, 0, 1, state->hidden, lane, err);
    if (st == CSM_OK)
        state->n_position[lane] += n;
    return st;
}

/* The whole step as one operation of the engine, for one lane. */
static csm_status step_at_once(struct csm_language_state *state, const int32_t *codes,
                               csm_error *err)
{
    const struct csm_language *l = state->language;
    const struct csm_step_parts parts = {.codes = l->audio_table,
                                         .attention = l->backbone.attention,
                                         .mlp = l->backbone.mlp,
                                         .n_layers = l->backbone.n_layers,
                                         .norm = l->backbone.norm};
    csm_status st = room_for(state, 0, 1, err);
    if (st != CSM_OK)
        return st;
    set_ids(state, codes, 1);
    st = l->engine->ops->step(l->engine->ctx, &parts, state->backbone, state->ids, l->n_codebooks,
                              state->hidden, err);
    if (st == CSM_OK)
        state->n_position[0]++;
    return st;
}

csm_status csm_backbone_step(struct csm_language_state *state, const int32_t *codes,
                             csm_error *err)
{
    const struct csm_language *l = state->language;
    size_t n = state->n_lanes;
    size_t at = state->n_position[0];
    if (l->engine->ops->step != NULL && n == 1 && state->watch.observe == NULL)
        return step_at_once(state, codes, err);

    csm_status st = CSM_OK;
    for (size_t lane = 0; st == CSM_OK && lane < n; lane++)
        st = room_for(state, lane, 1, err);
    if (st == CSM_OK)
        st = embed_frames(state, codes, n, state->a, err);
    if (st == CSM_OK)
        st = watch(state, "inputs_embeds", "", at, n, l->width, state->a, err);
    if (st != CSM_OK)
        return st;
    state->watch.name = "backbone";
    st = csm_stack_run(l->engine, &l->backbone, state->backbone, 0, n, n, &state->watch, state->a,
                       err);
    if (st == CSM_OK)
        st = l->engine->ops->norm(l->engine->ctx, &l->backbone.norm, state->a, state->hidden, err);
    if (st == CSM_OK)
        st = watch(state, "backbone", ".final", at, n, l->width, state->hidden, err);
    for (size_t lane = 0; st == CSM_OK && lane < n; lane++)
        state->n_position[lane]++;
    return st;
}

/* out [n_lanes, vocab] of x [n_lanes, width of head], through state->c. */
static csm_status read_logits(struct csm_language_state *state, const csm_weight *head,
                              const csm_value *x, size_t k, float *logits, csm_error *err)
{
    const struct csm_language *l = state->language;
    csm_status st = l->engine->ops->linear(l->engine->ctx, head, NULL, x, state->c, err);
    if (st == CSM_OK)
        st = l->engine->ops->read(l->engine->ctx, state->c, state->n_lanes, l->vocab, logits, err);
    if (st == CSM_OK && state->watch.observe != NULL)
        state->watch.observe(state->watch.user, "logits", state->watch.frame, k, logits,
                             state->n_lanes, l->vocab);
    return st;
}

csm_status csm_backbone_logits(struct csm_language_state *state, float *logits, csm_error *err)
{
    return read_logits(state, state->language->first_head, state->hidden, 0, logits, err);
}

/* The depth decoder's input for code k into state->a, width of the backbone:
 * code k - 1's embedding, and for k = 1 the backbone's hidden row before it. */
static csm_status depth_input(struct csm_language_state *state, size_t k, const int32_t *codes,
                              csm_error *err)
{
    const struct csm_language *l = state->language;
    const struct csm_engine_ops *ops = l->engine->ops;
    void *ctx = l->engine->ctx;
    for (size_t lane = 0; lane < state->n_lanes; lane++)
        state->ids[lane] = (int32_t)((k - 1) * l->vocab) + codes[lane];
    csm_value *out = k == 1 ? state->b : state->a;
    csm_status st = ops->embed(ctx, l->depth_table, state->ids, state->n_lanes, 1, out, err);
    for (size_t lane = 0; k == 1 && st == CSM_OK && lane < state->n_lanes; lane++) {
        st = ops->cache_truncate(ctx, state->depth, lane, 0, err);
        if (st == CSM_OK)
            st = ops->copy_rows(ctx, state->hidden, lane, 1, state->a, 2 * lane, err);
        if (st == CSM_OK)
            st = ops->copy_rows(ctx, state->b, lane, 1, state->a, 2 * lane + 1, err);
    }
    return st;
}

csm_status csm_depth_step(struct csm_language_state *state, size_t k, const int32_t *codes,
                          float *logits, csm_error *err)
{
    const struct csm_language *l = state->language;
    const struct csm_engine_ops *ops = l->engine->ops;
    void *ctx = l->engine->ctx;
    size_t per_lane = k == 1 ? 2 : 1;
    size_t rows = per_lane * state->n_lanes;
    size_t at = k == 1 ? 0 : k;

    csm_status st = depth_input(state, k, codes, err);
    if (st == CSM_OK)
        st = ops->linear(ctx, l->projection, NULL, state->a, state->b, err);
    if (st == CSM_OK)
        st = watch(state, "depth", ".proj", at, rows, l->depth_width, state->b, err);
    if (st != CSM_OK)
        return st;
    state->watch.name = "depth";
    state->watch.at = at;
    st = csm_stack_run(l->engine, &l->depth, state->depth, 0, state->n_lanes, rows, &state->watch,
                       state->b, err);
    if (st == CSM_OK)
        st = ops->norm(ctx, &l->depth.norm, state->b, state->a, err);
    if (st == CSM_OK)
        st = watch(state, "depth", ".final", at, rows, l->depth_width, state->a, err);
    if (k > 1)
        return st == CSM_OK ? read_logits(state, l->heads[k - 1], state->a, k, logits, err) : st;
    /* Position 0 has no head: the second row of each lane is the one. */
    for (size_t lane = 0; st == CSM_OK && lane < state->n_lanes; lane++)
        st = ops->copy_rows(ctx, state->a, 2 * lane + 1, 1, state->b, lane, err);
    return st == CSM_OK ? read_logits(state, l->heads[0], state->b, k, logits, err) : st;
}
