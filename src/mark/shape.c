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

void csm_mark_shape_pulse(float *out, int n)
{
    struct high_pass h = {0};
    for (int i = 0; i < n; i++)
        out[i] = high_pass(&h, i == 0 ? 1.0f : 0.0f);
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
    float above[N_STEP];
    for (int i = 0; i < N_STEP; i++)
        above[i] = high_pass(&s->high_pass, samples[i]);
    csm_mark_shape_take(s, above);
}

void csm_mark_shape_take(struct shape *s, const float above[N_STEP])
{
    memmove(s->recent, s->recent + N_STEP, (N_WINDOW - N_STEP) * sizeof *s->recent);
    memcpy(s->recent + N_WINDOW - N_STEP, above, N_STEP * sizeof *above);
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
        s->high_pass = (struct high_pass){0};
    }
    float factor = 1;
    for (int k = 0; k < N_ORDER; k++)
        s->a[k] = a[k] * (factor *= PULL);
    /* The window's mean square is 3/8. */
    s->level = sqrtf(error / (0.375f * N_WINDOW));
}
