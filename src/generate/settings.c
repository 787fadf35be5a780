/* SPDX-License-Identifier: Apache-2.0 */
#include "generate/settings.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <csm/experimental.h>

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

static const struct {
    const char *name;
    csm_dtype dtype;
} dtypes[] = {{"f32", CSM_DTYPE_F32}, {"bf16", CSM_DTYPE_BF16}, {"f16", CSM_DTYPE_F16}};

const char *csm_settings_dtype_name(csm_dtype dtype)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (dtypes[i].dtype == dtype)
            return dtypes[i].name;
    return "?";
}

/* PyTorch's own draws: the engine is over libtorch. */
static bool has_torch(const struct csm_traits *traits)
{
    return traits->own_draws == CSM_OWN_TORCH;
}

static csm_status choose_strategy(const struct csm_host *host, const csm_generate_options *o,
                                  struct csm_settings *s, csm_error *err)
{
    s->strategy = o->strategy;
    s->reason = "asked for";
    s->is_asked = o->strategy != CSM_STRATEGY_AUTO || host->is_asked;
    if (o->strategy == CSM_STRATEGY_AUTO) {
        s->strategy = host->strategy;
        s->reason = host->reason;
        if (s->strategy == CSM_STRATEGY_PURE && !host->is_asked && csm_exact_sampling_enabled()) {
            s->strategy = CSM_STRATEGY_EXACT;
            s->reason = "exact sampling is switched on for the process";
        }
    }
    if ((unsigned)s->strategy > CSM_STRATEGY_HYBRID)
        return csm_fail(err, CSM_BAD_ARG, "strategy: %d, expected one of csm_strategy",
                        (int)s->strategy);
    if (s->strategy == CSM_STRATEGY_HYBRID && !has_torch(host->traits))
        return csm_fail(err, CSM_BAD_ARG,
                        "strategy hybrid on engine %s: expected a model opened on engine torch",
                        host->engine.ops->name);
    return CSM_OK;
}

static double first_of(double asked, double otherwise)
{
    return asked != CSM_FROM_MODEL ? asked : otherwise;
}

/* The depth decoder's: as asked for it, else as asked for the first, else the model's. */
static double depth_of(double asked, double first, double otherwise)
{
    return asked != CSM_FROM_MODEL ? asked : first_of(first, otherwise);
}

static csm_status check_draw(const struct csm_draw_settings *d, const char *whose, csm_error *err)
{
    if (!isfinite(d->temperature) || d->temperature < 0.0)
        return csm_fail(err, CSM_BAD_ARG, "%stemperature %g: expected 0 (greedy) or more", whose,
                        d->temperature);
    if (d->top_k < 0)
        return csm_fail(err, CSM_BAD_ARG, "%stop-k %d: expected 0 (all) or more", whose, d->top_k);
    if (!(d->top_p > 0.0 && d->top_p <= 1.0))
        return csm_fail(err, CSM_BAD_ARG, "%stop-p %g: expected above 0, up to 1 (all)", whose,
                        d->top_p);
    if (!(d->min_p >= 0.0 && d->min_p <= 1.0))
        return csm_fail(err, CSM_BAD_ARG, "%smin-p %g: expected 0 (all) to 1", whose, d->min_p);
    return CSM_OK;
}

static csm_status choose_draws(const csm_model_info *info,
                               const struct csm_generation_config *generation,
                               const csm_generate_options *o, struct csm_settings *s,
                               csm_error *err)
{
    s->first.temperature = first_of(o->temperature, info->temperature);
    s->first.top_k = (int)first_of(o->top_k, info->top_k);
    s->first.top_p = first_of(o->top_p, info->top_p);
    s->first.min_p = first_of(o->min_p, info->min_p);
    s->depth.temperature = depth_of(o->depth_temperature, o->temperature, info->depth_temperature);
    s->depth.top_k = (int)depth_of(o->depth_top_k, o->top_k, info->depth_top_k);
    s->depth.top_p = depth_of(o->depth_top_p, o->top_p, info->depth_top_p);
    s->depth.min_p = depth_of(o->depth_min_p, o->min_p, info->depth_min_p);
    s->first.cutoffs = generation->cutoffs;
    s->depth.cutoffs = generation->depth_cutoffs;
    s->first.rules = generation->rules.is_any ? &generation->rules : NULL;
    s->depth.rules = generation->depth_rules.is_any ? &generation->depth_rules : NULL;
    s->is_greedy = s->first.temperature == 0.0 && s->depth.temperature == 0.0;
    csm_status st = check_draw(&s->first, "", err);
    return st == CSM_OK ? check_draw(&s->depth, "depth decoder's ", err) : st;
}

