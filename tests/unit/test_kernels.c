/* SPDX-License-Identifier: Apache-2.0
 *
 * Every kernel table that this processor runs gives the bits of the portable one,
 * whose functions are within a few units in the last place of the C library's. */
#include "unit/affine_case.h"

static const struct kernels *truth = &csm_kernels_generic;

/* 16 rows as they lie four rows side by side. */
static void *interleave(const void *rows, size_t n_cols, size_t size)
{
    size_t cols = csm_padded(n_cols, CSM_TILE);
    char *to = calloc(16 * cols, size);
    for (size_t r = 0; r < 16; r++)
        for (size_t c = 0; c < n_cols; c++)
            memcpy(to + (csm_row_at(CSM_FOUR_ROWS, r, n_cols) +
                         c / CSM_TILE * CSM_TILE * CSM_FOUR_ROWS + c % CSM_TILE) * size,
                   (const char *)rows + (r * n_cols + c) * size, size);
    return to;
}

/* By the definition: 16 lanes, folded. */
static float expected_dot(const float *w, const float *x, size_t cols)
{
    float lanes[LANES] = {0};
    for (size_t c = 0; c < cols; c++)
        lanes[c % LANES] = fmaf(w[c], x[c], lanes[c % LANES]);
    return fold(lanes);
}

static void dots_have_the_same_bits(void **state)
{
    (void)state;
    static const size_t cols[] = {1, 15, 16, 17, 100, 1024, 2050}, rows[] = {1, 4, 7, 16};
    static const size_t n_x[] = {1, 2, 3, 4, 5, 6, 8, 13};
    float *w = random_floats(16 * 2050), *x = random_floats(13 * 2060);
    float *from_half = malloc(16 * 2050 * 4), *from_brain = malloc(16 * 2050 * 4);
    uint16_t *half = malloc(16 * 2050 * 2), *brain = malloc(16 * 2050 * 2);
    for (size_t i = 0; i < 16 * 2050; i++) {
        half[i] = csm_to_f16(w[i]);
        brain[i] = csm_to_bf16(w[i]);
        from_half[i] = csm_from_f16(half[i]);
        from_brain[i] = csm_from_bf16(brain[i]);
    }
    for (size_t c = 0; c < 7; c++) {
        size_t n = cols[c], ldx = n + 10;
        void *four[] = {interleave(w, n, 4), interleave(brain, n, 2), interleave(half, n, 2)};
        const void *plain[] = {w, brain, half};
        const float *values[] = {w, from_brain, from_half};
        for (int type = 0; type < 3; type++)
            for (size_t table = 0; csm_kernels_fast(table) != NULL; table++)
                for (size_t i = 0; i < 4 * 8 * 2; i++) {
                    const struct kernels *k = csm_kernels_fast(table);
                    size_t by = i % 2 == 0 ? CSM_ROW_BY_ROW : CSM_FOUR_ROWS;
                    const void *matrix = i % 2 == 0 ? plain[type] : four[type];
                    size_t r = rows[i / 2 % 4], t = n_x[i / 8];
                    float y[13 * 20] = {0};
                    if (type == 0)
                        k->dots_f32(matrix, by, r, n, x, ldx, t, y, 20);
                    else if (type == 1)
                        k->dots_bf16(matrix, by, r, n, x, ldx, t, y, 20);
                    else
                        k->dots_f16(matrix, by, r, n, x, ldx, t, y, 20);
                    for (size_t e = 0; e < 13 * 20; e++) {
                        bool is_in = e / 20 < t && e % 20 < r;
                        float expected = is_in ? expected_dot(values[type] + e % 20 * n,
                                                              x + e / 20 * ldx, n)
                                               : 0;
                        equal_all(y + e, &expected, 1);
                    }
                }
        for (int type = 0; type < 3; type++)
            free(four[type]);
    }
    free(w);
    free(x);
    free(half);
    free(brain);
    free(from_half);
    free(from_brain);
}

