/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames that were handed out stay; the next one is the first of hybrid's. The codec goes on
 * where it was, and so do the other generations, on the engine that they are on. */
#include "generate/fallback.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "generate/drawing.h"

bool csm_can_fall_back(const csm_generation *g, csm_status failed)
{
    const bool is_engine = failed == CSM_ENGINE || failed == CSM_BAD_LOGITS;
    /* torch keeps no adapters beside its base */
    return is_engine && g->adapter == 0 && g->is_auto && !g->host->is_asked &&
           g->host->traits->own_draws != CSM_OWN_TORCH;
}

/* The language model on torch, beside the one that failed. */
static csm_status open_host(csm_model *m, csm_error *err)
{
    struct csm_scheduler *s = &m->scheduler;
    /* float16 may be what overflowed, and torch has no quantized arithmetic */
    const csm_precision asked = m->host.precision;
    const bool can_keep = asked == CSM_PRECISION_F32 || asked == CSM_PRECISION_BF16;
    const struct csm_engine_options options = {
        .precision = can_keep ? asked : CSM_PRECISION_STORED, .n_threads = m->n_threads};
    if (s->fallback != NULL)
        return CSM_OK;
    struct csm_host *host = calloc(1, sizeof *host);
    if (host == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "model: an engine");
    csm_status st = csm_engine_open(CSM_ENGINE_TORCH, &options, &host->engine, err);
    if (st == CSM_OK) {
        host->traits = host->engine.ops->traits(host->engine.ctx);
        host->precision = options.precision;
        host->strategy = CSM_STRATEGY_HYBRID;
        host->reason = "the engine before it failed";
        st = csm_host_open(host, m->checkpoint, err);
    }
    if (st != CSM_OK) {
        csm_host_close(host);
        free(host);
        return st;
    }
    s->fallback = host;
    return CSM_OK;
}

/* The generation's draws, from where its frames left the stream. */
static csm_status move_draws(csm_generation *g, csm_error *err)
{
    struct csm_settings settings;
    csm_sampler *sampler = NULL;
    const size_t vocab = g->model->info.vocab;
    csm_status st =
        csm_settings_make(g->model->scheduler.fallback, g->model, &g->options, &settings, err);
    if (st == CSM_OK)
        st = csm_settings_sampler(&settings, &sampler, err);
    float *noise = malloc(vocab * sizeof *noise);
    if (st == CSM_OK && noise == NULL)
        st = csm_fail(err, CSM_NO_MEMORY, "generation: a row of noise");
    for (size_t i = csm_draws_so_far(g); st == CSM_OK && sampler != NULL && i > 0; i--)
        st = csm_stream_fill(csm_sampler_stream(sampler), settings.dtype, 1, vocab, noise, err);
    free(noise);
    if (st != CSM_OK) {
        csm_sampler_close(sampler);
        return st;
    }
    csm_sampler_close(g->sampler);
    g->sampler = sampler;
    g->settings = settings;
    return CSM_OK;
}

csm_status csm_fall_back(csm_generation *g, csm_status failed, csm_error *err)
{
    const csm_error first = *err;
    const char *engine = g->host->engine.ops->name;
    csm_status st = open_host(g->model, err);
    if (st == CSM_OK)
        st = move_draws(g, err);
    if (st == CSM_OK) {
        csm_whole_frame_close(&g->whole);
        csm_sequence_close(&g->sequence);
        g->host = g->model->scheduler.fallback;
        st = csm_drawing_start(g, NULL, 0, err);
    }
    if (st != CSM_OK) {
        const csm_error second = *err;
        return csm_fail(err, failed, "%s; hybrid could not take its place: %s", first.text,
                        second.text);
    }
    snprintf(g->work.fallback, sizeof g->work.fallback,
             "engine %s: %.420s; hybrid took its place at frame %zu", engine, first.text,
             g->n_drawn);
    return CSM_OK;
}
