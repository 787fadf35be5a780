/* SPDX-License-Identifier: Apache-2.0
 *
 * numbers.h - the bits of floats, and rounding to bfloat16 and float16.
 *
 * Values of a 16-bit type travel as float32 (exact). Rounding is to nearest,
 * ties to even, overflow to infinity, subnormals kept, as PyTorch and MLX do. */
#ifndef CSM_SAMPLING_NUMBERS_H
#define CSM_SAMPLING_NUMBERS_H

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <csm/tensors.h>

static inline uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float float_of(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static inline uint64_t bits_of_double(double x)
{
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline double double_of(uint64_t u)
{
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static inline float round_bf16(float x)
{
    uint32_t u = bits_of(x);
    float rounded = float_of((u + 0x7fffu + (u >> 16 & 1)) & 0xffff0000u);
    return x != x ? x : rounded;
}

static inline float round_f16(float x)
{
    uint32_t u = bits_of(x);
    uint32_t magnitude = u & 0x7fffffffu, sign = u & 0x80000000u;
    uint32_t usual = (magnitude + 0xfffu + (magnitude >> 13 & 1)) & 0x7fffe000u;
    /* Below 2^-14 the spacing is 2^-24, float32's own just above 0.5. */
    uint32_t small = bits_of((float_of(magnitude) + 0.5f) - 0.5f);
    uint32_t rounded = magnitude < 0x38800000u ? small : usual;
    rounded = magnitude >= 0x477ff000u ? 0x7f800000u : rounded; /* 65520 and above */
    return x != x ? x : float_of(rounded | sign);
}

static inline float round_to(csm_dtype dtype, float x)
{
    switch (dtype) {
    case CSM_DTYPE_BF16:
        return round_bf16(x);
    case CSM_DTYPE_F16:
        return round_f16(x);
    default:
        return x;
    }
}

#endif