static void affine_products_have_the_same_bits(void **state)
{
    (void)state;
    enum { COLS = 1408, ROWS = 40, N_X = 100 };
    static const struct {
        enum csm_weight_format format;
        int bits, group;
    } formats[] = {{CSM_WEIGHT_AFFINE, 1, 0}, {CSM_WEIGHT_AFFINE, 2, 0}, {CSM_WEIGHT_AFFINE, 3, 0},
                   {CSM_WEIGHT_AFFINE, 4, 0}, {CSM_WEIGHT_AFFINE, 5, 0}, {CSM_WEIGHT_AFFINE, 6, 0},
                   {CSM_WEIGHT_AFFINE, 8, 0}, {CSM_WEIGHT_MXFP4, 4, 32}, {CSM_WEIGHT_NVFP4, 4, 16}};
    unsigned char *data = aligned_alloc(64, 1 << 21);
    float *x = random_floats(N_X * COLS), *y = malloc(N_X * ROWS * 4);
    float *expected = malloc(N_X * ROWS * 4);
    for (size_t i = 0; i < COLS; i++)
        x[i] *= i % 50 == 0 ? 1e6f : 1e-3f;
    int8_t *planes = malloc(N_X * COLS * CSM_PLANES);
    float *steps = malloc(N_X * COLS * 4), *sums = malloc(N_X * COLS * 4);
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++)
        for (int i = 0; i < (formats[f].group != 0 ? 1 : 8); i++) {
            const int group = formats[f].group != 0 ? formats[f].group : 16 << i / 2;
            if (group == 16 && formats[f].bits != 4 && formats[f].bits != 8)
                continue; /* kept as these */
            struct affine_tiles w = {.n_groups = COLS / (size_t)group,
                                     .format = formats[f].format,
                                     .bits = formats[f].bits,
                                     .group = group,
                                     .wide_scales = i % 2 != 0};
            random_tiles(&w, data, 3);
            for (size_t t = 0; t < N_X; t++)
                truth->to_digits(x + t * COLS, w.n_groups, (size_t)group,
                                 planes + t * COLS * CSM_PLANES, steps + t * w.n_groups,
                                 sums + t * w.n_groups);
            const struct digits digits = {planes, steps, sums, false};
            truth->dots_affine(&w, 1, 32 - 11, &digits, N_X, expected, ROWS);
            for (size_t table = 0; csm_kernels_fast(table) != NULL; table++) {
                static const size_t n_x[] = {1, 2, 3, 5, 6, 7, 16, 17, 32, 33, N_X};
                int8_t own_planes[COLS * CSM_PLANES];
                float own[2][COLS / 16];
                csm_kernels_fast(table)->to_digits(x, w.n_groups, (size_t)group, own_planes,
                                                   own[0], own[1]);
                assert_memory_equal(own_planes, planes, sizeof own_planes);
                equal_all(own[0], steps, w.n_groups);
                equal_all(own[1], sums, w.n_groups);
                for (size_t n = 0; n < sizeof n_x / sizeof *n_x; n++) {
                    const struct kernels *k = csm_kernels_fast(table);
                    memset(y, 0, N_X * ROWS * 4);
                    dots_of(k, &w, 1, 32 - 11, &digits, n_x[n], y, ROWS);
                    for (size_t t = 0; t < n_x[n]; t++)
                        equal_all(y + t * ROWS, expected + t * ROWS, 21);
                }
            }
        }
    free(data);
    free(x);
    free(y);
    free(expected);
    free(planes);
    free(steps);
    free(sums);
}

