/* SPDX-License-Identifier: Apache-2.0
 *
 * numbers.h - the bits of floats, the 16-bit floats, and numbers as text.
 *
 * bfloat16 and float16 lie in files as 16 bits and travel as float32 (exact).
 * Rounding is to nearest, ties to even, overflow to infinity, subnormals kept, as
 * PyTorch and MLX do. Text is that of the C locale, whatever setlocale() was told:
 * what csm writes can be read anywhere, and by itself. */
#ifndef CSM_BASE_NUMBERS_H
#define CSM_BASE_NUMBERS_H

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <csm/tensors.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "csm reads safetensors, npy and WAV in place: it needs a little-endian processor"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- bits ------------------------------------------------------------------ */

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

static inline double csm_double_of_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint64_t csm_bits_of_double(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* ---- 16-bit floats --------------------------------------------------------- */

static inline float csm_from_bf16(uint16_t half)
{
    return csm_float_of_bits((uint32_t)half << 16);
}

/* Exact for every value: the half's exponent and mantissa, moved to their places
 * in a float, are 2^-112 times the value; the product is exact, subnormal halves
 * included. */
static inline float csm_from_f16(uint16_t half)
{
    float x = csm_float_of_bits((uint32_t)(half & 0x7fff) << 13) * 0x1p112f;
    uint32_t bits = csm_bits_of_float(x);
    if ((half & 0x7c00) == 0x7c00)
        bits |= 0x7f800000u; /* infinity, NaN */
    return csm_float_of_bits(bits | (uint32_t)(half & 0x8000) << 16);
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

/* The same rounding without the way through 16 bits, and without a branch, so that
 * rows of it are vectorised; NaN stays the NaN it was. */
static inline float csm_round_bf16(float x)
{
    uint32_t u = csm_bits_of_float(x);
    float rounded = csm_float_of_bits((u + 0x7fffu + (u >> 16 & 1)) & 0xffff0000u);
    return x != x ? x : rounded;
}

static inline float csm_round_f16(float x)
{
    uint32_t u = csm_bits_of_float(x);
    uint32_t magnitude = u & 0x7fffffffu, sign = u & 0x80000000u;
    uint32_t usual = (magnitude + 0xfffu + (magnitude >> 13 & 1)) & 0x7fffe000u;
    /* Below 2^-14 the spacing is 2^-24, float32's own just above 0.5. */
    uint32_t small = csm_bits_of_float((csm_float_of_bits(magnitude) + 0.5f) - 0.5f);
    uint32_t rounded = magnitude < 0x38800000u ? small : usual;
    rounded = magnitude >= 0x477ff000u ? 0x7f800000u : rounded; /* 65520 and above */
    return x != x ? x : csm_float_of_bits(rounded | sign);
}

static inline float csm_round_to(csm_dtype dtype, float x)
{
    switch (dtype) {
    case CSM_DTYPE_BF16:
        return csm_round_bf16(x);
    case CSM_DTYPE_F16:
        return csm_round_f16(x);
    default:
        return x;
    }
}

/* ---- elements -------------------------------------------------------------- */

static inline bool csm_is_float(csm_dtype dtype)
{
    return dtype == CSM_DTYPE_F64 || dtype == CSM_DTYPE_F32 || dtype == CSM_DTYPE_F16 || dtype == CSM_DTYPE_BF16;
}

/* Element i of a tensor of floats, F64 rounded to float32 (many: csm_tensor_floats). */
static inline float csm_element(const csm_tensor *t, size_t i)
{
    switch (t->dtype) {
    case CSM_DTYPE_F64:
        return (float)((const double *)t->data)[i];
    case CSM_DTYPE_F16:
        return csm_from_f16(((const uint16_t *)t->data)[i]);
    case CSM_DTYPE_BF16:
        return csm_from_bf16(((const uint16_t *)t->data)[i]);
    default:
        return ((const float *)t->data)[i];
    }
}

/* ---- text ------------------------------------------------------------------ */

/* snprintf, fprintf and vfprintf, with a point in every number. What prints a
 * number with a fraction uses these and no other (a test looks). */
int csm_format(char *text, size_t size, const char *format, ...) CSM_PRINTF(3, 4);
int csm_vformat(char *text, size_t size, const char *format, va_list args) CSM_PRINTF(3, 0);
int csm_print(FILE *to, const char *format, ...) CSM_PRINTF(2, 3);
int csm_vprint(FILE *to, const char *format, va_list args) CSM_PRINTF(2, 0);

/* The number that the whole text is, with a point for its fraction; false, and
 * *value as it was, for anything else, infinities and NaN included. */
bool csm_read_number(const char *text, double *value);
bool csm_read_float(const char *text, float *value); /* rounded once */

#ifdef __cplusplus
}
#endif
#endif
