/* SPDX-License-Identifier: Apache-2.0
 *
 * softmax_torch_cpu.h - PyTorch's softmax over the last dimension, on the CPU. */
#ifndef CSM_SAMPLING_SOFTMAX_TORCH_CPU_H
#define CSM_SAMPLING_SOFTMAX_TORCH_CPU_H

#include <stddef.h>
#include <stdint.h>

#include <csm/tensors.h>

/* Of a row of `vocab` entries whose n entries at the ascending indices `index`
 * have the scores x and all others -inf: x becomes softmax(x), or log_softmax(x),
 * in dtype. n >= 1, all finite; e [n] is scratch. More than 65504 likely entries
 * overflow float16's sum: log_softmax is then -inf everywhere, as in PyTorch. */
void csm_softmax_torch_cpu(float *x, const uint32_t *index, size_t n, size_t vocab, csm_dtype dtype);
void csm_log_softmax_torch_cpu(float *x, float *e, const uint32_t *index, size_t n, size_t vocab,
                           csm_dtype dtype);

#endif
