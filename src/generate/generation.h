/* SPDX-License-Identifier: Apache-2.0
 *
 * generation.h - what a generation under way holds. */
#ifndef CSM_GENERATE_GENERATION_H
#define CSM_GENERATE_GENERATION_H

#include <csm/sampling.h>

#include "generate/guard.h"
#include "generate/model.h"
#include "generate/whole_frame.h"

struct csm_generation {
    csm_model *model;
    csm_generate_options options;
    csm_report report;
    char mlx_version[32];
    char fallback[1024]; /* the report's */

    csm_sampler_kind sampler_kind;
    csm_sampler *sampler; /* NULL when every draw is greedy */
    csm_dtype sampler_dtype;
    struct csm_whole_frame whole; /* all zero: frames are drawn part by part */

    struct csm_mimi_stream decoder; /* all zero without sound */
    int32_t *codes;   /* [n_codebooks] as drawn */
    int32_t *fed;     /* [n_codebooks] as the model goes on with */
    int32_t *heard;   /* [n_codebooks] as the codec is given them */
    float *margins;   /* [n_codebooks] */
    float *probs;     /* [n_codebooks] of the codes drawn */
    float *logits;    /* [n_codebooks, vocab] */
    float *all_probs; /* [n_codebooks, vocab] */
    float *samples;   /* [frame_samples] */

    struct csm_guard guard;
    size_t n_drawn; /* frames, with one that ended speech */
    bool is_done;
    double started_ms; /* on the monotonic clock */
};

/* The monotonic clock. */
double csm_now_ms(void);

/* How many times the random stream was drawn from; greedy draws take nothing. */
size_t csm_draws_so_far(const csm_generation *generation);

/* Draw code k of the frame from its logits: codes, margins, probs. In order. */
csm_status csm_generation_draw(csm_generation *generation, size_t k, csm_error *err);

/* csm_generation_start with a prompt that is there already; its arrays may be taken
 * over, the caller frees what is left. */
csm_status csm_generation_start_prompt(csm_model *model, struct csm_prompt *prompt,
                                       const csm_generate_options *options, csm_generation **out,
                                       csm_error *err);

#endif