/* More of both than a table does at a time; what lies beside y stays. */
static void many_rows_of_matrix_and_x_have_the_same_bits(void **state)
{
    (void)state;
    enum { COLS = 192, GROUP = 64, N_GROUPS = COLS / GROUP, ROWS = 555, LD = 560, N_X = 75, TILES = 36 };
    unsigned char *data = aligned_alloc(64, 1 << 18);
    float *x = random_floats(N_X * COLS), *y = malloc(N_X * LD * 4), *expected = malloc(N_X * LD * 4);
    struct digits digits = {malloc(N_X * COLS * CSM_PLANES), malloc(N_X * N_GROUPS * 4),
                            malloc(N_X * N_GROUPS * 4), false};
    for (int bits = 4; bits <= 8; bits += 4) {
        struct affine_tiles w = {.n_groups = N_GROUPS, .format = CSM_WEIGHT_AFFINE, .bits = bits,
                                 .group = GROUP};
        random_tiles(&w, data, TILES);
        truth->to_digits(x, N_X * N_GROUPS, GROUP, digits.planes, digits.steps, digits.sums);
        memset(expected, 85, N_X * LD * 4);
        truth->dots_affine(&w, 1, ROWS, &digits, N_X, expected, LD);
        for (size_t table = 0; csm_kernels_fast(table) != NULL; table++) {
            memset(y, 85, N_X * LD * 4);
            dots_of(csm_kernels_fast(table), &w, 1, ROWS, &digits, N_X, y, LD);
            assert_memory_equal(y, expected, N_X * LD * 4);
        }
    }
    free(data);
    free(x);
    free(y);
    free(expected);
    free(digits.planes);
    free(digits.steps);
    free(digits.sums);
}

/* Sums of 6 bits' largest codes and digits, which 16 bits of a table would not hold. */
static void the_largest_codes_and_digits_have_the_same_bits(void **state)
{
    (void)state;
    enum { GROUP = 128 };
    unsigned char *data = aligned_alloc(64, GROUP * CSM_TILE + 128);
    memset(data, 0xff, GROUP * CSM_TILE + 128);
    int8_t planes[GROUP * CSM_PLANES];
    float step = 1, sum = 1, y[CSM_TILE], expected[CSM_TILE];
    for (int digit = -128; digit <= 127; digit += 255)
        for (int bits = 1; bits <= 8; bits += bits == 6 ? 2 : 1) {
            const struct affine_tiles w = {.data = data,
                                           .n_groups = 1,
                                           .bits = bits,
                                           .group = GROUP,
                                           .format = CSM_WEIGHT_AFFINE,
                                           .wide_scales = true,
                                           .block_bytes = csm_code_bytes(bits, GROUP) + 128,
                                           .tile_bytes = csm_code_bytes(bits, GROUP) + 128};
            float *scales = (float *)(void *)(data + csm_code_bytes(bits, GROUP));
            for (size_t r = 0; r < 2 * CSM_TILE; r++)
                scales[r] = r < CSM_TILE ? 1 : 0;
            memset(planes, digit, sizeof planes);
            const struct digits digits = {planes, &step, &sum, false};
            const float by_hand = (float)(((1 << bits) - 1) * GROUP * 257 * digit);
            truth->dots_affine(&w, 0, CSM_TILE, &digits, 1, expected, CSM_TILE);
            assert_true(expected[3] == by_hand);
            for (size_t table = 0; csm_kernels_fast(table) != NULL; table++) {
                csm_kernels_fast(table)->dots_affine(&w, 0, CSM_TILE, &digits, 1, y, CSM_TILE);
                equal_all(y, expected, CSM_TILE);
            }
            memset(data, 0xff, GROUP * CSM_TILE + 128);
        }
    free(data);
}

static void products_of_mxfp8_have_the_same_bits(void **state)
{
    (void)state;
    enum { GROUPS = 9, COLS = GROUPS * CSM_E4M3_GROUP, ROWS = 3 * CSM_TILE, N_X = 21 };
    const size_t tile_bytes = csm_e4m3_tile_bytes(GROUPS);
    unsigned char *data = aligned_alloc(64, (3 * tile_bytes + 63) / 64 * 64);
    for (size_t i = 0; i < 3 * tile_bytes; i++)
        data[i] = (unsigned char)i; /* every code */
    for (size_t i = 0; i < 3 * GROUPS * CSM_TILE; i++)
        data[i / (GROUPS * CSM_TILE) * tile_bytes +
             csm_scales_at(i / CSM_TILE % GROUPS, CSM_E4M3_BLOCK) + i % CSM_TILE] =
            i % 9 == 0 ? 0 : 100 + i % 50;
    const struct e4m3_tiles w = {data, GROUPS};
    float *x = random_floats(N_X * (COLS + 5)), *y = malloc(N_X * ROWS * 4);
    float *expected = malloc(N_X * ROWS * 4);
    static const size_t n_rows[] = {1, 16, 21, 32}, n_x[] = {1, 2, 3, 8, N_X};
    for (size_t table = 0; csm_kernels_fast(table) != NULL; table++)
        for (size_t i = 0; i < 4 * 5; i++) {
            memset(y, 0, N_X * ROWS * 4);
            memset(expected, 0, N_X * ROWS * 4);
            csm_kernels_fast(table)->dots_e4m3(&w, 1, n_rows[i % 4], x, COLS + 5, n_x[i / 4], y,
                                               ROWS);
            truth->dots_e4m3(&w, 1, n_rows[i % 4], x, COLS + 5, n_x[i / 4], expected, ROWS);
            equal_all(y, expected, N_X * ROWS);
        }
    free(data);
    free(x);
    free(y);
    free(expected);
}

