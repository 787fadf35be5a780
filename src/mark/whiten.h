/* SPDX-License-Identifier: Apache-2.0
 *
 * whiten.h - sound as a detector listens to it: brought to 8 kHz, its own shape taken
 * out, each sample weighed by how strong the mark was beside what is left of the sound,
 * then brought to 16 kHz, so that places between two chips can be read. */
#ifndef CSM_MARK_WHITEN_H
#define CSM_MARK_WHITEN_H

#include "mark/rate.h"
#include "mark/shape.h"

enum { N_PULSE = 64 };

struct whiten {
    struct rate down, up;
    struct shape shape;
    float pulse[N_PULSE];               /* of the shape's filter at 250 Hz */
    float white[N_PULSE + N_STEP]; /* at 8 kHz, the newest last */
    float levels[2]; /* of the shape one step and two steps ago, the newer first */
};

void csm_mark_whiten_init(struct whiten *whiten, size_t factor);

/* N_STEP * factor samples to 2 * N_STEP, one step and 11 ms late. */
void csm_mark_whiten_step(struct whiten *whiten, const float *samples, float out[2 * N_STEP]);

#endif
