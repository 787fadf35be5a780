/* SPDX-License-Identifier: Apache-2.0
 *
 * low_rank_text.h - the loops of low_rank.h, once for each file that defines
 * LOW_RANK: four rows by four of the rank, over a stretch of columns that stays in
 * the nearest cache. */
#include <string.h>

#include "checkpoint/low_rank.h"

enum { COLUMNS = 512 };

/* Columns begin..end-1, and of the rank k..k+n-1, n at most 4. */
static inline void add_block(const float *const left[CSM_LOW_RANK_ROWS], const float *right,
                             size_t k, size_t n, size_t begin, size_t end, size_t cols, float *out)
{
    const float *restrict r = right + k * cols;
    for (size_t row = 0; row < CSM_LOW_RANK_ROWS; row++) {
        const float *l = left[row] + k;
        float *restrict o = out + row * cols;
        if (n == 4)
            for (size_t c = begin; c < end; c++)
                o[c] = o[c] + l[0] * r[c] + l[1] * r[cols + c] + l[2] * r[2 * cols + c] +
                       l[3] * r[3 * cols + c];
        else
            for (size_t i = 0; i < n; i++)
                for (size_t c = begin; c < end; c++)
                    o[c] += l[i] * r[i * cols + c];
    }
}

void LOW_RANK(const float *const left[CSM_LOW_RANK_ROWS], const float *right, size_t rank,
              size_t cols, float *out)
{
    memset(out, 0, CSM_LOW_RANK_ROWS * cols * sizeof *out);
    for (size_t begin = 0; begin < cols; begin += COLUMNS) {
        const size_t end = begin + COLUMNS < cols ? begin + COLUMNS : cols;
        for (size_t k = 0; k < rank; k += 4)
            add_block(left, right, k, rank - k < 4 ? rank - k : 4, begin, end, cols, out);
    }
}
