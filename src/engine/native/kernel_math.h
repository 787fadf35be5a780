/* SPDX-License-Identifier: Apache-2.0
 *
 * kernel_math.h - what is the same C in every kernel table, for the compiler to
 * put into that table's registers: functions, norms, digits, attention.
 *
 * No library function but sqrtf, rintf and fmaf, whose results IEEE 754 fixes; so
 * every compiler and instruction set gives the same bits. The polynomials are
 * weighted Chebyshev fits made for this file; errors were measured against
 * double over the whole range and are asserted in tests/unit/test_kernels.c. */
#ifndef CSM_NATIVE_KERNEL_MATH_H
#define CSM_NATIVE_KERNEL_MATH_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/numbers.h"
#include "engine/native/kernels.h"

enum { LANES = 16 };

/* 16 lanes to their sum, in the order of kernels.h. */
static inline float fold(const float lanes[LANES])
{
    float a[8];
    for (int l = 0; l < 8; l++)
        a[l] = lanes[l] + lanes[l + 8];
    for (int l = 0; l < 4; l++)
        a[l] += a[l + 4];
    return (a[0] + a[2]) + (a[1] + a[3]);
}

/* x = n * ln 2 + r; returns expm1(r). |x| < 104. */
static inline float expm1_reduced(float x, int32_t *n)
{
    const float to_int = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    float shifted = x * 1.44269504f + to_int;
    float whole = shifted - to_int;
    *n = (int32_t)(csm_bits_of_float(shifted) - 0x4b400000u);

    float r = fmaf(whole, -0.693359375f, x); /* ln 2 in two parts, the first exact times n */
    r = fmaf(whole, 2.12194440e-4f, r);
    float p = 1.9916198e-4f;
    p = fmaf(p, r, 1.39461271e-3f);
    p = fmaf(p, r, 8.33326858e-3f);
    p = fmaf(p, r, 4.16662693e-2f);
    p = fmaf(p, r, 1.66666672e-1f);
    p = fmaf(p, r, 0.5f);
    return fmaf(p * r, r, r);
}

static inline float power_of_two(int32_t n) /* normal */
{
    return csm_float_of_bits((uint32_t)(n + 127) << 23);
}

/* e^x: 0 below -104, infinity above 88.8, NaN of NaN. */
static inline float exp_f(float x)
{
    x = x < -104.0f ? -104.0f : x;
    x = x > 89.0f ? 89.0f : x;
    int32_t n;
    float m = expm1_reduced(x, &n);
    int32_t half = n >> 1; /* 2^n itself may lie outside float32 */
    return (1.0f + m) * power_of_two(half) * power_of_two(n - half);
}

static inline float silu_f(float x)
{
    return x / (1.0f + exp_f(-x));
}

/* e^x - 1 below 0, x above. Below -20 it is -1, so that 2^n is one normal number. */
static inline float elu_f(float x)
{
    int32_t n;
    float m = expm1_reduced(x < -20.0f ? -20.0f : (x > 0.0f ? 0.0f : x), &n);
    float two_n = power_of_two(n);
    float below = fmaf(m, two_n, two_n - 1.0f);
    return x > 0.0f ? x : below;
}

static inline float erf_f(float x)
{
    float t = fabsf(x), s = x * x;
    float near = -9.68013046e-6f; /* |x| < 1: x + x * polynomial of x^2 */
    near = fmaf(near, s, 1.12705427e-4f);
    near = fmaf(near, s, -8.48471129e-4f);
    near = fmaf(near, s, 5.22107491e-3f);
    near = fmaf(near, s, -2.68654451e-2f);
    near = fmaf(near, s, 1.12837829e-1f);
    near = fmaf(near, s, -3.76126379e-1f);
    near = fmaf(near, s, 1.28379166e-1f);
    near = fmaf(near, x, x);

    float u = t < 4.0f ? t : 4.0f; /* 1..4: 1 - exp(polynomial); 1 from 4 on */
    float far = 8.3306378e-7f;
    far = fmaf(far, u, -3.32530581e-5f);
    far = fmaf(far, u, 5.10258833e-4f);
    far = fmaf(far, u, -4.43488220e-3f);
    far = fmaf(far, u, 2.56805494e-2f);
    far = fmaf(far, u, -1.09027430e-1f);
    far = fmaf(far, u, -6.32737756e-1f);
    far = fmaf(far, u, -1.12979293f);
    far = fmaf(far, u, 2.29135228e-4f);
    far = 1.0f - exp_f(far);
    far = x < 0.0f ? -far : far;
    return t < 1.0f ? near : (t >= 1.0f ? far : x); /* NaN of NaN */
}

static inline void silu_times(float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gate[i] = silu_f(gate[i]) * up[i];
}

static inline void gelu(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = 0.5f * x[i] * (1.0f + erf_f(x[i] * 0.707106781f));
}

static inline void elu(const float *x, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = elu_f(x[i]);
}

static inline void mix(const float *restrict x, size_t n, float *restrict mixed)
{
    const float *x0 = x, *x1 = x + n, *x2 = x + 2 * n, *x3 = x + 3 * n;
    for (size_t i = 0; i < n; i++) {
        mixed[2 * i] = x1[i] + x2[i];
        mixed[2 * i + 1] = x2[i] - x1[i];
        mixed[2 * n + 2 * i] = x0[i] - x2[i];
        mixed[2 * n + 2 * i + 1] = x3[i] - x1[i];
    }
}

