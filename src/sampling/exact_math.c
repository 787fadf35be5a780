/* SPDX-License-Identifier: Apache-2.0
 *
 * exact_math.c - the larger functions of exact_math.h. */
#include "sampling/exact_math.h"

/* atanh form: log(m) = 2 atanh((m - 1) / (m + 1)) with m in [0.75, 1.5), the
 * quotient in two floats (q and its error), plus e ln 2 in two floats. */
float csm_sleef_logf(float x)
{
    float e = (float)((int32_t)(csm_bits_of_float(x * (1.0f / 0.75f)) >> 23) - 127);
    float m = csm_float_of_bits((csm_bits_of_float(x) & 0x7fffffu) | 0x3f800000u);
    if (m >= 1.5f)
        m *= 0.5f;

    const float ln2 = 0.69314718246459960938f;
    const float ln2_rest = -1.904654323148236017e-09f;
    float shift = e * ln2;
    float shift_rest = fmaf(e, ln2_rest, fmaf(ln2, e, -shift));

    float above = m + -1.0f;
    float below = m + 1.0f;
    float inverse = 1.0f / below;
    float q = inverse * above;
    float below_rest = (1.0f - (below - (below + -1.0f))) + (m - (below + -1.0f));
    float back = above + 1.0f;
    float above_rest = (-1.0f - (above - back)) + (m - back);
    float q_rest = fmaf(fmaf(-below_rest, inverse, fmaf(-below, inverse, 1.0f)), q,
                        fmaf(above_rest, inverse, fmaf(inverse, above, -q)));
    float q2 = q * q;
    float p = 0.3027294874f;
    p = fmaf(p, q2, 0.3996108174f);
    p = fmaf(p, q2, 0.6666694880f);
    p = (q2 * q) * p;

    float twice = q + q;
    float s0 = twice + shift;
    float s1 = s0 + p;
    float rest = ((shift - s0) + twice) + shift_rest;
    rest = rest + (q_rest + q_rest);
    rest = rest + ((s0 - s1) + p);
    return rest + s1;
}

/* 2^(i/32) as a double's bits, less i << 47, so that adding k << 47 for
 * k = 32 n + i gives 2^(k/32). */
static const uint64_t exp2_table[32] = {
    0x3ff0000000000000, 0x3fefd9b0d3158574, 0x3fefb5586cf9890f, 0x3fef9301d0125b51,
    0x3fef72b83c7d517b, 0x3fef54873168b9aa, 0x3fef387a6e756238, 0x3fef1e9df51fdee1,
    0x3fef06fe0a31b715, 0x3feef1a7373aa9cb, 0x3feedea64c123422, 0x3feece086061892d,
    0x3feebfdad5362a27, 0x3feeb42b569d4f82, 0x3feeab07dd485429, 0x3feea47eb03a5585,
    0x3feea09e667f3bcd, 0x3fee9f75e8ec5f74, 0x3feea11473eb0187, 0x3feea589994cce13,
    0x3feeace5422aa0db, 0x3feeb737b0cdc5e5, 0x3feec49182a3f090, 0x3feed503b23e255d,
    0x3feee89f995ad3ad, 0x3feeff76f2fb5e47, 0x3fef199bdd85529c, 0x3fef3720dcef9069,
    0x3fef5818dcfba487, 0x3fef7c97337b9b5f, 0x3fefa4afa2a490da, 0x3fefd0765b6e4540,
};

float csm_libm_expf(float x)
{
    if (x < -0x1.9fe368p6f)
        return 0.0f;
    const double per_step = 0x1.71547652b82fep+0 * 32;
    double k = rint((double)x * per_step);
    /* One float of the domain tells this fused form from the plain one. */
    double r = fma((double)x, per_step, -k);
    uint64_t step = (uint64_t)(int64_t)k;
    double scale = csm_double_of_bits(exp2_table[step & 31] + (step << 47));
    double c0 = 0x1.c6af84b912394p-5 / 32 / 32 / 32;
    double c1 = 0x1.ebfce50fac4f3p-3 / 32 / 32;
    double c2 = 0x1.62e42ff0c52d6p-1 / 32;
    double y = (c0 * r + c1) * (r * r) + (c2 * r + 1.0);
    return (float)(y * scale);
}

/* 1/c and log c for c near the middle of each of 16 intervals. */
static const double log_table[16][2] = {
    {0x1.661ec79f8f3bep+0, -0x1.57bf7808caadep-2}, {0x1.571ed4aaf883dp+0, -0x1.2bef0a7c06ddbp-2},
    {0x1.49539f0f010bp+0, -0x1.01eae7f513a67p-2},  {0x1.3c995b0b80385p+0, -0x1.b31d8a68224e9p-3},
    {0x1.30d190c8864a5p+0, -0x1.6574f0ac07758p-3}, {0x1.25e227b0b8eap+0, -0x1.1aa2bc79c81p-3},
    {0x1.1bb4a4a1a343fp+0, -0x1.a4e76ce8c0e5ep-4}, {0x1.12358f08ae5bap+0, -0x1.1973c5a611cccp-4},
    {0x1.0953f419900a7p+0, -0x1.252f438e10c1ep-5}, {0x1p+0, 0x0p+0},
    {0x1.e608cfd9a47acp-1, 0x1.aa5aa5df25984p-5},  {0x1.ca4b31f026aap-1, 0x1.c5e53aa362eb4p-4},
    {0x1.b2036576afce6p-1, 0x1.526e57720db08p-3},  {0x1.9c2d163a1aa2dp-1, 0x1.bc2860d22477p-3},
    {0x1.886e6037841edp-1, 0x1.1058bc8a07ee1p-2},  {0x1.767dcf5534862p-1, 0x1.4043057b6ee09p-2},
};

float csm_libm_logf(float x)
{
    if (x == 1.0f)
        return 0.0f;
    if (x == 0.0f)
        return -INFINITY;
    uint32_t u = csm_bits_of_float(x);
    if (u == 0x7f800000u)
        return x;
    if (u < 0x00800000u)
        u = csm_bits_of_float(x * 0x1p23f) - (23u << 23);
    uint32_t offset = u - 0x3f330000u;
    uint32_t i = offset >> 19 & 15;
    int32_t k = (int32_t)offset >> 23;
    double z = (double)csm_float_of_bits(u - (offset & 0xff800000u));
    double r = z * log_table[i][0] - 1.0;
    double y0 = log_table[i][1] + (double)k * 0x1.62e42fefa39efp-1;
    double r2 = r * r;
    double y = 0x1.5575b0be00b6ap-2 * r + -0x1.ffffef20a4123p-2;
    y = -0x1.00ea348b88334p-2 * r2 + y;
    y = y * r2 + (y0 + r);
    return (float)y;
}
