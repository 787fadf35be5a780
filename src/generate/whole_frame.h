/* SPDX-License-Identifier: Apache-2.0
 *
 * whole_frame.h - a frame by the engine's own operation over all of it, where it
 * has one: one evaluation instead of one a codebook. */
#ifndef CSM_GENERATE_WHOLE_FRAME_H
#define CSM_GENERATE_WHOLE_FRAME_H

#include <stdbool.h>

#include "engine/engine.h"
#include "generate/noise_ahead.h"

typedef struct csm_generation csm_generation;

/* All zero: frames are drawn part by part. */
struct csm_whole_frame {
    bool is_used;
    const struct csm_engine *engine;
    struct csm_frame_parts parts;
    struct csm_frame_draw draw;
    int32_t *codes;         /* [n_codebooks] as the engine drew them */
    csm_noise_ahead *noise; /* of a race */
};

/* Whether this generation's frames can be drawn whole, and all that it needs:
 * the engine has the operation, nobody watches hidden states, and the sampler is
 * the engine's own or one that races. */
csm_status csm_whole_frame_open(csm_generation *generation, csm_error *err);
void csm_whole_frame_close(struct csm_whole_frame *whole);

/* The generation's next frame: codes, logits, margins, probs, fed. */
csm_status csm_whole_frame_draw(csm_generation *generation, const int32_t *forced, csm_error *err);

#endif
