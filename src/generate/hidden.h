/* SPDX-License-Identifier: Apache-2.0
 *
 * hidden.h - hidden states, gathered as a generation computes them. */
#ifndef CSM_GENERATE_HIDDEN_H
#define CSM_GENERATE_HIDDEN_H

#include <csm/csm.h>

/* All zero, but for n_frames and n_codebooks, is the beginning. */
struct csm_hidden_states {
    size_t n_frames;    /* tensors of frames from this one on are not kept */
    size_t n_codebooks; /* rows that a frame has in the depth decoder */
    csm_hidden *tensors; /* [n_tensors] in the order in which they came: that of computation.
                          * Names and data are owned */
    size_t n_tensors;
    size_t *rooms; /* [n_tensors] rows that there is memory for */
    bool has_no_memory; /* then some are missing */
};

/* One call of an observer, with its arguments. Rows go where their position and frame
 * say, so that what is computed again (after a fallback) takes the old one's place. */
void csm_hidden_keep(struct csm_hidden_states *states, const char *name, size_t frame, size_t at,
                     const float *data, size_t rows, size_t cols);
void csm_hidden_free(struct csm_hidden_states *states);

#endif
