/* SPDX-License-Identifier: Apache-2.0
 *
 * rope.h - rotary positions, as parameters: an engine that must equal a reference
 * bit for bit computes the table in that reference's arithmetic. */
#ifndef CSM_BASE_ROPE_H
#define CSM_BASE_ROPE_H

#include <stdbool.h>

/* f_i = theta^(-2i / head_dim). With `factor`, frequencies are rescaled as Llama 3
 * does: a wavelength below original_max_positions / high_freq_factor keeps its
 * frequency, one above original_max_positions / low_freq_factor has it divided by
 * factor, between them it is a blend of both. */
struct csm_rope {
    double theta;
    double factor; /* 0: no rescaling */
    double low_freq_factor;
    double high_freq_factor;
    double original_max_positions;
    bool interleaved; /* pairs (2i, 2i+1) as Sesame and kyutai; else (i, i + head_dim/2) as HF */
};

#endif