static inline void norm_rms(const float *x, const float *scale, size_t n, float eps, float *out)
{
    float squares[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            squares[l] = fmaf(x[i + l], x[i + l], squares[l]);
    for (size_t l = 0; i + l < n; l++)
        squares[l] = fmaf(x[i + l], x[i + l], squares[l]);
    float root = 1.0f / sqrtf(fold(squares) / (float)n + eps);
    for (i = 0; i < n; i++)
        out[i] = x[i] * root * scale[i];
}

static inline void norm_layer(const float *x, const float *scale, const float *bias, size_t n, float eps,
                       float *out)
{
    float sums[LANES] = {0}, squares[LANES] = {0};
    for (size_t i = 0; i < n; i++)
        sums[i % LANES] += x[i];
    float mean = fold(sums) / (float)n;
    for (size_t i = 0; i < n; i++) {
        float d = x[i] - mean;
        squares[i % LANES] = fmaf(d, d, squares[i % LANES]);
    }
    float root = 1.0f / sqrtf(fold(squares) / (float)n + eps);
    for (size_t i = 0; i < n; i++)
        out[i] = (x[i] - mean) * root * scale[i] + bias[i];
}

static inline void to_digits(const float *x, size_t n_groups, size_t group, int8_t *planes, float *steps,
                      float *sums)
{
    const float most = 32639.0f;
    for (size_t g = 0; g < n_groups; g++, x += group, planes += CSM_PLANES * group) {
        uint32_t bits = 0; /* magnitudes are ordered as their bits are */
        for (size_t i = 0; i < group; i++) {
            uint32_t magnitude = csm_bits_of_float(x[i]) & 0x7fffffffu;
            bits = magnitude > bits ? magnitude : bits;
        }
        float largest = csm_float_of_bits(bits);
        if (!(largest < INFINITY)) {
            memset(planes, 0, CSM_PLANES * group);
            steps[g] = sums[g] = NAN;
            continue;
        }
        largest = largest < 0x1p-95f ? 0x1p-95f : largest; /* so that no step is subnormal */
        float step = largest / most, per_step = most / largest;
        int32_t sum = 0;
        int8_t low[CSM_MOST_GROUP], high[CSM_MOST_GROUP];
        for (size_t i = 0; i < group; i++) {
            int32_t v = (int32_t)rintf(x[i] * per_step);
            sum += v;
            low[i] = (int8_t)(uint8_t)(v & 255);
            high[i] = (int8_t)((v - low[i]) >> 8);
        }
        for (size_t i = 0; i < group; i += 8) {
            memcpy(planes + CSM_PLANES * i, low + i, 8);
            memcpy(planes + CSM_PLANES * i + 8, high + i, 8);
        }
        steps[g] = step;
        sums[g] = (float)sum * step;
    }
}

/* scores[i] is the product with position from + i and becomes its weight, 0 for what is not
 * in first..end-1; from and to are multiples of 16. Returns one over the weights' sum. */
static inline float attend_weights(float *scores, size_t from, size_t to, size_t first, size_t end,
                                   float scale)
{
    size_t n = to - from;
    float most[LANES], sums[LANES] = {0}, largest = -INFINITY;
    for (size_t l = 0; l < LANES; l++)
        most[l] = -INFINITY;
    for (size_t i = 0; i < n; i += LANES)
        for (size_t l = 0; l < LANES; l++) {
            size_t p = from + i + l;
            float score = p >= first && p < end ? scores[i + l] * scale : -INFINITY;
            scores[i + l] = score;
            most[l] = score > most[l] ? score : most[l];
        }
    for (size_t l = 0; l < LANES; l++)
        largest = most[l] > largest ? most[l] : largest;
    for (size_t i = 0; i < n; i += LANES)
        for (size_t l = 0; l < LANES; l++) {
            scores[i + l] = exp_f(scores[i + l] - largest);
            sums[l] += scores[i + l];
        }
    return 1.0f / fold(sums);
}

static inline void attend_one(const float *q, const struct kv_view *kv, size_t first, size_t end,
                              float scale, float *scores, float *out)
{
    size_t dim = kv->head_dim;
    size_t first_block = first / LANES, end_block = (end + LANES - 1) / LANES;
    for (size_t b = first_block; b < end_block; b++) {
        const float *keys = kv->pages[b % kv->n_pages] + kv->keys;
        float dots[LANES] = {0};
        for (size_t d = 0; d < dim; d++)
            for (size_t l = 0; l < LANES; l++)
                dots[l] = fmaf(q[d], keys[d * LANES + l], dots[l]);
        memcpy(scores + (b - first_block) * LANES, dots, sizeof dots);
    }
    float inverse = attend_weights(scores, first_block * LANES, end_block * LANES, first, end, scale);
    memset(out, 0, dim * sizeof *out);
    for (size_t p = first; p < end; p++) {
        const float *v = kv->pages[p / LANES % kv->n_pages] + kv->values + p % LANES * dim;
        float weight = scores[p - first_block * LANES];
        for (size_t d = 0; d < dim; d++)
            out[d] = fmaf(weight, v[d], out[d]);
    }
    for (size_t d = 0; d < dim; d++)
        out[d] *= inverse;
}

static inline void attend(const float *q, size_t n, const struct kv_view *kv, size_t first, size_t end,
                          float scale, float *scores, float *out)
{
    for (size_t i = 0; i < n; i++)
        attend_one(q + i * kv->head_dim, kv, first, end, scale, scores, out + i * kv->head_dim);
}

/* As many sums as compilers keep in vectors. */
static inline uint64_t touch(const void *bytes, size_t n)
{
    const uint64_t *words = bytes;
    uint64_t sums[LANES] = {0}, sum = 0;
    for (size_t i = 0; i < n / 8; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            sums[l] ^= words[i + l];
    for (size_t l = 0; l < LANES; l++)
        sum ^= sums[l];
    return sum;
}

#endif
