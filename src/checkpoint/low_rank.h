/* SPDX-License-Identifier: Apache-2.0
 *
 * low_rank.h - rows of a product of two thin matrices, and of a weight that it is added to,
 * compiled for each instruction set. Every one gives the same bits: each sum runs over the rank
 * in its order, the weight is added last, and the sum is rounded once. */
#ifndef CSM_CHECKPOINT_LOW_RANK_H
#define CSM_CHECKPOINT_LOW_RANK_H

#include <stddef.h>

enum {
    CSM_LOW_RANK_ROWS = 4, /* at a time: what is read of the right side is used four times */
    /* Columns of the right side that lie together, row after row of them: a power of two between
     * two rows of a matrix would put all of them into one set of the first cache. */
    CSM_LOW_RANK_PANEL = 64
};

/* Where element [k, column] of a right side [rank, cols] lies, and the floats that it takes:
 * the last panel is as wide as the others. */
static inline size_t csm_low_rank_at(size_t rank, size_t k, size_t column)
{
    const size_t in = column % CSM_LOW_RANK_PANEL;
    return (column - in) * rank + k * CSM_LOW_RANK_PANEL + in;
}

static inline size_t csm_low_rank_size(size_t rank, size_t cols)
{
    return csm_low_rank_at(rank, 0, cols + CSM_LOW_RANK_PANEL - 1);
}

/* What comes of left right: itself, as floats, or base + left right in the base's type. */
enum csm_low_rank_sum { CSM_LOW_RANK_ALONE, CSM_LOW_RANK_F32, CSM_LOW_RANK_BF16 };

/* Rows left[i] right, left[i] is [rank].
 *
 *   left   all ROWS of them are read
 *   right  in panels
 *   n      rows that are wanted, at most ROWS
 *   base   [n, cols]; not read where the product is wanted alone
 *   out    [n, cols], of the base's type */
typedef void (*csm_low_rank)(const float *const left[CSM_LOW_RANK_ROWS], const float *right,
                             size_t rank, size_t cols, enum csm_low_rank_sum sum, size_t n,
                             const void *base, void *out);

void csm_low_rank_generic(const float *const left[CSM_LOW_RANK_ROWS], const float *right,
                          size_t rank, size_t cols, enum csm_low_rank_sum sum, size_t n,
                          const void *base, void *out);
void csm_low_rank_avx2(const float *const left[CSM_LOW_RANK_ROWS], const float *right, size_t rank,
                       size_t cols, enum csm_low_rank_sum sum, size_t n, const void *base,
                       void *out);
void csm_low_rank_avx512(const float *const left[CSM_LOW_RANK_ROWS], const float *right,
                         size_t rank, size_t cols, enum csm_low_rank_sum sum, size_t n,
                         const void *base, void *out);

/* The fastest that this processor has. */
csm_low_rank csm_low_rank_best(void);

#endif
