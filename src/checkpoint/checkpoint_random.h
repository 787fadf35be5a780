/* SPDX-License-Identifier: Apache-2.0
 *
 * checkpoint_random.h - a model of csm-1b's shape with random weights, in memory:
 * what a benchmark needs where the real weights are not. */
#ifndef CSM_FILES_CHECKPOINT_RANDOM_H
#define CSM_FILES_CHECKPOINT_RANDOM_H

#include "checkpoint/checkpoint.h"

/* Make it: language model and codec, HF layout, no tokenizer.
 *
 *   dtype      of the language model's tensors: CSM_F32 or CSM_BF16; the codec is F32
 *   is_shared  all matrices of the language model show the same stretch of memory: for
 *              engines that make their own copies. Else each has its own.
 *
 * Returns CSM_OK; CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_checkpoint_random(csm_dtype dtype, bool is_shared,
                                              csm_checkpoint **out, csm_error *err);

/* ---- between checkpoint_find.c and checkpoint_random.c ---- */

struct csm_random_weights;

/* The tensor of a role, of the shape in `tensor`; fills the rest. */
void csm_random_tensor(const struct csm_random_weights *random, enum csm_part part,
                       enum csm_role role, size_t index, csm_tensor *tensor);
void csm_random_free(struct csm_random_weights *random); /* takes NULL */

#endif
