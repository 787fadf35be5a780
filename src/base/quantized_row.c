/* SPDX-License-Identifier: Apache-2.0 */
#include "base/quantized_row.h"

#include "base/affine.h"
#include "base/fp_blocks.h"
#include "base/numbers.h"

bool csm_quantized_fits(const struct csm_weight_source *source, size_t rows, size_t cols)
{
    const struct csm_fp_mode *mode = csm_fp_mode(source->format);
    const csm_tensor *scales = &source->scales, *biases = &source->biases;
    if (source->tensor.dtype != CSM_DTYPE_U32 || source->transposed || source->group_size <= 0 ||
        cols % (size_t)source->group_size != 0 || cols * (size_t)source->bits % 32 != 0 ||
        source->tensor.n_bytes != rows * (cols * (size_t)source->bits / 32) * sizeof(uint32_t))
        return false;
    const size_t n = rows * (cols / (size_t)source->group_size);
    if (mode != NULL)
        return source->bits == mode->bits && source->group_size == mode->group &&
               scales->dtype == CSM_DTYPE_U8 && scales->n_bytes == n;
    return csm_affine_is_read(source->bits, source->group_size, cols) &&
           csm_is_float(scales->dtype) && csm_is_float(biases->dtype) &&
           scales->n_bytes == n * csm_dtype_size(scales->dtype) &&
           biases->n_bytes == n * csm_dtype_size(biases->dtype);
}

void csm_quantized_row(const struct csm_weight_source *source, size_t row, size_t cols, float *out,
                       uint8_t *codes)
{
    const struct csm_fp_mode *mode = csm_fp_mode(source->format);
    const size_t group = (size_t)source->group_size, n_groups = cols / group;
    const size_t n_words = cols * (size_t)source->bits / 32;
    csm_affine_unpack((const uint32_t *)source->tensor.data + row * n_words, cols, source->bits,
                      codes);
    if (mode != NULL) {
        csm_fp_values(mode, codes, (const uint8_t *)source->scales.data + row * n_groups, cols,
                      out);
        return;
    }
    for (size_t g = 0; g < n_groups; g++) {
        const float scale = csm_element(&source->scales, row * n_groups + g);
        const float bias = csm_element(&source->biases, row * n_groups + g);
        for (size_t c = g * group; c < (g + 1) * group; c++)
            out[c] = scale * (float)codes[c] + bias;
    }
}

csm_dtype csm_quantized_dtype(const struct csm_weight_source *source)
{
    return csm_fp_mode(source->format) != NULL ? CSM_DTYPE_BF16 : source->scales.dtype;
}

const char *csm_quantized_mode(const struct csm_weight_source *source)
{
    const struct csm_fp_mode *mode = csm_fp_mode(source->format);
    return mode != NULL ? mode->name : "affine";
}
