/* SPDX-License-Identifier: Apache-2.0
 *
 * affine.h - MLX's affine quantization of one row: w = scale * q + bias, one
 * scale and bias for each group of 32, 64 or 128 neighbours, q of 1 to 6 or 8 bits.
 *
 * Equal to mx.quantize on the CPU (mlx 0.32.4) for float32, bfloat16 and float16
 * rows, bit for bit: the rule is float32 throughout; scale and bias are rounded
 * to the row's type at the end, after q was computed with the unrounded ones.
 * Evidence: tests/reference/test_quantize.py. */
#ifndef CSM_BASE_AFFINE_H
#define CSM_BASE_AFFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether MLX has this format and a row of `cols` can have it. */
bool csm_affine_fits(int bits, int group, size_t cols);

/* Whether it can be read: MLX's, and groups of 16, which types of ggml have. */
bool csm_affine_is_read(int bits, int group, size_t cols);

/* Quantize one row.
 *
 *   row            [cols]
 *   codes          receives [cols] numbers below 2^bits
 *   scales, biases receive [cols / group], not rounded */
void csm_affine_quantize(const float *row, size_t cols, int bits, int group, uint8_t *codes,
                         float *scales, float *biases);

/* Between codes and MLX's packed words, one stream of bits with the little end first;
 * cols * bits % 32 == 0, and of what is unpacked cols % 8 == 0. */
void csm_affine_pack(const uint8_t *codes, size_t cols, int bits, uint32_t *words);
void csm_affine_unpack(const uint32_t *words, size_t cols, int bits, uint8_t *codes);

#endif
