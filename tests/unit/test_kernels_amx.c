/* SPDX-License-Identifier: Apache-2.0
 *
 * Products by AMX's tiles have the bits of AVX-512's table (test_kernels.c has its), whatever the
 * numbers of groups, of rows of x and of the matrix; the tiles are amx_tiles.h's. */
#include "unit/affine_case.h"

enum { MOST_GROUPS = 5, MOST_X = 65, MOST_ROWS = 290, BEYOND = 3 };

/* y of both tables, with some numbers between its rows that stay. */
static void compare(const struct affine_tiles *w, const struct digits *digits, size_t n_rows, size_t n_x)
{
    const size_t ld = n_rows + BEYOND, n_bytes = n_x * ld * sizeof(float);
    float *y = malloc(n_bytes), *expected = malloc(n_bytes);
    memset(y, 85, n_bytes);
    memset(expected, 85, n_bytes);
    csm_kernels_avx512.dots_affine(w, 1, n_rows, digits, n_x, expected, ld);
    dots_of(&csm_kernels_amx, w, 1, n_rows, digits, n_x, y, ld);
    assert_memory_equal(y, expected, n_bytes);
    free(y);
    free(expected);
}

static void products_of_any_shape_have_the_same_bits(void **state)
{
    (void)state;
    static const size_t rows[] = {1, 16, 33, MOST_ROWS}, n_x[] = {5, 8, 9, 31, 33, MOST_X};
    for (size_t i = 0; i < 3 * 2 * 2 * MOST_GROUPS; i++) {
        struct affine_tiles w = {.n_groups = 1 + i / 12, .format = CSM_WEIGHT_AFFINE,
                                 .bits = i % 2 == 0 ? 4 : 8, .group = 32 << i / 4 % 3,
                                 .wide_scales = i / 2 % 2 != 0};
        const size_t cols = w.n_groups * (size_t)w.group, n = MOST_X * w.n_groups;
        float *x = random_floats(MOST_X * cols);
        struct digits digits = {malloc(MOST_X * cols * CSM_PLANES), malloc(n * sizeof(float)),
                                malloc(n * sizeof(float)), false};
        csm_kernels_avx512.to_digits(x, n, (size_t)w.group, digits.planes, digits.steps, digits.sums);
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
            const size_t n_tiles = 1 + (rows[r] + CSM_TILE - 1) / CSM_TILE;
            const size_t block = csm_code_bytes(w.bits, w.group) + (w.wide_scales ? 128 : 64);
            unsigned char *data = aligned_alloc(64, n_tiles * w.n_groups * block);
            random_tiles(&w, data, n_tiles);
            for (size_t t = 0; t < sizeof n_x / sizeof *n_x; t++)
                compare(&w, &digits, rows[r], n_x[t]);
            free(data);
        }
        free(x);
        free(digits.planes);
        free(digits.steps);
        free(digits.sums);
    }
}

int main(void)
{
    bool has_avx512 = false;
    for (size_t table = 0; csm_kernels_fast(table) != NULL; table++)
        has_avx512 = has_avx512 || strcmp(csm_kernels_fast(table)->name, "avx512") == 0;
    if (!has_avx512) {
        print_message("no AVX-512 here\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_of_any_shape_have_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
