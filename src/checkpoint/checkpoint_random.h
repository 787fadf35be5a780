/* SPDX-License-Identifier: Apache-2.0
 *
 * checkpoint_random.h - a model of csm-1b's shape with random weights, in memory:
 * what a benchmark needs where the real weights are not. */
#ifndef CSM_CHECKPOINT_RANDOM_H
#define CSM_CHECKPOINT_RANDOM_H

#include "checkpoint/checkpoint.h"

/* Make it: language model and codec, HF layout, no tokenizer.
 *
 *   dtype      of the language model's tensors: CSM_DTYPE_F32 or CSM_DTYPE_BF16; the codec is F32
 *   is_shared  all matrices of the language model show the same stretch of memory: for
 *              engines that make their own copies. Else each has its own.
 *
 * Returns CSM_OK; CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_checkpoint_random(csm_dtype dtype, bool is_shared,
                                              csm_checkpoint **out, csm_error *err);

#endif
