/* SPDX-License-Identifier: Apache-2.0
 *
 * low_rank_text.h - the loops of low_rank.h, once for each file that defines LOW_RANK,
 * the bytes of a register, LOW_RANK_BYTES, and how many of them a row has at a time,
 * LOW_RANK_VECTORS: sums of four rows stay in registers while they go over the rank. */
#include <stdint.h>
#include <string.h>

#include "base/numbers.h"
#include "checkpoint/low_rank.h"

enum { ROWS = CSM_LOW_RANK_ROWS, VECTORS = LOW_RANK_VECTORS };

typedef float lanes __attribute__((vector_size(LOW_RANK_BYTES)));
typedef uint32_t words __attribute__((vector_size(LOW_RANK_BYTES)));
typedef uint16_t halves __attribute__((vector_size(LOW_RANK_BYTES / 2)));

enum { LANES = sizeof(lanes) / sizeof(float), COLUMNS = VECTORS * LANES };

_Static_assert(CSM_LOW_RANK_PANEL % COLUMNS == 0, "a panel is whole steps");

/* csm_to_bf16 of each. */
static inline halves to_bf16(lanes x)
{
    words bits;
    memcpy(&bits, &x, sizeof bits);
    const words is_nan = (words)(x != x);
    const words rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return __builtin_convertvector((is_nan & (bits >> 16 | 0x40)) | (~is_nan & rounded), halves);
}

/* Elements at.. of the base and the product, as the base's type, to the same place of out. */
__attribute__((always_inline)) static inline void
store_sum(enum csm_low_rank_sum sum, lanes product, const void *base, size_t at, void *out)
{
    if (sum == CSM_LOW_RANK_BF16) {
        halves in;
        memcpy(&in, (const uint16_t *)base + at, sizeof in);
        const words wide = __builtin_convertvector(in, words) << 16;
        lanes values;
        memcpy(&values, &wide, sizeof values);
        in = to_bf16(values + product);
        memcpy((uint16_t *)out + at, &in, sizeof in);
        return;
    }
    if (sum == CSM_LOW_RANK_F32) {
        lanes in;
        memcpy(&in, (const float *)base + at, sizeof in);
        product = in + product;
    }
    memcpy((float *)out + at, &product, sizeof product);
}

/* COLUMNS columns from `begin` on; right: where their panel has them. */
__attribute__((always_inline)) static inline void
make_columns(const float *const left[ROWS], const float *right, size_t rank, size_t begin,
             size_t cols, enum csm_low_rank_sum sum, size_t n, const void *base, void *out)
{
    lanes sums[ROWS][VECTORS];
    for (size_t row = 0; row < ROWS; row++)
        for (size_t v = 0; v < VECTORS; v++)
            sums[row][v] = (lanes){0};
    for (size_t k = 0; k < rank; k++)
        for (size_t v = 0; v < VECTORS; v++) {
            lanes in;
            memcpy(&in, right + k * CSM_LOW_RANK_PANEL + v * LANES, sizeof in);
            for (size_t row = 0; row < ROWS; row++)
                sums[row][v] = sums[row][v] + left[row][k] * in;
        }
    for (size_t row = 0; row < ROWS; row++)
        for (size_t v = 0; v < VECTORS && row < n; v++)
            store_sum(sum, sums[row][v], base, row * cols + begin + v * LANES, out);
}

static inline void make_rest(const float *const left[ROWS], const float *right, size_t rank,
                             size_t begin, size_t cols, enum csm_low_rank_sum sum, size_t n,
                             const void *base, void *out)
{
    for (size_t row = 0; row < n; row++)
        for (size_t c = begin; c < cols; c++) {
            const size_t at = row * cols + c;
            float product = 0;
            for (size_t k = 0; k < rank; k++)
                product = product + left[row][k] * right[csm_low_rank_at(rank, k, c)];
            if (sum == CSM_LOW_RANK_BF16)
                ((uint16_t *)out)[at] =
                    csm_to_bf16(csm_from_bf16(((const uint16_t *)base)[at]) + product);
            else
                ((float *)out)[at] =
                    sum == CSM_LOW_RANK_F32 ? ((const float *)base)[at] + product : product;
        }
}

/* `sum` is a constant where it is called. */
__attribute__((always_inline)) static inline void
make_rows(const float *const left[ROWS], const float *right, size_t rank, size_t cols,
          const enum csm_low_rank_sum sum, size_t n, const void *base, void *out)
{
    size_t begin = 0;
    for (; begin + COLUMNS <= cols; begin += COLUMNS)
        make_columns(left, right + csm_low_rank_at(rank, 0, begin), rank, begin, cols, sum, n,
                     base, out);
    make_rest(left, right, rank, begin, cols, sum, n, base, out);
}

void LOW_RANK(const float *const left[ROWS], const float *right, size_t rank, size_t cols,
              enum csm_low_rank_sum sum, size_t n, const void *base, void *out)
{
    if (sum == CSM_LOW_RANK_BF16)
        make_rows(left, right, rank, cols, CSM_LOW_RANK_BF16, n, base, out);
    else if (sum == CSM_LOW_RANK_F32)
        make_rows(left, right, rank, cols, CSM_LOW_RANK_F32, n, base, out);
    else
        make_rows(left, right, rank, cols, CSM_LOW_RANK_ALONE, n, base, out);
}
