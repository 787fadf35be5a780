/* SPDX-License-Identifier: Apache-2.0
 *
 * low_rank.h: every instruction set gives the bits of the sums written out. */
#include <stdlib.h>
#include <string.h>

#include "base/numbers.h"
#include "checkpoint/low_rank.h"
#include "cmocka_all.h"

enum { RANK = 5, COLS = 3 * CSM_LOW_RANK_PANEL + 37, ROWS = CSM_LOW_RANK_ROWS };

static float left[ROWS][RANK], right[RANK][COLS], base[ROWS][COLS];

static float any(void)
{
    return (float)rand() / (float)RAND_MAX - 0.5f;
}

static void *panels(void)
{
    float *out = calloc(csm_low_rank_size(RANK, COLS), sizeof *out);
    assert_non_null(out);
    for (size_t k = 0; k < RANK; k++)
        for (size_t c = 0; c < COLS; c++)
            out[csm_low_rank_at(RANK, k, c)] = right[k][c];
    return out;
}

static float product(size_t row, size_t c)
{
    float sum = 0;
    for (size_t k = 0; k < RANK; k++)
        sum = sum + left[row][k] * right[k][c];
    return sum;
}

static void check(csm_low_rank low_rank, size_t n)
{
    static float out[ROWS][COLS];
    static uint16_t halves[ROWS][COLS], out_halves[ROWS][COLS];
    const float *lefts[ROWS];
    for (size_t r = 0; r < ROWS; r++)
        lefts[r] = left[r];
    float *in_panels = panels();
    memset(out, 0xff, sizeof out);
    memset(out_halves, 0xff, sizeof out_halves);
    low_rank(lefts, in_panels, RANK, COLS, CSM_LOW_RANK_ALONE, n, NULL, out);
    for (size_t r = 0; r < n; r++)
        for (size_t c = 0; c < COLS; c++)
            assert_true(out[r][c] == product(r, c));
    low_rank(lefts, in_panels, RANK, COLS, CSM_LOW_RANK_F32, n, base, out);
    for (size_t r = 0; r < n; r++)
        for (size_t c = 0; c < COLS; c++)
            assert_true(out[r][c] == base[r][c] + product(r, c));
    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < COLS; c++)
            halves[r][c] = csm_to_bf16(base[r][c]);
    halves[0][3] = 0x7fa0; /* NaN that signals, infinity, and what a sum rounds up to it */
    halves[0][4] = 0xff80;
    halves[0][COLS - 1] = 0x7f81;
    low_rank(lefts, in_panels, RANK, COLS, CSM_LOW_RANK_BF16, n, halves, out_halves);
    for (size_t r = 0; r < n; r++)
        for (size_t c = 0; c < COLS; c++)
            assert_int_equal(out_halves[r][c],
                             csm_to_bf16(csm_from_bf16(halves[r][c]) + product(r, c)));
    for (size_t r = n; r < ROWS; r++) /* rows that were not asked for are not written */
        for (size_t c = 0; c < COLS; c++)
            assert_int_equal(out_halves[r][c], 0xffff);
    free(in_panels);
}

static void every_table_sums_in_the_order_of_the_rank(void **state)
{
    (void)state;
    srand(1);
    for (size_t r = 0; r < ROWS; r++)
        for (size_t k = 0; k < RANK; k++)
            left[r][k] = any();
    for (size_t k = 0; k < RANK; k++)
        for (size_t c = 0; c < COLS; c++)
            right[k][c] = any();
    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < COLS; c++)
            base[r][c] = any();
    for (size_t n = 1; n <= ROWS; n++) {
        check(csm_low_rank_generic, n);
#if defined(__x86_64__)
        if (__builtin_cpu_supports("avx2"))
            check(csm_low_rank_avx2, n);
        if (__builtin_cpu_supports("avx512f"))
            check(csm_low_rank_avx512, n);
#endif
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_table_sums_in_the_order_of_the_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
