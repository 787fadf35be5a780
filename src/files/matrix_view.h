/* SPDX-License-Identifier: Apache-2.0
 *
 * matrix_view.h - a matrix in memory as a tensor to be written. */
#ifndef CSM_FILES_MATRIX_VIEW_H
#define CSM_FILES_MATRIX_VIEW_H

#include <csm/tensors.h>

/* data: [rows, columns], not copied; name and data outlive the tensor. */
static inline csm_tensor csm_matrix_view(const char *name, csm_dtype dtype, const void *data,
                                         size_t rows, size_t columns)
{
    return (csm_tensor){.name = name,
                        .dtype = dtype,
                        .rank = 2,
                        .shape = {rows, columns},
                        .data = data,
                        .n_bytes = rows * columns * csm_dtype_size(dtype)};
}

#endif
