/* SPDX-License-Identifier: Apache-2.0
 *
 * noise_ahead.h - the noise of the next frame, drawn while the engine works on
 * this one: noise does not depend on the logits. */
#ifndef CSM_GENERATE_NOISE_AHEAD_H
#define CSM_GENERATE_NOISE_AHEAD_H

#include <csm/sampling.h>

typedef struct csm_noise_ahead csm_noise_ahead;

/* Begin to draw frames of n_codebooks rows of `vocab` numbers each, as
 * csm_stream_fill gives them from `from` on, in a thread of its own. has_row says
 * for each row whether the stream is drawn from at all: greedy draws use none and
 * their rows are zero. CSM_NO_MEMORY; as csm_stream_open. */
csm_status csm_noise_ahead_start(const csm_stream_state *from, csm_dtype dtype,
                                 size_t n_codebooks, size_t vocab, const bool has_row[2],
                                 csm_noise_ahead **out, csm_error *err);

/* The next frame's noise [n_codebooks, vocab], valid until the next call. Errors
 * as csm_stream_fill. The thread does not go on by that, unless it has to. */
csm_status csm_noise_ahead_next(csm_noise_ahead *noise, const float **frame, csm_error *err);

/* Let the thread go on, where there is room: while the engine is at work, since many such threads
 * take the cores away from what leads to its next call. */
void csm_noise_ahead_go_on(csm_noise_ahead *noise);

/* What csm_noise_ahead_next will give, where that is there already, or NULL; valid until the
 * call after that one. */
const float *csm_noise_ahead_look(csm_noise_ahead *noise);

/* Takes NULL. */
void csm_noise_ahead_stop(csm_noise_ahead *noise);

#endif
