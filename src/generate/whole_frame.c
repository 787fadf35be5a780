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
#include "generate/drawing.h"
#include "sampling/noise.h"

/* The draws are the engine's library's own: hybrid's, and csm-mlx's sampler on
 * MLX, of its version. */
static bool is_own(const csm_generation *g)
{
    const struct csm_settings *s = &g->settings;
    const struct csm_host *host = g->host;
    if (s->strategy == CSM_STRATEGY_HYBRID)
        return true;
    return s->sampler == CSM_SAMPLER_CSM_MLX && host->traits->own_draws == CSM_OWN_MLX &&
           (s->mlx_version[0] == '\0' ||
            strcmp(s->mlx_version, host->engine.ops->version(host->engine.ctx)) == 0);
}

static bool is_race(const csm_generation *g)
{
    return g->settings.sampler == CSM_SAMPLER_TRANSFORMERS ||
           g->settings.sampler == CSM_SAMPLER_SESAME;
}

static csm_status open_draws(csm_generation *g, csm_error *err)
{
    struct csm_whole_frame *w = &g->whole;
    const struct csm_settings *s = &g->settings;
    const size_t n_codebooks = g->model->info.n_codebooks, vocab = g->model->info.vocab;
    if (s->is_greedy)
        return CSM_OK;
    if (w->draw.kind == CSM_DRAW_OWN)
        return w->engine->ops->random_new(w->engine->ctx, s->seed, csm_draws_so_far(g), vocab,
                                          &w->draw.random, err);
    if (s->sampler == CSM_SAMPLER_SESAME)
        w->draw.dtype = s->dtype;
    const bool has_row[2] = {s->first.temperature > 0.0, s->depth.temperature > 0.0};
    const csm_stream_state at = csm_stream_save(csm_sampler_stream(g->sampler));
    return csm_noise_ahead_start(&at, w->draw.dtype, n_codebooks, vocab, has_row, &w->noise, err);
}

csm_status csm_whole_frame_open(csm_generation *g, csm_error *err)
{
    struct csm_whole_frame *w = &g->whole;
    const struct csm_settings *s = &g->settings;
    const size_t n_codebooks = g->model->info.n_codebooks, vocab = g->model->info.vocab;
    const bool own = is_own(g);
    if (!g->host->traits->whole_frame || g->observe != NULL || csm_settings_cut(s) ||
        (own && s->min_frames > 0) || !(own || is_race(g)))
        return CSM_OK;
    w->is_used = true;
    w->engine = &g->host->engine;
    w->draw = (struct csm_frame_draw){.kind = own ? CSM_DRAW_OWN : CSM_DRAW_RACE,
                                      .temperature = s->first.temperature,
                                      .depth_temperature = s->depth.temperature,
                                      .top_k = (size_t)s->first.top_k,
                                      .depth_top_k = (size_t)s->depth.top_k,
                                      .as_sesame = s->sampler == CSM_SAMPLER_SESAME,
                                      .dtype = CSM_DTYPE_F32,
                                      .logits_dtype = s->dtype};
    w->codes = calloc(n_codebooks, sizeof *w->codes);
    w->logits = calloc(n_codebooks * vocab, sizeof *w->logits);
    csm_status st = w->codes != NULL && w->logits != NULL
                        ? open_draws(g, err)
                        : csm_fail(err, CSM_NO_MEMORY, "generation: a frame of %zu codes",
                                   n_codebooks);
    if (st != CSM_OK)
        csm_whole_frame_close(w);
    return st;
}

void csm_whole_frame_close(struct csm_whole_frame *w)
{
    csm_noise_ahead_stop(w->noise);
    if (w->draw.random != NULL)
        w->engine->ops->random_free(w->engine->ctx, w->draw.random);
    free(w->codes);
    free(w->logits);
    *w = (struct csm_whole_frame){0};
}

/* What is known of the frame after this one, which is not the last. */
static void look_ahead(csm_generation *g)
{
    struct csm_frame_draw *draw = &g->whole.draw;
    const bool is_forced = g->n_drawn + 1 < g->n_forced;
    draw->may_go_on = g->n_sound + 1 < g->settings.max_frames;
    draw->next_noise = g->whole.noise != NULL ? csm_noise_ahead_look(g->whole.noise) : NULL;
    draw->next_known = is_forced ? g->forced + (g->n_drawn + 1) * g->model->info.n_codebooks : NULL;
    draw->next_n_known = is_forced ? g->model->info.n_codebooks : 0;
}

csm_status csm_whole_frame_begin(csm_generation *g, const int32_t *forced, csm_error *err)
{
    struct csm_whole_frame *w = &g->whole;
    w->k = 0;
    w->has_parted = false;
    w->forced = forced;
    w->draw.known = forced != NULL ? forced : g->fed;
    w->draw.n_known = forced != NULL ? g->model->info.n_codebooks : 0;
    csm_status st = w->noise != NULL ? csm_noise_ahead_next(w->noise, &w->draw.noise, err) : CSM_OK;
    if (st == CSM_OK)
        look_ahead(g);
    return st;
}

/* What the engine drew by itself stands; margin and probability are the sampler's
 * view of it, which has none where its own arithmetic would have drawn another. */
static void take_own(const struct csm_whole_frame *w, struct csm_slot *slot, size_t k,
                     const float *probs)
{
    const int32_t code = w->codes[k];
    if (slot->codes[k] == code)
        return;
    slot->codes[k] = code;
    slot->margins[k] = 0.0f;
    slot->probs[k] = probs[code];
}

csm_status csm_whole_frame_judge(csm_generation *g, size_t n, struct csm_slot *slot, float *rows,
                                 csm_error *err)
{
    struct csm_whole_frame *w = &g->whole;
    const size_t vocab = g->model->info.vocab;
    if (w->noise != NULL)
        csm_noise_ahead_go_on(w->noise);
    while (!w->has_parted && w->k < n) {
        const size_t k = w->k++;
        const float *probs;
        if (w->draw.noise != NULL && g->sampler != NULL) /* made once, for the engine's race and this one */
            csm_noise_give(csm_sampler_stream(g->sampler), w->draw.noise + k * vocab, vocab);
        csm_status st =
            csm_drawing_draw(g, slot, k, w->logits + k * vocab, rows, &probs, err);
        if (st != CSM_OK)
            return st;
        if (w->draw.kind == CSM_DRAW_OWN)
            take_own(w, slot, k, probs);
        g->fed[k] = w->forced != NULL ? w->forced[k] : slot->codes[k];
        w->has_parted = w->forced == NULL && slot->codes[k] != w->codes[k];
    }
    if (w->forced == NULL)
        w->draw.n_known = w->k;
    return CSM_OK;
}
