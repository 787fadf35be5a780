/* SPDX-License-Identifier: Apache-2.0
 *
 * low_rank_text.h - the loops of low_rank.h, once for each file that defines LOW_RANK,
 * the bytes of a register, LOW_RANK_BYTES, and how many of them a row has at a time,
 * LOW_RANK_VECTORS: sums of four rows stay in registers while they go over the rank. */
#include <string.h>

#include "checkpoint/low_rank.h"

enum { ROWS = CSM_LOW_RANK_ROWS, VECTORS = LOW_RANK_VECTORS };

typedef float lanes __attribute__((vector_size(LOW_RANK_BYTES)));

enum { LANES = sizeof(lanes) / sizeof(float), COLUMNS = VECTORS * LANES };

/* COLUMNS columns from `begin` on. */
static inline void make_columns(const float *const left[ROWS], const float *right, size_t rank,
                                size_t begin, size_t cols, float *out)
{
    lanes sums[ROWS][VECTORS];
    for (size_t row = 0; row < ROWS; row++)
        for (size_t v = 0; v < VECTORS; v++)
            sums[row][v] = (lanes){0};
    for (size_t k = 0; k < rank; k++)
        for (size_t v = 0; v < VECTORS; v++) {
            lanes in;
            memcpy(&in, right + k * cols + begin + v * LANES, sizeof in);
            for (size_t row = 0; row < ROWS; row++)
                sums[row][v] = sums[row][v] + left[row][k] * in;
        }
    for (size_t row = 0; row < ROWS; row++)
        for (size_t v = 0; v < VECTORS; v++)
            memcpy(out + row * cols + begin + v * LANES, &sums[row][v], sizeof(lanes));
}

void LOW_RANK(const float *const left[ROWS], const float *right, size_t rank, size_t cols,
              float *out)
{
    size_t begin = 0;
    for (; begin + COLUMNS <= cols; begin += COLUMNS)
        make_columns(left, right, rank, begin, cols, out);
    for (size_t row = 0; row < ROWS; row++)
        for (size_t c = begin; c < cols; c++) {
            float sum = 0;
            for (size_t k = 0; k < rank; k++)
                sum = sum + left[row][k] * right[k * cols + c];
            out[row * cols + c] = sum;
        }
}
