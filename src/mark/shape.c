/* SPDX-License-Identifier: Apache-2.0 */
#include "mark/shape.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "mark/sums.h"

/* The window rises over 15 ms and falls over the newest 5: what is new counts soon. */
enum { N_RISE = 120 };
static const double PI = 3.14159265358979323846;

/* Added to the power of each sample, so that digital silence has a shape: -100 dB; and
 * relative to the power, so that the recursion stays well conditioned: -40 dB. */
static const float FLOOR = 1e-10f, RELATIVE_FLOOR = 1e-4f;

/* Poles are pulled in by this factor: bandwidths grow by 180 Hz. */
static const float PULL = 0.93f;

void csm_mark_shape_init(struct shape *s)
{
    memset(s, 0, sizeof *s);
    for (int i = 0; i < N_WINDOW; i++) {
        const double x =
            i < N_RISE ? (i + 0.5) / N_RISE : (N_WINDOW - i - 0.5) / (N_WINDOW - N_RISE);
        s->window[i] = (float)(0.5 - 0.5 * cos(PI * x));
    }
}

/* Butterworth of second order, 250 Hz at 8 kHz, by the bilinear transform. */
static void high_pass(struct shape *s, const float *in, float *out)
{
    const float b = 0.87033078f, a1 = -1.72377617f, a2 = 0.75754694f;
    float s1 = s->high_pass[0], s2 = s->high_pass[1];
    for (int i = 0; i < N_STEP; i++) {
        const float x = isfinite(in[i]) ? in[i] : 0, y = b * x + s1;
        s1 = s2 - 2 * b * x - a1 * y;
        s2 = b * x - a2 * y;
        out[i] = y;
    }
    s->high_pass[0] = s1;
    s->high_pass[1] = s2;
}

void csm_mark_shape_pulse(float *out, int n)
{
    struct shape s = {0};
    float in[N_STEP] = {1}, step[N_STEP];
    for (int i = 0; i < n; i++) {
        if (i % N_STEP == 0)
            high_pass(&s, in, step);
        in[0] = 0;
        out[i] = step[i % N_STEP];
    }
}

/* Levinson's recursion from order m to m + 1. Called with constants: no loops are left. */
static inline void raise_order(float a[N_ORDER], const float r[N_ORDER + 1], float *error, int m)
{
    float sum = r[m + 1], turned[N_ORDER];
    for (int k = 0; k < m; k++)
        sum += a[k] * r[m - k];
    const float reflection = -sum / *error;
    for (int k = 0; k < m; k++)
        turned[k] = a[k] + reflection * a[m - 1 - k];
    for (int k = 0; k < m; k++)
        a[k] = turned[k];
    a[m] = reflection;
    *error *= 1 - reflection * reflection;
}

void csm_mark_shape_update(struct shape *s, const float samples[N_STEP])
{
    memmove(s->recent, s->recent + N_STEP, (N_WINDOW - N_STEP) * sizeof *s->recent);
    high_pass(s, samples, s->recent + N_WINDOW - N_STEP);
    float x[N_WINDOW + 16] = {0}, r[N_ORDER + 1]; /* the sound ends with the window */
    for (int i = 0; i < N_WINDOW; i++)
        x[i] = s->recent[i] * s->window[i];
    csm_mark_sums()->lags(x, r);
    r[0] += RELATIVE_FLOOR * r[0] + FLOOR * N_WINDOW;

    float a[N_ORDER] = {0}, error = r[0];
    static_assert(N_ORDER == 10, "one line for each order");
    raise_order(a, r, &error, 0);
    raise_order(a, r, &error, 1);
    raise_order(a, r, &error, 2);
    raise_order(a, r, &error, 3);
    raise_order(a, r, &error, 4);
    raise_order(a, r, &error, 5);
    raise_order(a, r, &error, 6);
    raise_order(a, r, &error, 7);
    raise_order(a, r, &error, 8);
    raise_order(a, r, &error, 9);
    if (!(error > 0 && isfinite(error))) { /* beyond what floats hold: no shape */
        memset(a, 0, sizeof a);
        error = 0;
        memset(s->recent, 0, sizeof s->recent);
        memset(s->high_pass, 0, sizeof s->high_pass);
    }
    float factor = 1;
    for (int k = 0; k < N_ORDER; k++)
        s->a[k] = a[k] * (factor *= PULL);
    /* The window's mean square is 3/8. */
    s->level = sqrtf(error / (0.375f * N_WINDOW));
}
