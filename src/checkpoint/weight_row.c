/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/weight_row.h"

#include <string.h>

#include "base/numbers.h"
#include "base/quantized_row.h"

size_t csm_weight_rows(const struct csm_weight_source *source)
{
    return source->tensor.rank == 0 ? 1 : source->tensor.shape[0];
}

size_t csm_weight_cols(const struct csm_weight_source *source)
{
    size_t cols = 1;
    for (size_t i = 1; i < source->tensor.rank; i++)
        cols *= source->tensor.shape[i];
    return source->format == CSM_WEIGHT_FLOAT ? cols : cols * 32 / (size_t)source->bits;
}

void csm_floats_store(const float *values, size_t n, csm_dtype dtype, void *data)
{
    uint16_t *halves = data;
    if (dtype == CSM_DTYPE_F32)
        memcpy(data, values, n * sizeof *values);
    else if (dtype == CSM_DTYPE_BF16)
        for (size_t i = 0; i < n; i++)
            halves[i] = csm_to_bf16(values[i]);
    else
        for (size_t i = 0; i < n; i++)
            halves[i] = csm_to_f16(values[i]);
}

void csm_weight_row(const struct csm_weight_source *source, size_t row, float *out, uint8_t *codes)
{
    const size_t cols = csm_weight_cols(source);
    if (source->format == CSM_WEIGHT_FLOAT) {
        (void)csm_tensor_floats(&source->tensor, row * cols, cols, out);
        return;
    }
    csm_quantized_row(source, row, cols, out, codes);
}

csm_dtype csm_weight_dtype(const struct csm_weight_source *source)
{
    return source->format == CSM_WEIGHT_FLOAT ? source->tensor.dtype
                                               : csm_quantized_dtype(source);
}
