/* SPDX-License-Identifier: Apache-2.0
 *
 * generation.h - what a generation under way holds. */
#ifndef CSM_GENERATE_GENERATION_H
#define CSM_GENERATE_GENERATION_H

#include <stdatomic.h>

#include <csm/csm.h>
#include <csm/experimental.h>

#include "generate/guard.h"
#include "generate/model.h"
#include "generate/whole_frame.h"

struct csm_generation {
    csm_model *model;
    csm_generate_options options;
    csm_report report;

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

    size_t utterance; /* of a batch: which */
    struct csm_guard guard;
    size_t n_drawn; /* frames, with one that ended speech */
    bool is_done;
    bool is_taken_over; /* by another generation of the model */
    atomic_bool is_cancelled;
    csm_frame frame; /* handed over last */
    double started_ms; /* on the monotonic clock */
};

/* The monotonic clock. */
double csm_now_ms(void);

/* How many times the random stream was drawn from; greedy draws take nothing. */
size_t csm_draws_so_far(const csm_generation *generation);

/* All that a generation needs but its prompt: choices, sampler, decoder. Errors as
 * csm_generation_open, which has the arguments. */
csm_status csm_generation_prepare(csm_model *model, const csm_turn *context, size_t n_context,
                                  const char *text, const csm_generate_options *options,
                                  csm_generation **out, csm_error *err);

/* Whether a prompt and max_frames fit in the model's positions: CSM_OK, CSM_BAD_ARG. */
csm_status csm_check_room(const csm_model *model, size_t n_prompt, size_t max_frames,
                          csm_error *err);

/* Draw code k of the frame from its logits: codes, margins, probs. In order. */
csm_status csm_generation_draw(csm_generation *generation, size_t k, csm_error *err);

/* What follows the draws of a frame: whether speech has ended, sound, the guard,
 * on_frame. Arguments and errors as csm_generation_next. */
csm_status csm_generation_take(csm_generation *generation, csm_frame *frame, bool *has_frame,
                               csm_error *err);

/* Whether no frame is to come. */
bool csm_generation_is_over(const csm_generation *generation);

/* csm_generation_open with a prompt that is there already; its arrays may be taken
 * over, the caller frees what is left. */
csm_status csm_generation_start_prompt(csm_model *model, struct csm_prompt *prompt,
                                       const csm_generate_options *options, csm_generation **out,
                                       csm_error *err);

#endif