static void tiled_products_have_the_same_bits(void **state)
{
    (void)state;
    enum { ROWS = 5 * CSM_TILE, COLS = 700, N_X = 31 };
    static const size_t cols[] = {1, 63, 64, 257, COLS}, n_rows[] = {1, 16, 33, 64, ROWS - 3};
    static const size_t n_x[] = {1, 2, 3, 4, 5, 8, 12, N_X};
    float *x = random_floats(N_X * (COLS + 5)), *start = random_floats(ROWS);
    float *y = malloc(N_X * ROWS * 4), *expected = malloc(N_X * ROWS * 4);
    for (int is_coded = 0; is_coded < 2; is_coded++)
        for (size_t c = 0; c < 5; c++) {
            size_t n_blocks = (cols[c] + CSM_CODE_GROUP - 1) / CSM_CODE_GROUP;
            size_t block = is_coded ? sizeof(struct code_block) : 64 * cols[c];
            n_blocks = is_coded ? n_blocks : 1;
            unsigned char *data = aligned_alloc(64, ROWS / CSM_TILE * n_blocks * block);
            for (size_t b = 0; b < ROWS / CSM_TILE * n_blocks; b++) {
                float *floats = (float *)(void *)(data + b * block);
                for (size_t i = 0; i < (is_coded ? CSM_TILE : block / 4); i++)
                    floats[i] = random_float();
                for (size_t i = 64; is_coded && i < block; i++)
                    data[b * block + i] = (unsigned char)(int)(random_float() * 128);
            }
            struct column_tiles w = {data, cols[c], n_blocks * block, is_coded};
            for (size_t table = 0; csm_kernels_fast(table) != NULL; table++)
                for (size_t r = 0; r < 5; r++)
                    for (size_t t = 0; t < 8; t++) {
                        size_t tile = n_rows[r] <= 64 ? 1 : 0;
                        const float *from = t % 2 == 0 ? start : NULL;
                        memset(y, 0, N_X * ROWS * 4);
                        memset(expected, 0, N_X * ROWS * 4);
                        csm_kernels_fast(table)->dots_tiles(&w, tile, n_rows[r], from, x,
                                                            cols[c] + 5, n_x[t], y, ROWS);
                        truth->dots_tiles(&w, tile, n_rows[r], from, x, cols[c] + 5, n_x[t],
                                          expected, ROWS);
                        equal_all(y, expected, N_X * ROWS);
                    }
            free(data);
        }
    free(x);
    free(start);
    free(y);
    free(expected);
}

