/* SPDX-License-Identifier: Apache-2.0
 *
 * fp_blocks.h - MLX's modes mxfp4, mxfp8 and nvfp4 of one row: w = scale * value.
 *
 *   mxfp4  value e2m1 (4 bits), scale a power of two (e8m0), groups of 32
 *   mxfp8  value e4m3 (8 bits), scale a power of two (e8m0), groups of 32
 *   nvfp4  value e2m1 (4 bits), scale e4m3, groups of 16
 *
 * e2m1 has two bits of mantissa and e4m3 four, so a product of both has six, and
 * bfloat16, which has eight, holds every w without loss down to 2^-126. Below (an
 * mxfp8 of 2^-9 * 2^-127 at least) a w is rounded to bfloat16, as mx.dequantize does.
 *
 * Equal to mx.quantize and mx.dequantize on the CPU (mlx 0.32.4) for bfloat16 and
 * float16 rows, bit for bit. Evidence: tests/reference/test_mlx_formats.py. */
#ifndef CSM_BASE_FP_BLOCKS_H
#define CSM_BASE_FP_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

#include "base/numbers.h"
#include "base/weight_source.h"

/* A number e4m3. 0x7f, elsewhere NaN, is 480 in MLX. */
static inline float csm_from_e4m3(uint8_t code)
{
    float magnitude = csm_from_f16((uint16_t)((code & 0x7f) << 7)) * 256;
    return code & 0x80 ? -magnitude : magnitude;
}

/* A power of two e8m0: 2^(code - 127), infinity of 255. */
static inline float csm_from_e8m0(uint8_t code)
{
    return code == 0 ? 0x1p-127f : csm_float_of_bits((uint32_t)code << 23);
}

struct csm_fp_mode {
    enum csm_weight_format format;
    const char *name; /* as MLX says it */
    int bits, group;
};

/* The mode of a format or of that name; NULL: it is none of the three. */
const struct csm_fp_mode *csm_fp_mode(enum csm_weight_format format);
const struct csm_fp_mode *csm_fp_mode_named(const char *name);

/* Quantize one row.
 *
 *   row     [cols], values of `dtype` (BF16 or F16), in which MLX does its arithmetic
 *   codes   receives [cols] values of 4 or 8 bits
 *   scales  receives [cols / group] */
void csm_fp_quantize(const struct csm_fp_mode *mode, csm_dtype dtype, const float *row,
                     size_t cols, uint8_t *codes, uint8_t *scales);

/* What codes [cols] and scales [cols / group] stand for. */
void csm_fp_values(const struct csm_fp_mode *mode, const uint8_t *codes, const uint8_t *scales,
                   size_t cols, float *out);

#endif
