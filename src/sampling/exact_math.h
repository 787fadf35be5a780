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

#include "base/numbers.h"

/* exp(x) for x <= 0, -inf included. Checked: all floats of [-128, -0]. */
static inline float sleef_expf(float x)
{
    float y = x < -104.0f ? -104.0f : x; /* keeps q an integer; the result is 0 */
    float q = rintf(y * 1.44269504088896340736f);
    float s = fmaf(q, -0.693145751953125f, y);
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
    u = u * csm_float_of_bits((uint32_t)(half + 127) << 23) * csm_float_of_bits((uint32_t)(n - half + 127) << 23);
    return x < -104.0f ? 0.0f : u;
}

/* log(x) for positive normal x. Checked: all of them. */
float csm_sleef_logf(float x);

/* exp(x) for x <= 0, -inf included. Checked: all floats of [-128, -0]. */
float csm_libm_expf(float x);

/* log(x) for x >= 0: -inf of 0, +inf of +inf. Checked: all of them. */
float csm_libm_logf(float x);

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
    return csm_float_of_bits((uint32_t)((int32_t)whole + 127) << 23) * p;
}

/* -log1p(-u) for u in [0, 1): glibc's (fdlibm's) with fused multiply-adds.
 * Checked: every bit of the double, 8 million arguments.
 *
 * With 1 - u = 2^k (1 + f): log1p(f) = f - (f^2/2 - s (f^2/2 + R(s^2))) and
 * s = f / (2 + f), plus k ln 2 in two doubles and c, what the rounding of 1 - u
 * lost. No branches, so that loops over it become vectors: where glibc branches,
 * both values are made and one is taken. */
static inline double libm_neg_log1p_neg(double u)
{
    const double ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;
    double x = -u;
    /* Down to 1 - u = 0.7071 nothing is scaled: k = 0 and f = -u. */
    bool is_scaled = (csm_bits_of_double(u) >> 32) > 0x3fd2bec3u;
    double v = 1.0 + x;
    uint64_t bits = csm_bits_of_double(v);
    uint64_t fraction = bits >> 32 & 0xfffffu;
    bool is_low = fraction < 0x6a09eu; /* f in [0, 0.414), else in [-0.293, 0) */
    uint64_t exponent = is_low ? UINT64_C(0x3ff00000) : UINT64_C(0x3fe00000);
    double scaled = csm_double_of_bits((fraction | exponent) << 32 | (bits & 0xffffffffu));
    /* The exponent of v, -53 to 0, as a double: the bits of 2^52 + that + 1023. */
    double v_exponent = csm_double_of_bits((bits >> 52 & 0x7ff) | UINT64_C(0x4330000000000000)) -
                        (0x1p52 + 1023.0);
    double k = is_scaled ? v_exponent + (is_low ? 0.0 : 1.0) : 0.0;
    double lost = v_exponent > 0.0 ? 1.0 - (v - x) : x - (v - 1.0);
    double c = is_scaled ? lost / v : 0.0;
    double f = is_scaled ? scaled - 1.0 : x;

    double half_square = 0.5 * f * f;
    double s = f / (2.0 + f);
    double z = s * s;
    double z2 = z * z, z4 = z2 * z2, z6 = z4 * z2;
    double r2 = fma(z, 0x1.2492494229359p-2, 0x1.999999997fa04p-2);
    double r3 = fma(z, 0x1.7466496cb03dep-3, 0x1.c71c51d8e78afp-3);
    double r4 = fma(z, 0x1.2f112df3e5244p-3, 0x1.39a09d078c69fp-3);
    double r = fma(z, 0x1.5555555555593p-1, z2 * r2);
    r = fma(z4, r3, r);
    r = fma(z6, r4, r);
    double rest = fma(k, ln2_low, c);
    double p = (half_square + r) * s;
    double usual = -fma(k, ln2_high, -((half_square - (rest + p)) - f));

    double cubic = half_square * fma(f, -0.66666666666666666, 1.0);
    double near_power = -fma(k, ln2_high, -((cubic - rest) - f)); /* |f| < 2^-20 */
    uint64_t distance = is_low ? fraction : (0x100000u - fraction) >> 2;
    double tiny = u < 0x1p-54 ? u : -(x - x * x * 0.5);
    double result = is_scaled && distance == 0 ? near_power : usual;
    return u < 0x1p-29 ? tiny : result;
}

#endif
