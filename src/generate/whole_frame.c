/* SPDX-License-Identifier: Apache-2.0
 *
 * Exact stays exact without an argument about rounding: the engine's race over
 * the same noise is a guess, made so that the frame can go on; every draw is
 * repeated from the frame's logits by the sampler itself, and where it differs
 * (a margin near the engine's error) the frame is asked for again with the codes
 * that are right. The logits up to there do not change by that. Hybrid's draws
 * are PyTorch's own, of its own generator; the sampler's give their margins. */
#include "generate/whole_frame.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "generate/generation.h"

/* The draws are the engine's library's own: hybrid's, and csm-mlx's sampler on
 * the mlx engine, of its version. */
static bool is_own(const csm_generation *g)
{
    const char *version = g->options.mlx_version;
    if (g->report.strategy == CSM_STRATEGY_HYBRID)
        return true;
    return g->sampler_kind == CSM_SAMPLER_CSM_MLX && strcmp(g->model->info.engine, "mlx") == 0 &&
           (version == NULL || strcmp(version, g->model->info.engine_version) == 0);
}

static bool is_race(const csm_generation *g)
{
    return g->sampler_kind == CSM_SAMPLER_TRANSFORMERS || g->sampler_kind == CSM_SAMPLER_SESAME;
}

static void set_parts(csm_generation *g, struct csm_frame_parts *parts)
{
    const struct csm_language *l = &g->model->language;
    *parts = (struct csm_frame_parts){.n_codebooks = l->n_codebooks,
                                      .vocab = l->vocab,
                                      .first_head = l->first_head,
                                      .codes = l->depth_table,
                                      .projector = l->projection,
                                      .attention = l->depth.attention,
                                      .mlp = l->depth.mlp,
                                      .n_layers = l->depth.n_layers,
                                      .norm = l->depth.norm,
                                      .heads = l->heads};
}

csm_status csm_whole_frame_open(csm_generation *g, csm_error *err)
{
    struct csm_whole_frame *w = &g->whole;
    const csm_report *r = &g->report;
    if (g->model->language.engine->ops->frame == NULL || g->options.observe != NULL ||
        g->options.min_frames > 0 || g->report.top_p < 1.0 || g->report.depth_top_p < 1.0 ||
        g->report.min_p > 0.0 || g->report.depth_min_p > 0.0 || !(is_own(g) || is_race(g)))
        return CSM_OK;
    set_parts(g, &w->parts);
    w->draw = (struct csm_frame_draw){.kind = is_own(g) ? CSM_DRAW_OWN : CSM_DRAW_RACE,
                                      .temperature = r->temperature,
                                      .depth_temperature = r->depth_temperature,
                                      .top_k = (size_t)r->top_k,
                                      .depth_top_k = (size_t)r->depth_top_k,
                                      .key = {(uint32_t)(r->seed >> 32), (uint32_t)r->seed},
                                      .as_sesame = g->sampler_kind == CSM_SAMPLER_SESAME,
                                      .dtype = CSM_DTYPE_F32};
    w->codes = calloc(w->parts.n_codebooks, sizeof *w->codes);
    if (w->codes == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "generation: a frame of %zu codes",
                        w->parts.n_codebooks);
    w->is_used = true;
    w->engine = g->model->language.engine;
    if (r->strategy == CSM_STRATEGY_HYBRID)
        return w->engine->ops->random_new(w->engine->ctx, r->seed, csm_draws_so_far(g),
                                          w->parts.vocab, &w->draw.random, err);
    if (w->draw.kind == CSM_DRAW_OWN || g->sampler == NULL)
        return CSM_OK;
    if (g->sampler_kind == CSM_SAMPLER_SESAME)
        w->draw.dtype = g->sampler_dtype;
    csm_stream_state from = csm_stream_save(csm_sampler_stream(g->sampler));
    bool has_row[2] = {r->temperature > 0.0, r->depth_temperature > 0.0};
    return csm_noise_ahead_start(&from, w->draw.dtype, w->parts.n_codebooks, w->parts.vocab,
                                 has_row, &w->noise, err);
}

void csm_whole_frame_close(struct csm_whole_frame *w)
{
    csm_noise_ahead_stop(w->noise);
    if (w->draw.random != NULL)
        w->engine->ops->random_free(w->engine->ctx, w->draw.random);
    free(w->codes);
    *w = (struct csm_whole_frame){0};
}

/* What the engine drew by itself stands; margin and probability are the sampler's
 * view of it, which has none where its own arithmetic would have drawn another. */
static void take_own(csm_generation *g, size_t k)
{
    int32_t code = g->whole.codes[k];
    if (g->codes[k] == code)
        return;
    g->codes[k] = code;
    g->margins[k] = 0.0f;
    g->probs[k] = g->all_probs[k * g->model->info.vocab + (size_t)code];
}

/* Draw the codes from k on of the logits that are there; the first one that the
 * engine did not go on with is the last. Gives the next k. */
static csm_status judge(csm_generation *g, const int32_t *forced, size_t *k, csm_error *err)
{
    const struct csm_whole_frame *w = &g->whole;
    bool is_right = true;
    while (is_right && *k < w->parts.n_codebooks) {
        csm_status st = csm_generation_draw(g, *k, err);
        if (st != CSM_OK)
            return st;
        if (w->draw.kind == CSM_DRAW_OWN)
            take_own(g, *k);
        g->fed[*k] = forced != NULL ? forced[*k] : g->codes[*k];
        is_right = forced != NULL || g->codes[*k] == w->codes[*k];
        (*k)++;
    }
    return CSM_OK;
}

csm_status csm_whole_frame_draw(csm_generation *g, const int32_t *forced, csm_error *err)
{
    struct csm_whole_frame *w = &g->whole;
    const struct csm_engine *engine = w->engine;
    const struct csm_language_state *state = &g->model->state;
    csm_report *r = &g->report;

    csm_status st = CSM_OK;
    if (w->noise != NULL)
        st = csm_noise_ahead_next(w->noise, &w->draw.noise, err);
    w->draw.known = forced != NULL ? forced : g->fed;
    w->draw.n_known = forced != NULL ? w->parts.n_codebooks : 0;
    for (size_t k = 0; st == CSM_OK && k < w->parts.n_codebooks;) {
        double start = csm_now_ms();
        st = engine->ops->frame(engine->ctx, &w->parts, state->depth, state->hidden, &w->draw,
                                w->codes, g->logits, err);
        double drawn = csm_now_ms();
        if (st == CSM_OK)
            st = judge(g, forced, &k, err);
        if (forced == NULL)
            w->draw.n_known = k;
        r->depth_ms += drawn - start;
        r->draw_ms += csm_now_ms() - drawn;
    }
    return st;
}
