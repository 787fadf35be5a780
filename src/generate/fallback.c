/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames that were handed out stay; the next one is the first of the engine that takes over.
 * Where a device was lost, the draws stay what they are: native's logits are those of the other
 * engine but for rounding. The other generations go on on the engine that they are on. */
#include "generate/fallback.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "generate/drawing.h"

static bool is_free(const csm_generation *g)
{
    return g->is_auto && !g->model->host.is_asked;
}

/* Whether native, with the same draws, is to go on; else hybrid. */
static bool was_lost(const csm_generation *g, csm_status failed)
{
    return failed == CSM_ENGINE && g->host->traits->can_be_lost;
}

bool csm_can_fall_back(const csm_generation *g, csm_status failed)
{
    const bool is_engine = failed == CSM_ENGINE || failed == CSM_BAD_LOGITS;
    /* what stands in keeps no adapters beside its base */
    return is_engine && g->adapter == 0 && is_free(g) && g->host == &g->model->host &&
           g->host->traits->own_draws != CSM_OWN_TORCH;
}

void csm_stand_in_close(struct csm_stand_in *stand_in)
{
    if (stand_in == NULL)
        return;
    csm_mimi_close(&stand_in->mimi);
    csm_host_close(&stand_in->host);
    free(stand_in);
}

/* The language model on another engine, beside the one that failed. */
static csm_status open_stand_in(csm_model *m, const char *engine, csm_strategy strategy, csm_error *err)
{
    /* float16 may be what overflowed, and torch has no quantized arithmetic */
    const csm_precision asked = m->host.precision;
    const bool can_keep = strategy == CSM_STRATEGY_EXACT || asked == CSM_PRECISION_F32 ||
                          asked == CSM_PRECISION_BF16;
    const struct csm_engine_options options = {
        .precision = can_keep ? asked : CSM_PRECISION_STORED, .n_threads = m->n_threads};
    if (m->scheduler.fallback != NULL)
        return CSM_OK;
    struct csm_stand_in *x = calloc(1, sizeof *x);
    if (x == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "model: an engine");
    csm_status st = csm_engine_open(engine, &options, &x->host.engine, err);
    if (st == CSM_OK) {
        x->host.traits = x->host.engine.ops->traits(x->host.engine.ctx);
        x->host.precision = options.precision;
        x->host.strategy = strategy;
        x->host.reason = "the engine before it failed";
        st = csm_host_open(&x->host, m->checkpoint, err);
    }
    if (st != CSM_OK) {
        csm_stand_in_close(x);
        return st;
    }
    m->scheduler.fallback = x;
    return CSM_OK;
}

/* The generation's draws, from where its frames left the stream. */
static csm_status move_draws(csm_generation *g, const struct csm_settings *settings, csm_error *err)
{
    csm_sampler *sampler = NULL;
    const size_t vocab = g->model->info.vocab;
    csm_status st = csm_settings_sampler(settings, &sampler, err);
    float *noise = malloc(vocab * sizeof *noise);
    if (st == CSM_OK && noise == NULL)
        st = csm_fail(err, CSM_NO_MEMORY, "generation: a row of noise");
    for (size_t i = csm_draws_so_far(g); st == CSM_OK && sampler != NULL && i > 0; i--)
        st = csm_stream_fill(csm_sampler_stream(sampler), settings->dtype, 1, vocab, noise, err);
    free(noise);
    if (st != CSM_OK) {
        csm_sampler_close(sampler);
        return st;
    }
    csm_sampler_close(g->sampler);
    g->sampler = sampler;
    g->settings = *settings;
    return CSM_OK;
}

/* ---- sound ------------------------------------------------------------------------------- */

bool csm_can_move_sound(const csm_generation *g, csm_status failed)
{
    const struct csm_mimi *mimi = g->decoder.mimi;
    return failed == CSM_ENGINE && is_free(g) && mimi == &g->model->codec.mimi &&
           mimi->engine->ops->traits(mimi->engine->ctx)->can_be_lost;
}

