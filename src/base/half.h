/* SPDX-License-Identifier: Apache-2.0
 *
 * half.h - bfloat16 and float16 as they lie in files, widened to float32. */
#ifndef CSM_BASE_HALF_H
#define CSM_BASE_HALF_H

#include <stdint.h>
#include <string.h>

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

#endif
