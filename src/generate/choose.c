/* SPDX-License-Identifier: Apache-2.0 */
#include "generate/choose.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

const char *csm_strategy_name(csm_strategy strategy)
{
    switch (strategy) {
    case CSM_STRATEGY_AUTO:
        return "auto";
    case CSM_STRATEGY_PURE:
        return "pure";
    case CSM_STRATEGY_EXACT:
        return "exact";
    case CSM_STRATEGY_HYBRID:
        return "hybrid";
    }
    return "?";
}

static csm_status choose_strategy(csm_generation *g, csm_error *err)
{
    const csm_model_info *info = &g->model->info;
    csm_strategy chosen = g->options.strategy;
    g->report.reason = "asked for";
    if (chosen == CSM_STRATEGY_AUTO) {
        chosen = info->strategy;
        g->report.reason = info->strategy_reason;
        if (chosen == CSM_STRATEGY_PURE && !info->is_strategy_asked &&
            csm_exact_sampling_enabled()) {
            chosen = CSM_STRATEGY_EXACT;
            g->report.reason = "exact sampling is switched on for the process";
        }
    }
    if (chosen == CSM_STRATEGY_HYBRID && strcmp(info->engine, "torch") != 0)
        return csm_fail(err, CSM_BAD_ARG,
                        "strategy hybrid on engine %s: expected a model opened on engine torch",
                        info->engine);
    g->report.strategy = chosen;
    return CSM_OK;
}

static csm_status choose_settings(csm_generation *g, csm_error *err)
{
    const csm_model_info *info = &g->model->info;
    const csm_generate_options *o = &g->options;
    csm_report *r = &g->report;
    bool has_temperature = o->temperature != CSM_FROM_MODEL;
    bool has_top_k = o->top_k != CSM_FROM_MODEL;

    r->seed = o->seed;
    r->temperature = has_temperature ? o->temperature : info->temperature;
    r->top_k = has_top_k ? o->top_k : info->top_k;
    if (o->depth_temperature != CSM_FROM_MODEL)
        r->depth_temperature = o->depth_temperature;
    else
        r->depth_temperature = has_temperature ? o->temperature : info->depth_temperature;
    if (o->depth_top_k != CSM_FROM_MODEL)
        r->depth_top_k = o->depth_top_k;
    else
        r->depth_top_k = has_top_k ? o->top_k : info->depth_top_k;

    const bool has_top_p = o->top_p != CSM_FROM_MODEL, has_min_p = o->min_p != CSM_FROM_MODEL;
    r->top_p = has_top_p ? o->top_p : info->top_p;
    r->min_p = has_min_p ? o->min_p : info->min_p;
    r->depth_top_p = o->depth_top_p != CSM_FROM_MODEL ? o->depth_top_p
                     : has_top_p                      ? o->top_p
                                                      : info->depth_top_p;
    r->depth_min_p = o->depth_min_p != CSM_FROM_MODEL ? o->depth_min_p
                     : has_min_p                      ? o->min_p
                                                      : info->depth_min_p;
    if (!(r->top_p > 0.0 && r->top_p <= 1.0 && r->depth_top_p > 0.0 && r->depth_top_p <= 1.0))
        return csm_fail(err, CSM_BAD_ARG, "top-p %g and %g: expected above 0, up to 1 (all)",
                        r->top_p, r->depth_top_p);
    if (!(r->min_p >= 0.0 && r->min_p <= 1.0 && r->depth_min_p >= 0.0 && r->depth_min_p <= 1.0))
        return csm_fail(err, CSM_BAD_ARG, "min-p %g and %g: expected 0 (all) to 1", r->min_p,
                        r->depth_min_p);
    if (!isfinite(r->temperature) || r->temperature < 0.0 || !isfinite(r->depth_temperature) ||
        r->depth_temperature < 0.0)
        return csm_fail(err, CSM_BAD_ARG, "temperature %g and %g: expected 0 (greedy) or more",
                        r->temperature, r->depth_temperature);
    if (r->top_k < 0 || r->depth_top_k < 0)
        return csm_fail(err, CSM_BAD_ARG, "top-k %d and %d: expected 0 (all) or more", r->top_k,
                        r->depth_top_k);
    return CSM_OK;
}

/* The dtype of the model's logits. torch keeps a model as it is stored; the other
 * engines compute in float32 what is not asked for in another type. */
static const char *logits_dtype(const csm_model_info *info)
{
    csm_precision p = info->precision;
    bool is_stored = p == CSM_PRECISION_STORED && strcmp(info->engine, "torch") == 0;
    if (p == CSM_PRECISION_BF16 || (is_stored && strcmp(info->stored_dtype, "BF16") == 0))
        return "bf16";
    if (p == CSM_PRECISION_F16 || (is_stored && strcmp(info->stored_dtype, "F16") == 0))
        return "f16";
    return "f32";
}

