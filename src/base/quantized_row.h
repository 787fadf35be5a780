/* SPDX-License-Identifier: Apache-2.0
 *
 * quantized_row.h - what one row of a quantized weight stands for. */
#ifndef CSM_BASE_QUANTIZED_ROW_H
#define CSM_BASE_QUANTIZED_ROW_H

#include <stdint.h>

#include "base/weight_source.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Whether the three tensors of a quantized matrix of rows of `cols` numbers are what its
 * format says, in types and bytes. */
bool csm_quantized_fits(const struct csm_weight_source *source, size_t rows, size_t cols);

/* The row's numbers in float32.
 *
 *   source  quantized, fitting
 *   out     [cols]
 *   codes   scratch [cols] */
void csm_quantized_row(const struct csm_weight_source *source, size_t row, size_t cols, float *out,
                       uint8_t *codes);

/* The narrowest type of floats that holds all of them: that of an affine one's scales,
 * else BF16. */
csm_dtype csm_quantized_dtype(const struct csm_weight_source *source);

/* "affine", or the mode's name. */
const char *csm_quantized_mode(const struct csm_weight_source *source);

#ifdef __cplusplus
}
#endif
#endif
