/* SPDX-License-Identifier: Apache-2.0 */
#include "mark/whiten.h"

#include <math.h>
#include <string.h>

/* What stands out by more is cut to it: pulses of the voice, clicks. */
static const float HIGHEST = 2.0f;

/* A mark stays after a sound that ended; the weight that this gives has a bound. */
static const float HEAVIEST = 2.0f;

void csm_mark_whiten_init(struct whiten *w, size_t factor)
{
    memset(w, 0, sizeof *w);
    csm_mark_rate_init(&w->down, factor);
    csm_mark_rate_init(&w->up, 2);
    csm_mark_shape_pulse(w->pulse, N_PULSE);
    csm_mark_shape_init(&w->shape);
}

/* The step before the newest is made white: by then the shape's window lies around it. A
 * mark in it was made at a level between that of two steps before the newest and its own:
 * their geometric mean is taken, and weighed against the noise, which has the level now. */
void csm_mark_whiten_step(struct whiten *w, const float *samples, float out[2 * N_STEP])
{
    float x[N_STEP];
    csm_mark_rate_down(&w->down, samples, x);
    csm_mark_shape_update(&w->shape, x);
    const struct shape *s = &w->shape;
    const float *now = s->recent + N_WINDOW - 2 * N_STEP;
    memcpy(x, now, sizeof x);
    for (int k = 0; k < N_ORDER; k++)
        for (int i = 0; i < N_STEP; i++)
            x[i] += s->a[k] * now[i - 1 - k];
    const float scale = s->level > 0 ? 1 / s->level : 0;
    const float weight = sqrtf(fminf(w->levels[1] * scale, HEAVIEST));
    for (int i = 0; i < N_STEP; i++)
        x[i] = weight * fminf(fmaxf(x[i] * scale, -HIGHEST), HIGHEST);
    w->levels[1] = w->levels[0];
    w->levels[0] = s->level;
    /* Matched to the filter at 250 Hz, which the mark went through. */
    memmove(w->white, w->white + N_STEP, N_PULSE * sizeof *w->white);
    memcpy(w->white + N_PULSE, x, sizeof x);
    memset(x, 0, sizeof x);
    for (int k = 0; k < N_PULSE; k++)
        for (int i = 0; i < N_STEP; i++)
            x[i] += w->pulse[k] * w->white[i + k];
    csm_mark_rate_up(&w->up, x, out);
}
