/* SPDX-License-Identifier: Apache-2.0
 *
 * shape.h - the shape of sound at 8 kHz over its last 20 ms: linear prediction of order
 * 10 (autocorrelation, Levinson-Durbin). 1 / A is the envelope of its spectrum, under
 * which a mark hides; A makes it white again, so that a mark stands out. */
#ifndef CSM_MARK_SHAPE_H
#define CSM_MARK_SHAPE_H

#include "mark/rate.h"

enum { N_ORDER = 10, N_WINDOW = 160 };

struct shape {
    float window[N_WINDOW];
    float high_pass[2];      /* state of the filter at 250 Hz */
    float recent[N_WINDOW];  /* above 250 Hz, the newest last */
    float a[N_ORDER];        /* A(z) = 1 + sum a[k] z^-(k+1) */
    float level;             /* of what A leaves, root mean square */
};

void csm_mark_shape_init(struct shape *shape);

/* What the filter at 250 Hz answers to one pulse. */
void csm_mark_shape_pulse(float *out, int n);

/* The next N_STEP samples. Sound that is not finite counts as silence. */
void csm_mark_shape_update(struct shape *shape, const float samples[N_STEP]);

#endif