static void mixed_products_have_the_same_bits(void **state)
{
    (void)state;
    enum { ROWS = 5 * CSM_TILE, COLS = 67, N_X = 19, LDX = CSM_MIXED * COLS + 5 };
    static const size_t n_rows[] = {1, 16, 33, ROWS - 3}, n_x[] = {1, 2, 3, 8, N_X};
    float *x = random_floats((N_X + 3) * COLS), *start = random_floats(ROWS);
    float *mixed = calloc(N_X * LDX, 4), *expected_mixed = calloc(CSM_MIXED * COLS, 4);
    float *y = malloc(3 * N_X * ROWS * 4), *expected = malloc(3 * N_X * ROWS * 4);
    float *values = random_floats(CSM_MIXED * COLS * ROWS);
    float *data = aligned_alloc(64, CSM_MIXED * COLS * ROWS * 4);
    memcpy(data, values, CSM_MIXED * COLS * ROWS * 4);
    struct column_tiles w = {(const unsigned char *)data, CSM_MIXED * COLS,
                             CSM_MIXED * COLS * CSM_TILE * 4, false};
    for (size_t table = 0; csm_kernels_fast(table) != NULL; table++) {
        const struct kernels *k = csm_kernels_fast(table);
        for (size_t t = 0; t < N_X; t++) {
            k->mix(x + t * COLS, COLS, mixed + t * LDX);
            truth->mix(x + t * COLS, COLS, expected_mixed);
            equal_all(mixed + t * LDX, expected_mixed, CSM_MIXED * COLS);
        }
        for (size_t i = 0; i < 2 * 4 * 5; i++) {
            size_t n_out = 2 + i % 2, rows = n_rows[i / 2 % 4], n = n_x[i / 8];
            const float *from = i % 3 == 0 ? NULL : start;
            memset(y, 0, 3 * N_X * ROWS * 4);
            memset(expected, 0, 3 * N_X * ROWS * 4);
            k->dots_mixed(&w, rows <= 64 ? 1 : 0, rows, from, mixed, LDX, n, n_out, y, ROWS);
            truth->dots_mixed(&w, rows <= 64 ? 1 : 0, rows, from, mixed, LDX, n, n_out, expected,
                              ROWS);
            equal_all(y, expected, 3 * N_X * ROWS);
        }
    }
    free(x);
    free(start);
    free(mixed);
    free(expected_mixed);
    free(y);
    free(expected);
    free(values);
    free(data);
}

static void digits_are_off_by_half_a_step_at_most(void **state)
{
    (void)state;
    enum { N = 64 };
    float x[N], step, sum;
    int8_t planes[CSM_PLANES * N];
    for (int e = -90; e <= 120; e += 15) {
        double largest = 0, total = 0;
        for (int i = 0; i < N; i++) {
            x[i] = ldexpf(random_float(), e);
            largest = fabs((double)x[i]) > largest ? fabs((double)x[i]) : largest;
        }
        truth->to_digits(x, 1, N, planes, &step, &sum);
        for (int i = 0; i < N; i++) {
            const int8_t *low = planes + i / 8 * 16 + i % 8;
            double value = (low[0] + 256.0 * low[8]) * (double)step;
            total += value;
            /* 32639 steps are the largest; the quotient and the step are rounded, too:
             * 2^-24 of it each, a 256th of a step. */
            assert_true(fabs(value - (double)x[i]) <= largest / 32639 * (0.5 + 0x1p-7));
        }
        assert_true(fabs(total - (double)sum) <= fabs(total) * 0x1p-23);
    }
    memset(x, 0, sizeof x);
    truth->to_digits(x, 1, N, planes, &step, &sum);
    assert_true(sum == 0);
}

