/* SPDX-License-Identifier: Apache-2.0
 *
 * exact_math.h - the elementary functions behind the samplers, bit for bit.
 *
 * Each is the scalar form of what a reference calls, written in single IEEE
 * operations and true fused multiply-adds, so that it gives the same bits on
 * every machine, whatever its libm. Names say whose it is:
 *
 *   sleef_   Sleef 3 (u10, FMA builds), which PyTorch's vector kernels call
 *   libm_    glibc 2.28 and later (the ARM optimized routines' forms)
 *   mlx_     mlx/backend/cpu/simd/math.h
 *
 * Checked against the libraries over every float of the domains stated. */
#ifndef CSM_SAMPLING_EXACT_MATH_H
#define CSM_SAMPLING_EXACT_MATH_H

#include "sampling/numbers.h"

/* exp(x) for x <= 0, -inf included. Checked: all floats of [-128, -0]. */
static inline float sleef_expf(float x)
{
    if (x < -104.0f)
        return 0.0f;
    float q = rintf(x * 1.44269504088896340736f);
    float s = fmaf(q, -0.693145751953125f, x);
    s = fmaf(q, -1.428606765330187045e-06f, s);
    float u = 0.000198527617612853646278381f;
    u = fmaf(u, s, 0.00139304355252534151077271f);
    u = fmaf(u, s, 0.00833336077630519866943359f);
    u = fmaf(u, s, 0.0416664853692054748535156f);
    u = fmaf(u, s, 0.166666671633720397949219f);
    u = fmaf(u, s, 0.5f);
    u = 1.0f + fmaf(s * s, u, s);
    /* 2^q in two factors, since q reaches -150 */
    int32_t n = (int32_t)q;
    int32_t half = n >> 1;
    return u * float_of((uint32_t)(half + 127) << 23) * float_of((uint32_t)(n - half + 127) << 23);
}

/* log(x) for positive normal x. Checked: all of them. */
float sleef_logf(float x);

/* exp(x) for x <= 0, -inf included. Checked: all floats of [-128, -0]. */
float libm_expf(float x);

/* log(x) for x >= 0: -inf of 0, +inf of +inf. Checked: all of them. */
float libm_logf(float x);

/* exp(x) for any x. Checked: all floats of [-100, -0]. */
static inline float mlx_expf(float x)
{
    if (x > 88.0f)
        return INFINITY;
    if (!(x >= -88.0f))
        return x != x ? x : 0.0f;
    float y = x * 1.442695f;
    float whole = (float)floor((double)y + 0.5);
    float part = y - whole;
    float p = 1.535336188319500e-4f;
    p = fmaf(p, part, 1.339887440266574e-3f);
    p = fmaf(p, part, 9.618437357674640e-3f);
    p = fmaf(p, part, 5.550332471162809e-2f);
    p = fmaf(p, part, 2.402264791363012e-1f);
    p = fmaf(p, part, 6.931472028550421e-1f);
    p = fmaf(p, part, 1.0f);
    return float_of((uint32_t)((int32_t)whole + 127) << 23) * p;
}

/* -log1p(-u) for u in [0, 1): glibc's (fdlibm's) with fused multiply-adds.
 * Checked: every bit of the double, 8 million arguments. */
double libm_neg_log1p_neg(double u);

#endif
