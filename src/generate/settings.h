/* SPDX-License-Identifier: Apache-2.0
 *
 * settings.h - what a generation goes by: the options, generation_config and the defaults made
 * one, once, and const from there. */
#ifndef CSM_GENERATE_SETTINGS_H
#define CSM_GENERATE_SETTINGS_H

#include <csm/sampling.h>

#include "generate/model.h"

/* Of the draws of codebook 0, or of the others. */
struct csm_draw_settings {
    double temperature; /* 0: greedy */
    int top_k;          /* 0: all */
    double top_p;       /* 1: all */
    double min_p;       /* 0: all */
    csm_cutoffs cutoffs;
    const struct csm_code_rules *rules; /* before any of these; the model's, NULL for none */
};

struct csm_settings {
    csm_strategy strategy; /* never AUTO */
    const char *reason;    /* one line, static or the model's */
    bool is_asked;         /* the options or the model's named the strategy */
    uint64_t seed;
    struct csm_draw_settings first, depth;
    csm_sampler_kind sampler;
    csm_stream_kind stream;
    csm_dtype dtype; /* F32, BF16, F16 */
    bool is_greedy;  /* every draw */
    char mlx_version[32]; /* "": the newest known */
    size_t max_frames, min_frames, n_ahead;
    bool is_live;
    bool has_guard, has_sound, keep_logits, keep_probs;
};

/* For a model on an engine. CSM_BAD_ARG names the option. */
csm_status csm_settings_make(const struct csm_host *host, const csm_model *model,
                             const csm_generate_options *options, struct csm_settings *settings,
                             csm_error *err);

/* Whether a draw is cut by more than its top-k, or has rules. */
bool csm_settings_cut(const struct csm_settings *settings);

/* The name that options and reports have for a dtype: "f32", "bf16", "f16". */
const char *csm_settings_dtype_name(csm_dtype dtype);

/* The sampler that they name, as seeded; NULL where all draws are greedy. */
csm_status csm_settings_sampler(const struct csm_settings *settings, csm_sampler **out,
                                csm_error *err);

#endif
