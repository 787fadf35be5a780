/* SPDX-License-Identifier: Apache-2.0
 *
 * weight_row.h - the numbers of a stored weight, whatever its format. */
#ifndef CSM_CHECKPOINT_WEIGHT_ROW_H
#define CSM_CHECKPOINT_WEIGHT_ROW_H

#include <stdint.h>

#include "base/weight_source.h"

/* Rows and columns: the first axis and all others together, as numbers. */
size_t csm_weight_rows(const struct csm_weight_source *source);
size_t csm_weight_cols(const struct csm_weight_source *source);

/* n values into `data` of that type (F32, BF16, F16), rounded to nearest. */
void csm_floats_store(const float *values, size_t n, csm_dtype dtype, void *data);

/* One row in float32.
 *
 *   out    [cols]
 *   codes  scratch [cols] */
void csm_weight_row(const struct csm_weight_source *source, size_t row, float *out, uint8_t *codes);

/* The type of floats that the weight's program computes with: the tensor's, or
 * that of a quantized one (quantized_row.h). */
csm_dtype csm_weight_dtype(const struct csm_weight_source *source);

#endif
