/* SPDX-License-Identifier: Apache-2.0
 *
 * half.h - bfloat16 and float16 as they lie in files, widened to float32, and
 * rounded from it, to nearest even. NaN stays NaN. */
#ifndef CSM_BASE_HALF_H
#define CSM_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float csm_float_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t csm_bits_of_float(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float csm_from_bf16(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Exact for every value: the half's exponent and mantissa, moved to their places
 * in a float, are 2^-112 times the value; the product is exact, subnormal halves
 * included. */
static inline float csm_from_f16(uint16_t half)
{
    uint32_t bits = (uint32_t)(half & 0x7fff) << 13;
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    x *= 0x1p112f;
    memcpy(&bits, &x, sizeof bits);
    if ((half & 0x7c00) == 0x7c00)
        bits |= 0x7f800000u; /* infinity, NaN */
    bits |= sign;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint16_t csm_to_bf16(float x)
{
    uint32_t b = csm_bits_of_float(x);
    if ((b & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(b >> 16 | 0x40);
    return (uint16_t)((b + 0x7fff + (b >> 16 & 1)) >> 16);
}

static inline uint16_t csm_to_f16(float x)
{
    uint32_t b = csm_bits_of_float(x);
    uint16_t sign = (uint16_t)(b >> 16 & 0x8000);
    b &= 0x7fffffffu;
    if (b > 0x7f800000u)
        return sign | 0x7e00;
    if (b >= 0x477ff000u) /* 65520 and more round to infinity */
        return sign | 0x7c00;
    if (b < 0x38800000u) /* subnormal: adding 1/2 puts the unit of 2^-24 last */
        return (uint16_t)(sign | (csm_bits_of_float(csm_float_of_bits(b) + 0.5f) - 0x3f000000u));
    b += 0xfff + (b >> 13 & 1);
    return (uint16_t)(sign | ((b - 0x38000000u) >> 13));
}

#endif
