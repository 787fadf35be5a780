/* SPDX-License-Identifier: Apache-2.0
 *
 * shape.h - the shape of sound at 8 kHz over its last 20 ms: linear prediction of order
 * 10 (autocorrelation, Levinson-Durbin). 1 / A is the envelope of its spectrum, under
 * which a mark hides; A makes it white again, so that a mark stands out. */
#ifndef CSM_MARK_SHAPE_H
#define CSM_MARK_SHAPE_H

#include <math.h>

#include "mark/rate.h"

enum { N_ORDER = 10, N_WINDOW = 160 };

/* State of the filter at 250 Hz. */
struct high_pass {
    float s1, s2;
};

/* Its next sample: Butterworth of second order, 250 Hz at 8 kHz, by the bilinear
 * transform. What is not finite counts as silence. */
static inline float high_pass(struct high_pass *h, float in)
{
    const float b = 0.87033078f, a1 = -1.72377617f, a2 = 0.75754694f;
    const float x = isfinite(in) ? in : 0, y = b * x + h->s1;
    h->s1 = h->s2 - 2 * b * x - a1 * y;
    h->s2 = b * x - a2 * y;
    return y;
}

struct shape {
    float window[N_WINDOW];
    struct high_pass high_pass;
    float recent[N_WINDOW];  /* above 250 Hz, the newest last */
    float a[N_ORDER];        /* A(z) = 1 + sum a[k] z^-(k+1) */
    float level;             /* of what A leaves, root mean square */
};

void csm_mark_shape_init(struct shape *shape);

/* What the filter at 250 Hz answers to one pulse. */
void csm_mark_shape_pulse(float *out, int n);

/* The next N_STEP samples. Sound that is not finite counts as silence. */
void csm_mark_shape_update(struct shape *shape, const float samples[N_STEP]);

/* The same, of samples that went through shape->high_pass already. */
void csm_mark_shape_take(struct shape *shape, const float above[N_STEP]);

#endif