static void everything_else_has_the_same_bits(void **state)
{
    (void)state;
    enum { N = 1234, DIM = 80, BLOCKS = 4 };
    float *x = random_floats(N), *up = random_floats(N), *shift = random_floats(N);
    float y[N], expected[N];
    for (size_t i = 0; i < N; i++)
        x[i] *= i % 3 == 0 ? 200.0f : 2.0f;
    x[7] = INFINITY;
    x[8] = -INFINITY;
    enum { PAGE = 3 * 16 * DIM }; /* keys, values, and what kv->next may ask for */
    float *memory = random_floats(BLOCKS * PAGE);
    /* out of order, as pages of a lane may be */
    const float *pages[BLOCKS] = {memory + 2 * PAGE, memory, memory + 3 * PAGE, memory + PAGE};
    enum { QUERIES = 6 }; /* four that share what is loaded, and two */
    float scores[QUERIES * (BLOCKS * 16 + 32)];
    static const size_t dims[] = {24, 16, DIM};
    for (size_t table = 0; csm_kernels_fast(table) != NULL; table++) {
        const struct kernels *k = csm_kernels_fast(table);
        memcpy(y, x, sizeof y);
        memcpy(expected, x, sizeof y);
        k->silu_times(y, up, N);
        truth->silu_times(expected, up, N);
        equal_all(y, expected, N);
        memcpy(y, x, sizeof y);
        memcpy(expected, x, sizeof y);
        k->gelu(y, N);
        truth->gelu(expected, N);
        equal_all(y, expected, N);
        k->elu(x, N, y);
        truth->elu(x, N, expected);
        equal_all(y, expected, N);
        k->norm_rms(up, shift, N, 1e-5f, y);
        truth->norm_rms(up, shift, N, 1e-5f, expected);
        equal_all(y, expected, N);
        k->norm_layer(up, x, shift, N, 1e-5f, y);
        truth->norm_layer(up, x, shift, N, 1e-5f, expected);
        equal_all(y, expected, 7);
        for (size_t i = 0; i < 3; i++)
            for (size_t end = 1; end < 150; end += 7) {
                size_t first = end < 40 ? 0 : end - 40;
                struct kv_view kv = {pages, BLOCKS, 16 * dims[i], 0, dims[i], i % 2 * dims[i]};
                k->attend(up, QUERIES, &kv, first, end, 0.5f, scores, y);
                truth->attend(up, QUERIES, &kv, first, end, 0.5f, scores, expected);
                equal_all(y, expected, QUERIES * dims[i]);
                k->attend(up + dims[i], 1, &kv, first, end, 0.5f, scores, y);
                equal_all(y, expected + dims[i], dims[i]);
            }
    }
    free(x);
    free(up);
    free(shift);
    free(memory);
}

static double units_apart(float x, double expected)
{
    int exponent;
    (void)frexp(expected, &exponent);
    exponent = exponent < -125 ? -125 : exponent; /* subnormals */
    return fabs((double)x - expected) / ldexp(1, exponent - 24);
}

static void functions_are_near_the_c_librarys(void **state)
{
    (void)state;
    double worst_exp = 0, worst_elu = 0, worst_erf = 0, worst_silu = 0;
    for (float x = -103; x < 88.7f; x += 0.00137f) {
        double d = (double)x;
        worst_exp = fmax(worst_exp, units_apart(exp_f(x), exp(d)));
        if (x > -88) /* below, exp(-x) overflows, as in the references */
            worst_silu = fmax(worst_silu, units_apart(silu_f(x), d / (1 + exp(-d))));
        worst_elu = fmax(worst_elu, units_apart(elu_f(x), x > 0 ? d : expm1(d)));
        worst_erf = fmax(worst_erf, units_apart(erf_f(x / 20), erf((double)(x / 20))));
    }
    print_message("units in the last place: exp %.2f silu %.2f elu %.2f erf %.2f\n", worst_exp,
                  worst_silu, worst_elu, worst_erf);
    assert_true(worst_exp < 1.5);
    assert_true(worst_silu < 4);
    assert_true(worst_elu < 2);
    assert_true(worst_erf < 3);
    assert_true(exp_f(-200) == 0 && isinf(exp_f(100)) && isnan(exp_f(NAN)));
    assert_true(silu_f(-INFINITY) != silu_f(-INFINITY) || silu_f(-1e30f) == 0);
    assert_true(isnan(erf_f(NAN)) && erf_f(30) == 1 && erf_f(-30) == -1 && isnan(elu_f(NAN)));
}

int main(void)
{
    for (size_t table = 0; csm_kernels_fast(table) != NULL; table++)
        print_message("table: %s\n", csm_kernels_fast(table)->name);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dots_have_the_same_bits),
        cmocka_unit_test(affine_products_have_the_same_bits),
        cmocka_unit_test(many_rows_of_matrix_and_x_have_the_same_bits),
        cmocka_unit_test(the_largest_codes_and_digits_have_the_same_bits),
        cmocka_unit_test(products_of_mxfp8_have_the_same_bits),
        cmocka_unit_test(tiled_products_have_the_same_bits),
        cmocka_unit_test(mixed_products_have_the_same_bits),
        cmocka_unit_test(digits_are_off_by_half_a_step_at_most),
        cmocka_unit_test(everything_else_has_the_same_bits),
        cmocka_unit_test(functions_are_near_the_c_librarys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
