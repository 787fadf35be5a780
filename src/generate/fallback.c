/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames that were handed out stay; the next one is the first of hybrid's. The
 * codec goes on where it was. */
#include "generate/fallback.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "generate/choose.h"

bool csm_can_fall_back(const csm_generation *g, csm_status failed)
{
    const csm_model_info *info = &g->model->info;
    bool is_engine = failed == CSM_ENGINE || failed == CSM_BAD_LOGITS;
    return is_engine && !info->is_strategy_asked && g->options.strategy == CSM_STRATEGY_AUTO &&
           strcmp(info->engine, "torch") != 0;
}

/* The language model on torch, in place of the one that failed. */
static csm_status move_model(csm_model *m, csm_error *err)
{
    csm_model_info *info = &m->info;
    /* float16 may be what overflowed, and torch has no quantized arithmetic */
    bool can_keep = info->precision == CSM_PRECISION_F32 || info->precision == CSM_PRECISION_BF16;
    const struct csm_engine_options options = {
        .precision = can_keep ? info->precision : CSM_PRECISION_STORED, .n_threads = info->n_threads};
    struct csm_language language = {0};
    struct csm_engine *engine = &m->engines.fallback;

    csm_status st = csm_engine_open("torch", &options, engine, err);
    if (st == CSM_OK)
        st = csm_language_open(&language, engine, m->checkpoint, err);
    if (st != CSM_OK) {
        csm_language_close(&language);
        csm_engine_close(engine);
        return st;
    }
    csm_language_state_close(&m->state);
    csm_language_close(&m->language);
    m->language = language;
    info->engine = engine->ops->name;
    info->engine_version = engine->ops->version(engine->ctx);
    info->precision = options.precision;
    info->device = "";
    info->strategy = CSM_STRATEGY_HYBRID;
    info->strategy_reason = "the engine before it failed";
    return CSM_OK;
}

/* The generation's draws, from where its frames left the stream. */
static csm_status move_draws(csm_generation *g, csm_error *err)
{
    csm_whole_frame_close(&g->whole);
    csm_sampler_close(g->sampler);
    g->sampler = NULL;
    csm_status st = csm_choose(g, err);
    size_t vocab = g->model->info.vocab;
    for (size_t i = csm_draws_so_far(g); st == CSM_OK && g->sampler != NULL && i > 0; i--)
        st = csm_stream_fill(csm_sampler_stream(g->sampler), g->sampler_dtype, 1, vocab,
                             g->all_probs, err);
    return st == CSM_OK ? csm_whole_frame_open(g, err) : st;
}

static csm_status read_again(csm_generation *g, csm_error *err)
{
    csm_model *m = g->model;
    const struct csm_watch watch = {
        .observe = g->options.observe, .user = g->options.user, .frame = g->n_drawn};
    csm_status st =
        csm_language_state_open(&m->language, 1, m->info.max_positions, &m->state, err);
    m->state.watch = watch;
    g->report.n_reused = 0;
    return st == CSM_OK ? csm_backbone_prompt(&m->state, 0, &m->read, 0, err) : st;
}

csm_status csm_fall_back(csm_generation *g, csm_status failed, csm_error *err)
{
    const csm_error first = *err;
    const char *engine = g->model->info.engine;

    csm_status st = move_model(g->model, err);
    if (st == CSM_OK) {
        snprintf(g->report.fallback, sizeof g->report.fallback,
                 "engine %s: %.420s; hybrid took its place at frame %zu", engine, first.text,
                 g->n_drawn);
        st = move_draws(g, err);
    }
    if (st == CSM_OK)
        st = read_again(g, err);
    if (st == CSM_OK)
        return CSM_OK;
    const csm_error second = *err;
    return csm_fail(err, failed, "%s; hybrid could not take its place: %s", first.text,
                    second.text);
}