/* The first n frames through a codec that has heard none of them. */
static csm_status hear_again(const csm_generation *g, size_t n, struct csm_mimi_stream *stream,
                             csm_error *err)
{
    const size_t k = g->model->info.n_codebooks;
    const int32_t *said = g->prompt.codes + g->n_prompt * k;
    int32_t *codes = malloc((n * k + 1) * sizeof *codes);
    float *samples = malloc((n * g->model->info.frame_samples + 1) * sizeof *samples);
    csm_status st = codes != NULL && samples != NULL
                        ? CSM_OK
                        : csm_fail(err, CSM_NO_MEMORY, "codec: %zu frames", n);
    for (size_t i = 0; st == CSM_OK && i < n * k; i++)
        codes[i] = (size_t)said[i] < g->model->info.n_entries ? said[i] : CSM_MIMI_SILENT;
    if (st == CSM_OK && n > 0)
        st = csm_mimi_decode(stream, codes, n, k, NULL, samples, err);
    free(codes);
    free(samples);
    return st;
}

/* Native's codec, which has heard n frames. */
static csm_status take_sound(csm_generation *g, size_t n, csm_error *err)
{
    struct csm_mimi_stream stream = {0};
    csm_model *m = g->model;
    csm_status st = open_stand_in(m, "native", CSM_STRATEGY_EXACT, err);
    if (st == CSM_OK && m->scheduler.fallback->mimi.engine == NULL)
        st = csm_mimi_open(&m->scheduler.fallback->mimi, &m->scheduler.fallback->host.engine, m->checkpoint, err);
    if (st == CSM_OK)
        st = csm_mimi_decoder_open(&m->scheduler.fallback->mimi, CSM_MIMI_PIECE, &stream, err);
    if (st == CSM_OK)
        st = hear_again(g, n, &stream, err);
    if (st != CSM_OK) {
        csm_mimi_stream_close(&stream);
        return st;
    }
    csm_mimi_stream_close(&g->decoder);
    g->decoder = stream;
    return CSM_OK;
}

csm_status csm_move_sound(csm_generation *g, csm_status failed, csm_error *err)
{
    const csm_error first = *err;
    if (take_sound(g, g->sounding, err) != CSM_OK) {
        const csm_error second = *err;
        return csm_fail(err, failed, "%s; native could not take its place: %s", first.text,
                        second.text);
    }
    snprintf(g->work.fallback, sizeof g->work.fallback,
             "codec on engine %s: %.420s; native took its place at frame %zu",
             g->model->codec.mimi.engine->ops->name, first.text, g->sounding);
    return CSM_OK;
}

/* ---- draws -------------------------------------------------------------------------------- */

csm_status csm_fall_back(csm_generation *g, csm_status failed, csm_error *err)
{
    const csm_error first = *err;
    const char *engine = g->host->engine.ops->name;
    const bool is_lost = was_lost(g, failed);
    const char *other = is_lost ? "native" : "hybrid";
    struct csm_settings settings = g->settings;
    csm_status st = is_lost ? open_stand_in(g->model, "native", CSM_STRATEGY_EXACT, err)
                            : open_stand_in(g->model, CSM_ENGINE_TORCH, CSM_STRATEGY_HYBRID, err);
    if (st == CSM_OK && !is_lost)
        st = csm_settings_make(&g->model->scheduler.fallback->host, g->model, &g->options, &settings, err);
    if (st == CSM_OK)
        st = move_draws(g, &settings, err);
    if (st == CSM_OK) {
        csm_whole_frame_close(&g->whole);
        csm_sequence_close(&g->sequence);
        g->host = &g->model->scheduler.fallback->host;
        st = csm_drawing_start(g, NULL, 0, err);
    }
    if (st == CSM_OK && is_lost && csm_can_move_sound(g, failed))
        st = take_sound(g, g->n_sound, err);
    if (st != CSM_OK) {
        const csm_error second = *err;
        return csm_fail(err, failed, "%s; %s could not take its place: %s", first.text, other,
                        second.text);
    }
    snprintf(g->work.fallback, sizeof g->work.fallback,
             "engine %s: %.420s; %s took its place at frame %zu", engine, first.text, other,
             g->n_drawn);
    return CSM_OK;
}
