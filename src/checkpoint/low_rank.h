/* SPDX-License-Identifier: Apache-2.0
 *
 * low_rank.h - rows of a product of two thin matrices, compiled for each instruction
 * set. Every one gives the same bits: each sum runs over the rank in its order. */
#ifndef CSM_CHECKPOINT_LOW_RANK_H
#define CSM_CHECKPOINT_LOW_RANK_H

#include <stddef.h>

enum { CSM_LOW_RANK_ROWS = 4 }; /* at a time: what is read of the right side is used four times */

/* out [ROWS, cols] = left right, left[row] is [rank], right [rank, cols]. */
typedef void (*csm_low_rank)(const float *const left[CSM_LOW_RANK_ROWS], const float *right,
                             size_t rank, size_t cols, float *out);

void csm_low_rank_generic(const float *const left[CSM_LOW_RANK_ROWS], const float *right,
                          size_t rank, size_t cols, float *out);
void csm_low_rank_avx2(const float *const left[CSM_LOW_RANK_ROWS], const float *right, size_t rank,
                       size_t cols, float *out);
void csm_low_rank_avx512(const float *const left[CSM_LOW_RANK_ROWS], const float *right,
                         size_t rank, size_t cols, float *out);

/* The fastest that this processor has. */
csm_low_rank csm_low_rank_best(void);

#endif
