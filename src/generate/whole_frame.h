/* SPDX-License-Identifier: Apache-2.0
 *
 * whole_frame.h - a frame by the engine's own operation over all of it, where it
 * has one: one evaluation instead of one a codebook. */
#ifndef CSM_GENERATE_WHOLE_FRAME_H
#define CSM_GENERATE_WHOLE_FRAME_H

#include <stdbool.h>

#include "engine/engine.h"
#include "generate/noise_ahead.h"

struct csm_slot;

/* All zero: frames are drawn part by part. */
struct csm_whole_frame {
    bool is_used;
    const struct csm_engine *engine;
    struct csm_frame_draw draw;
    int32_t *codes;         /* [n_codebooks] as the engine drew them */
    float *logits;          /* [n_codebooks, vocab] */
    csm_noise_ahead *noise; /* of a race */
    size_t k;               /* codes of the frame that are settled */
    bool has_parted;        /* the last of these is not the engine's: what it drew behind is not right */
    const int32_t *forced;  /* of the frame, or NULL */
};

/* Whether this generation's frames can be drawn whole, and all that it needs:
 * the engine has the operation, nobody watches hidden states, and the sampler is
 * the engine's own or one that races. Nothing is left open when this failed. */
csm_status csm_whole_frame_open(csm_generation *generation, csm_error *err);
void csm_whole_frame_close(struct csm_whole_frame *whole);

/* Before a frame is asked for: its noise, and what is known of it. */
csm_status csm_whole_frame_begin(csm_generation *generation, const int32_t *forced, csm_error *err);

/* After the engine gave the first n codes and their logits: draw them again, into the slot, those
 * that are not settled yet. Once all were given, all are settled (whole.k is n_codebooks), or the
 * frame is to be asked for again. `rows` as for csm_drawing_draw. */
csm_status csm_whole_frame_judge(csm_generation *generation, size_t n, struct csm_slot *slot, float *rows,
                                 csm_error *err);

#endif
