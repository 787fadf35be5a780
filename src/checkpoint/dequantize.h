/* SPDX-License-Identifier: Apache-2.0
 *
 * dequantize.h - weights that other programs stored in forms of their own, made floats
 * once, as a model opens; what is made of them later knows nothing of it.
 *
 *   F64                   rounded to F32
 *   F8_E4M3, F8_E5M2      with X_scale_inv (transformers' fp8), X_scale (compressed-tensors,
 *                         FBGEMM, modelopt, quark) or, without a scale, as they are: BF16
 *   I8 with X_scale       of compressed-tensors, where config.json says so
 *   bitsandbytes          nf4 and fp4, their scales in 8 bits or not; 8 bits
 *
 * Scales stand for rows, columns, blocks or all of a matrix: their shape tells. Values are
 * those of transformers' model.dequantize() and of compressed-tensors' decompression, bit
 * for bit. What the programs would round besides, activations, is not rounded.
 * Evidence: tests/reference/test_dequantize.py. */
#ifndef CSM_CHECKPOINT_DEQUANTIZE_H
#define CSM_CHECKPOINT_DEQUANTIZE_H

#include <jansson.h>

#include "checkpoint/notes.h"
#include "checkpoint/tensor_set.h"

/* Replace *set, where it holds such a tensor, by one that holds floats and owns it.
 *
 *   root   config.json: the type of what is made, and who quantized; may be NULL
 *   notes  how many of which kind; NULL: nobody is told
 *
 * Returns CSM_OK; CSM_BAD_FORMAT: scales of another shape or type, NaN among them; CSM_NO_MEMORY.
 * *set is whole in any case. */
CSM_MUST_USE csm_status csm_dequantize(struct csm_tensor_set **set, const json_t *root,
                                       struct csm_notes *notes, csm_error *err);

#endif
