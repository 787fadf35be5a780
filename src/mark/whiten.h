/* SPDX-License-Identifier: Apache-2.0
 *
 * whiten.h - sound as a detector listens to it: brought to 8 kHz, its own shape taken
 * out, matched to what that leaves of the mark's shape, each sample weighed by how strong
 * the mark was beside what is left of the sound, then brought to 16 kHz, so that places
 * between two chips can be read. */
#ifndef CSM_MARK_WHITEN_H
#define CSM_MARK_WHITEN_H

#include "mark/rate.h"
#include "mark/shape.h"

enum { N_PULSE = 64, N_ECHO = 32 };

/* What a mark was shaped by. */
struct shaped {
    float a[N_ORDER], level;
};

struct whiten {
    struct rate down, up;
    struct shape shape;
    float pulse[N_PULSE];          /* of the shape's filter at 250 Hz */
    struct shaped shaped[2];       /* the shape one step and two steps ago, the newer first */
    float white[2 * N_STEP];       /* two steps, the newest last */
    float echo[N_ECHO];            /* what a chip became in the older of the two */
    float matched[N_PULSE + N_STEP]; /* weighed, the newest last */
};

void csm_mark_whiten_init(struct whiten *whiten, size_t factor);

/* N_STEP * factor samples to 2 * N_STEP, two steps and 11 ms late. */
void csm_mark_whiten_step(struct whiten *whiten, const float *samples, float out[2 * N_STEP]);

#endif
