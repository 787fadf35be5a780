/* SPDX-License-Identifier: Apache-2.0
 *
 * whiten.c - A makes the sound white, with what noise it has; the chips of the mark, which
 * 1 / A' of an earlier and cleaner sound has shaped, become A / A'. Against white noise
 * nothing does better than to match that filter: each place is the sum of what follows
 * it, weighed by what A / A' answers to one chip. */
#include "mark/whiten.h"

#include <math.h>
#include <string.h>

/* What stands out by more is cut to it: pulses of the voice, clicks. */
static const float HIGHEST = 1.5f;

/* A mark stays after a sound that ended; the weight that this gives has a bound. */
static const float HEAVIEST = 2.0f;

/* The shape's poles are taken out where they were pulled to 0.93 * this, nearer to where the
 * sound has them: it is whiter then. */
static const float SHARPEN = 1.04f;

void csm_mark_whiten_init(struct whiten *w, size_t factor)
{
    memset(w, 0, sizeof *w);
    csm_mark_rate_init(&w->down, factor);
    csm_mark_rate_init(&w->up, 2);
    csm_mark_shape_pulse(w->pulse, N_PULSE);
    csm_mark_shape_init(&w->shape);
}

/* out[i] += sum_k taps[k] x[i + k] */
static void match(const float *taps, int n_taps, const float *x, float out[N_STEP])
{
    for (int k = 0; k < n_taps; k++)
        for (int i = 0; i < N_STEP; i++)
            out[i] += taps[k] * x[i + k];
}

/* The first of what A / A' answers to one, times weight; nothing where it does not end. */
static void find_echo(const float a[N_ORDER], const float shaped[N_ORDER], float weight,
                      float echo[N_ECHO])
{
    float power = 0;
    for (int i = 0; i < N_ECHO; i++) {
        echo[i] = i == 0 ? weight : i <= N_ORDER ? weight * a[i - 1] : 0;
        for (int k = 1; k <= N_ORDER && k <= i; k++)
            echo[i] -= shaped[k - 1] * echo[i - k];
        power += echo[i] * echo[i];
    }
    if (!isfinite(power))
        memset(echo, 0, N_ECHO * sizeof *echo);
}

/* The step before the newest is made white: by then the shape's window lies around it. A
 * mark in it was made from the shape of two steps before the newest, and is weighed by its
 * level against the noise, which has the level now. */
void csm_mark_whiten_step(struct whiten *w, const float *samples, float out[2 * N_STEP])
{
    float x[N_STEP];
    csm_mark_rate_down(&w->down, samples, x);
    csm_mark_shape_update(&w->shape, x);
    const struct shape *s = &w->shape;
    const float *now = s->recent + N_WINDOW - 2 * N_STEP;
    float a[N_ORDER], factor = 1;
    for (int k = 0; k < N_ORDER; k++)
        a[k] = s->a[k] * (factor *= SHARPEN);
    memcpy(x, now, sizeof x);
    for (int k = 0; k < N_ORDER; k++)
        for (int i = 0; i < N_STEP; i++)
            x[i] += a[k] * now[i - 1 - k];
    const float scale = s->level > 0 ? 1 / s->level : 0;
    memmove(w->white, w->white + N_STEP, N_STEP * sizeof *w->white);
    for (int i = 0; i < N_STEP; i++)
        w->white[N_STEP + i] = fminf(fmaxf(x[i] * scale, -HIGHEST), HIGHEST);

    memset(x, 0, sizeof x);
    match(w->echo, N_ECHO, w->white, x);
    find_echo(a, w->shaped[1].a, fminf(w->shaped[1].level * scale, HEAVIEST), w->echo);
    w->shaped[1] = w->shaped[0];
    memcpy(w->shaped[0].a, s->a, sizeof s->a);
    w->shaped[0].level = s->level;

    /* Matched to the filter at 250 Hz, which the mark went through. */
    memmove(w->matched, w->matched + N_STEP, N_PULSE * sizeof *w->matched);
    memcpy(w->matched + N_PULSE, x, sizeof x);
    memset(x, 0, sizeof x);
    match(w->pulse, N_PULSE, w->matched, x);
    float phases[2][N_STEP];
    csm_mark_rate_up(&w->up, x, phases);
    for (int i = 0; i < 2 * N_STEP; i++)
        out[i] = phases[i % 2][i / 2];
}