static bool has_cutoffs(const struct csm_draw_settings *d)
{
    const csm_cutoffs *c = &d->cutoffs;
    return c->top_h > 0.0 || c->typical_p > 0.0 || c->epsilon > 0.0 || c->eta > 0.0;
}

static bool is_cut(const struct csm_draw_settings *d)
{
    return d->top_p < 1.0 || d->min_p > 0.0 || has_cutoffs(d) || d->rules != NULL;
}

bool csm_settings_cut(const struct csm_settings *s)
{
    return is_cut(&s->first) || is_cut(&s->depth);
}

/* The dtype of the model's logits: that of the activations, where the engine keeps them as
 * they are stored; the others compute in float32 what is not asked for in another type. */
static const char *logits_dtype(const struct csm_host *host, const csm_model_info *info)
{
    const csm_precision p = host->precision;
    const bool is_stored = p == CSM_PRECISION_STORED && host->traits->as_stored;
    if (p == CSM_PRECISION_BF16 || (is_stored && strcmp(info->stored_dtype, "BF16") == 0))
        return "bf16";
    if (p == CSM_PRECISION_F16 || (is_stored && strcmp(info->stored_dtype, "F16") == 0))
        return "f16";
    return "f32";
}

static csm_status choose_dtype(const struct csm_host *host, const csm_model_info *info,
                               const csm_generate_options *o, struct csm_settings *s,
                               csm_error *err)
{
    const char *name = o->dtype != NULL ? o->dtype : logits_dtype(host, info);
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(name, dtypes[i].name) == 0) {
            s->dtype = dtypes[i].dtype;
            return CSM_OK;
        }
    return csm_fail(err, CSM_BAD_ARG, "sampling dtype '%s': expected f32, bf16 or f16", name);
}

/* Hybrid draws from the generator of PyTorch's device, as a reference does. */
static csm_status check_hybrid(const struct csm_host *host, const csm_generate_options *o,
                               struct csm_settings *s, csm_error *err)
{
    const csm_stream_kind own = host->traits->own_stream;
    if (o->stream != NULL && s->stream != own)
        return csm_fail(err, CSM_BAD_ARG,
                        "strategy hybrid with stream %s: it draws from PyTorch's own, %s; "
                        "strategy exact reproduces others",
                        o->stream, csm_stream_name(own));
    if (s->sampler != CSM_SAMPLER_TRANSFORMERS && s->sampler != CSM_SAMPLER_SESAME)
        return csm_fail(err, CSM_BAD_ARG,
                        "strategy hybrid with sampler %s: expected transformers or sesame",
                        csm_sampler_name(s->sampler));
    if (s->min_frames > 0)
        return csm_fail(err, CSM_BAD_ARG,
                        "strategy hybrid with a least length: PyTorch's draws have none");
    if (csm_settings_cut(s))
        return csm_fail(err, CSM_BAD_ARG,
                        "strategy hybrid with top-p, min-p or another rule of "
                        "generation_config.json: PyTorch's draws here have top-k alone; strategy "
                        "exact has the others");
    s->stream = own;
    return CSM_OK;
}

