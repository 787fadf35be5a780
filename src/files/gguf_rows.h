/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_rows.h - rows of ggml's quantized types as affine codes, w = scale * code + bias with
 * one scale and bias for each group of neighbours: the form that MLX's formats have too.
 *
 *   type              bits  group  scale                    bias
 *   q4_0, q5_0, q8_0  4 5 8   32   d                        -8 d, -16 d, -128 d
 *   q4_1, q5_1        4 5     32   d                        m
 *   q4_k, q5_k        4 5     32   d * sc                   -(dmin * m)
 *   q2_k              2       16   d * sc                   -(dmin * m)
 *   q3_k, q6_k        3 6     16   d * sc                   -4 (d * sc), -32 (d * sc)
 *
 * Nothing is lost: d, m and dmin have 11 bits and sc and m at most 8, so scale and bias are
 * exact in float32, and scale * code is too (24 bits at most); the sum is rounded once where
 * ggml rounds it once, so that scale * code + bias in float32 is, bit for bit, what ggml's
 * reference and the gguf package (0.19) make of the block.
 * Evidence: tests/unit/test_gguf.c, tests/reference/test_gguf.py. */
#ifndef CSM_FILES_GGUF_ROWS_H
#define CSM_FILES_GGUF_ROWS_H

#include "files/gguf.h"

/* Of a code, and neighbours that share a scale; both 0 of floats. */
struct csm_gguf_affine {
    int bits, group;
};
struct csm_gguf_affine csm_gguf_affine(enum csm_gguf_type type);

/* A row of n values of a quantized type.
 *
 *   blocks          the row's first
 *   codes           receives [n]
 *   scales, biases  receive [n / group] */
void csm_gguf_codes(enum csm_gguf_type type, const void *blocks, size_t n, uint8_t *codes,
                    float *scales, float *biases);

#endif