static csm_status choose_dtype(csm_generation *g, csm_dtype *dtype, csm_error *err)
{
    const char *name = g->options.dtype;
    if (name == NULL)
        name = logits_dtype(&g->model->info);
    static const struct {
        const char *name;
        csm_dtype dtype;
    } known[] = {{"f32", CSM_DTYPE_F32}, {"bf16", CSM_DTYPE_BF16}, {"f16", CSM_DTYPE_F16}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i].name) == 0) {
            *dtype = known[i].dtype;
            g->report.dtype = known[i].name;
            return CSM_OK;
        }
    return csm_fail(err, CSM_BAD_ARG, "sampling dtype '%s': expected f32, bf16 or f16", name);
}

/* Hybrid draws from the generator of PyTorch's device, as a reference does. */
static csm_status check_hybrid(const csm_generation *g, csm_sampler_options *config,
                               csm_error *err)
{
    const char *device = g->model->info.device;
    bool is_cuda = strncmp(device, "cuda", 4) == 0 || strcmp(device, "gpu") == 0;
    csm_stream_kind own = is_cuda ? CSM_STREAM_TORCH_CUDA : CSM_STREAM_TORCH_CPU;
    if (g->options.stream != NULL && config->stream != own)
        return csm_fail(err, CSM_BAD_ARG,
                        "strategy hybrid with stream %s: it draws from PyTorch's own, %s; "
                        "strategy exact reproduces others",
                        g->options.stream, csm_stream_name(own));
    if (config->sampler != CSM_SAMPLER_TRANSFORMERS && config->sampler != CSM_SAMPLER_SESAME)
        return csm_fail(err, CSM_BAD_ARG,
                        "strategy hybrid with sampler %s: expected transformers or sesame",
                        csm_sampler_name(config->sampler));
    if (g->options.min_frames > 0)
        return csm_fail(err, CSM_BAD_ARG,
                        "strategy hybrid with a least length: PyTorch's draws have none");
    const csm_report *r = &g->report;
    if (r->top_p < 1.0 || r->depth_top_p < 1.0 || r->min_p > 0.0 || r->depth_min_p > 0.0)
        return csm_fail(err, CSM_BAD_ARG,
                        "strategy hybrid with top-p or min-p: PyTorch's draws here have top-k "
                        "alone; strategy exact has both");
    config->stream = own;
    return CSM_OK;
}

/* Sampler and stream by name, or those of the strategy and the model's layout. */
static csm_status choose_sampler(csm_generation *g, csm_sampler_options *config,
                                 csm_error *err)
{
    const csm_generate_options *o = &g->options;
    bool is_pure = g->report.strategy == CSM_STRATEGY_PURE;
    bool is_hf = strcmp(g->model->info.layout, "hf") == 0;
    config->sampler = is_pure ? CSM_SAMPLER_CSM_MLX
                      : is_hf ? CSM_SAMPLER_TRANSFORMERS
                              : CSM_SAMPLER_SESAME;
    if (o->sampler != NULL)
        config->sampler = csm_sampler_find(o->sampler);
    if (config->sampler == CSM_SAMPLER_COUNT)
        return csm_fail(err, CSM_BAD_ARG,
                        "sampler '%s': expected transformers, sesame, csm-mlx or mlx-categorical",
                        o->sampler);
    bool is_mlx = config->sampler == CSM_SAMPLER_CSM_MLX ||
                  config->sampler == CSM_SAMPLER_MLX_CATEGORICAL;
    config->stream = is_mlx ? CSM_STREAM_MLX : CSM_STREAM_TORCH_CPU;
    if (o->stream != NULL)
        config->stream = csm_stream_find(o->stream);
    if (config->stream == CSM_STREAM_COUNT)
        return csm_fail(err, CSM_BAD_ARG,
                        "stream '%s': expected " CSM_STREAM_NAMES, o->stream);
    return g->report.strategy == CSM_STRATEGY_HYBRID ? check_hybrid(g, config, err) : CSM_OK;
}

csm_status csm_choose(csm_generation *g, csm_error *err)
{
    csm_sampler_options config = csm_sampler_defaults();
    csm_status st = choose_strategy(g, err);
    if (st == CSM_OK)
        st = choose_settings(g, err);
    if (st == CSM_OK)
        st = choose_dtype(g, &config.dtype, err);
    if (st == CSM_OK)
        st = choose_sampler(g, &config, err);
    if (st != CSM_OK)
        return st;

    csm_report *r = &g->report;
    const csm_model_info *info = &g->model->info;
    g->sampler_kind = config.sampler;
    g->sampler_dtype = config.dtype;
    r->engine = info->engine;
    r->engine_version = info->engine_version;
    r->codec_engine = info->codec_engine;
    r->guarded = "";
    r->sampler = csm_sampler_name(config.sampler);
    const char *version = g->options.mlx_version != NULL ? g->options.mlx_version : "newest known";
    snprintf(r->mlx_version, sizeof r->mlx_version, "%s",
             config.stream == CSM_STREAM_MLX ? version : "");
    bool is_greedy = r->temperature == 0.0 && r->depth_temperature == 0.0;
    r->stream = is_greedy ? "none" : csm_stream_name(config.stream);
    if (is_greedy)
        return CSM_OK;
    config.seed = r->seed;
    config.mlx_version = g->options.mlx_version;
    config.temperature = r->temperature > 0.0 ? r->temperature : r->depth_temperature;
    return csm_sampler_open(&config, &g->sampler, err);
}