/* Sampler and stream by name, or those of the strategy and the model's layout. */
static csm_status choose_sampler(const struct csm_host *host, const csm_model_info *info,
                                 const csm_generate_options *o, struct csm_settings *s,
                                 csm_error *err)
{
    const bool is_pure = s->strategy == CSM_STRATEGY_PURE;
    const bool is_hf = strcmp(info->layout, "hf") == 0;
    s->sampler = is_pure ? CSM_SAMPLER_CSM_MLX
                 : is_hf ? CSM_SAMPLER_TRANSFORMERS
                         : CSM_SAMPLER_SESAME;
    if (o->sampler != NULL)
        s->sampler = csm_sampler_find(o->sampler);
    if (s->sampler == CSM_SAMPLER_COUNT)
        return csm_fail(err, CSM_BAD_ARG,
                        "sampler '%s': expected transformers, sesame, csm-mlx or mlx-categorical",
                        o->sampler);
    const bool is_mlx =
        s->sampler == CSM_SAMPLER_CSM_MLX || s->sampler == CSM_SAMPLER_MLX_CATEGORICAL;
    s->stream = is_mlx ? CSM_STREAM_MLX : CSM_STREAM_TORCH_CPU;
    if (o->stream != NULL)
        s->stream = csm_stream_find(o->stream);
    if (s->stream == CSM_STREAM_COUNT)
        return csm_fail(err, CSM_BAD_ARG,
                        "stream '%s': expected " CSM_STREAM_NAMES, o->stream);
    return s->strategy == CSM_STRATEGY_HYBRID ? check_hybrid(host, o, s, err) : CSM_OK;
}

csm_status csm_settings_make(const struct csm_host *host, const csm_model *model,
                             const csm_generate_options *o, struct csm_settings *s, csm_error *err)
{
    const csm_model_info *const info = &model->info;
    *s = (struct csm_settings){.seed = o->seed,
                               .max_frames = o->max_frames,
                               .min_frames = o->min_frames,
                               .n_ahead = o->n_ahead,
                               .is_live = o->is_live,
                               .has_guard = o->has_guard,
                               .has_sound = !o->without_sound,
                               .keep_logits = o->keep_logits,
                               .keep_probs = o->keep_probs};
    if (o->n_ahead < 1 || o->n_ahead > 1 << 16)
        return csm_fail(err, CSM_BAD_ARG, "frames ahead: %zu, expected 1 to 65536", o->n_ahead);
    if (o->min_frames > o->max_frames)
        return csm_fail(err, CSM_BAD_ARG, "%zu frames at least, expected no more than the %zu at most",
                        o->min_frames, o->max_frames);
    csm_status st = choose_strategy(host, o, s, err);
    if (st == CSM_OK)
        st = choose_draws(info, &csm_checkpoint_config(model->checkpoint)->generation, o, s, err);
    if (st == CSM_OK)
        st = choose_dtype(host, info, o, s, err);
    if (st == CSM_OK)
        st = choose_sampler(host, info, o, s, err);
    if (st == CSM_OK && o->mlx_version != NULL &&
        snprintf(s->mlx_version, sizeof s->mlx_version, "%s", o->mlx_version) >=
            (int)sizeof s->mlx_version)
        st = csm_fail(err, CSM_BAD_ARG, "MLX version: '%s', expected X.Y.Z", o->mlx_version);
    return st;
}

csm_status csm_settings_sampler(const struct csm_settings *s, csm_sampler **out, csm_error *err)
{
    csm_sampler_options options = csm_sampler_defaults();
    *out = NULL;
    if (s->is_greedy)
        return CSM_OK;
    options.sampler = s->sampler;
    options.stream = s->stream;
    /* Of transformers' draws the dtype is that of the logits, which rules come after. */
    const bool is_rounded = s->sampler == CSM_SAMPLER_TRANSFORMERS &&
                            (s->first.rules != NULL || s->depth.rules != NULL);
    options.dtype = is_rounded ? CSM_DTYPE_F32 : s->dtype;
    options.seed = s->seed;
    options.temperature =
        s->first.temperature > 0.0 ? s->first.temperature : s->depth.temperature;
    options.top_p = s->first.top_p < 1.0 ? s->first.top_p : s->depth.top_p;
    options.min_p = s->first.min_p > 0.0 ? s->first.min_p : s->depth.min_p;
    options.cutoffs = has_cutoffs(&s->first) ? s->first.cutoffs : s->depth.cutoffs;
    options.mlx_version = s->mlx_version[0] != '\0' ? s->mlx_version : NULL;
    return csm_sampler_open(&options, out, err);
}
