/* SPDX-License-Identifier: Apache-2.0
 *
 * softmax_torch_cuda.h - PyTorch's softmax over the last dimension, on CUDA. */
#ifndef CSM_SAMPLING_SOFTMAX_TORCH_CUDA_H
#define CSM_SAMPLING_SOFTMAX_TORCH_CUDA_H

#include <stddef.h>
#include <stdint.h>

#include <csm/tensors.h>

/* As softmax_torch_cpu.h, of row number `row` of a contiguous tensor: how a row
 * lies to 16 bytes shapes the order of its sum. */
void csm_softmax_torch_cuda(float *x, const uint32_t *index, size_t n, size_t row, size_t vocab,
                        csm_dtype dtype);
void csm_log_softmax_torch_cuda(float *x, float *e, const uint32_t *index, size_t n, size_t row,
                            size_t vocab, csm_dtype dtype);

#endif
