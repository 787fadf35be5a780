/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of the native engine against sums in double, for every way a weight
 * is stored and every precision that it may be given. */
#include "unit/native_case.h"

#include "base/affine.h"
#include "base/fp_blocks.h"

enum { ROWS = 37, COLS = 256, N_X = 3 };

/* y = x W^T (+ bias), W [ROWS, COLS] in double. */
static double *expected_linear(const double *w, const float *bias, const float *x)
{
    double *y = malloc(sizeof *y * N_X * ROWS);
    for (size_t t = 0; t < N_X; t++)
        for (size_t r = 0; r < ROWS; r++) {
            double sum = bias == NULL ? 0 : (double)bias[r];
            for (size_t c = 0; c < COLS; c++)
                sum += w[r * COLS + c] * (double)x[t * COLS + c];
            y[t * ROWS + r] = sum;
        }
    return y;
}

/* Sums of 256 products below 1: float32 rounding gives some 1e-5 at worst. */
static const double tolerance = 2e-5;

/* Activations as an affine product of this group has them (kernels.h, struct digits). */
static float *rounded(const float *x, size_t group)
{
    float *out = malloc(N_X * COLS * sizeof *out);
    for (size_t g = 0; g < N_X * COLS; g += group) {
        double largest = 0;
        for (size_t i = g; i < g + group; i++)
            largest = fabs((double)x[i]) > largest ? fabs((double)x[i]) : largest;
        float step = (float)largest / 32639, per_step = 32639 / (float)largest;
        for (size_t i = g; i < g + group; i++)
            out[i] = rintf(x[i] * per_step) * step;
    }
    return out;
}

/* group: of affine products; 1: float ones. */
static void check_source(csm_precision precision, const struct csm_weight_source *source,
                         const double *values, size_t group)
{
    float *x = random_floats(N_X * COLS), *bias = random_floats(ROWS);
    float *x_rounded = rounded(x, group);
    double *expected = expected_linear(values, bias, group == 1 ? x : x_rounded);
    float *first = NULL;
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        void *ctx = open_engine(precision, n_threads);
        csm_weight *w = NULL;
        OK(ops->weight_new(ctx, source, &w, err));
        csm_weight *b = weight_f32(ctx, bias, ROWS, 0, 0);
        csm_value *in = value_of(ctx, x, N_X, COLS), *out = value_of(ctx, x, 1, 1);
        OK(ops->linear(ctx, w, b, in, out, err));
        float *y = read_value(ctx, out, N_X, ROWS);
        near_all(y, expected, N_X * ROWS, tolerance);
        if (first == NULL)
            first = y;
        else {
            equal_all(y, first, N_X * ROWS); /* whatever the threads */
            free(y);
        }
        /* A row alone has the bits that it has among others. */
        OK(ops->write(ctx, x + COLS, 1, COLS, in, err));
        OK(ops->linear(ctx, w, b, in, out, err));
        y = read_value(ctx, out, 1, ROWS);
        equal_all(y, first + ROWS, ROWS);
        free(y);
        /* And embed gives the rows of the same matrix. */
        int32_t ids[2] = {5, ROWS - 1};
        OK(ops->embed(ctx, w, ids, 1, 2, out, err));
        y = read_value(ctx, out, 1, COLS);
        double sum[COLS];
        for (size_t c = 0; c < COLS; c++)
            sum[c] = values[5 * COLS + c] + values[(ROWS - 1) * COLS + c];
        near_all(y, sum, COLS, 1e-6); /* one addition of float32, of numbers below 2 */
        free(y);
        ops->value_free(ctx, in);
        ops->value_free(ctx, out);
        ops->weight_free(ctx, w);
        ops->weight_free(ctx, b);
        ops->close(ctx);
    }
    free(first);
    free(expected);
    free(x_rounded);
    free(bias);
    free(x);
}

enum { N = ROWS * COLS };

static void float_weights_are_used_as_stored_or_rounded(void **state)
{
    (void)state;
    float *w = random_floats(N);
    uint16_t *half = malloc(N * sizeof *half);
    float *turned = malloc(N * sizeof *turned);
    double *values = malloc(N * sizeof *values);
    for (size_t i = 0; i < N; i++)
        turned[i % COLS * ROWS + i / COLS] = w[i];

    struct csm_weight_source source = {.tensor = tensor_f32(w, ROWS, COLS, 0)};
    struct csm_weight_source lying = {.tensor = tensor_f32(turned, COLS, ROWS, 0),
                                      .transposed = true};
    for (size_t i = 0; i < N; i++)
        values[i] = (double)w[i];
    check_source(CSM_PRECISION_STORED, &source, values, 1);
    check_source(CSM_PRECISION_F32, &source, values, 1);
    check_source(CSM_PRECISION_STORED, &lying, values, 1);
    struct csm_weight_source exact = source;
    exact.exact = true;
    check_source(CSM_PRECISION_Q4, &exact, values, 1);

    for (size_t i = 0; i < N; i++)
        values[i] = (double)csm_from_bf16(csm_to_bf16(w[i]));
    check_source(CSM_PRECISION_BF16, &source, values, 1);
    check_source(CSM_PRECISION_BF16, &lying, values, 1);
    struct csm_weight_source stored = source;
    stored.tensor.dtype = CSM_DTYPE_BF16;
    stored.tensor.data = half;
    stored.tensor.n_bytes = N * 2;
    for (size_t i = 0; i < N; i++)
        half[i] = csm_to_bf16(w[i]);
    check_source(CSM_PRECISION_STORED, &stored, values, 1);
    check_source(CSM_PRECISION_F32, &stored, values, 1);

    for (size_t i = 0; i < N; i++)
        values[i] = (double)csm_from_f16(csm_to_f16(w[i]));
    check_source(CSM_PRECISION_F16, &source, values, 1);
    stored.tensor.dtype = CSM_DTYPE_F16;
    for (size_t i = 0; i < N; i++)
        half[i] = csm_to_f16(w[i]);
    check_source(CSM_PRECISION_STORED, &stored, values, 1);

    free(w);
    free(half);
    free(turned);
    free(values);
}

/* Quantize w as MLX does into `source`, and give the values that it stands for. */
static void quantized(const float *w, int bits, int group, csm_dtype scale_dtype,
                      struct csm_weight_source *source, double *values)
{
    size_t n_groups = N / (size_t)group, n_words = N * (size_t)bits / 32;
    uint8_t *codes = malloc(N);
    float *scales = malloc(n_groups * 4), *biases = malloc(n_groups * 4);
    uint32_t *words = malloc(n_words * 4);
    csm_affine_quantize(w, N, bits, group, codes, scales, biases);
    csm_affine_pack(codes, N, bits, words);
    for (size_t g = 0; scale_dtype == CSM_DTYPE_BF16 && g < n_groups; g++) {
        uint16_t s = csm_to_bf16(scales[g]), b = csm_to_bf16(biases[g]);
        scales[g] = csm_from_bf16(s);
        biases[g] = csm_from_bf16(b);
    }
    for (size_t i = 0; i < N; i++)
        values[i] = (double)scales[i / (size_t)group] * codes[i] + (double)biases[i / (size_t)group];
    if (scale_dtype == CSM_DTYPE_BF16)
        for (size_t g = 0; g < n_groups; g++) {
            ((uint16_t *)scales)[g] = csm_to_bf16(scales[g]);
            ((uint16_t *)biases)[g] = csm_to_bf16(biases[g]);
        }
    *source = (struct csm_weight_source){.tensor = tensor_f32(NULL, ROWS, COLS, 0),
                                         .format = CSM_WEIGHT_AFFINE,
                                         .bits = bits,
                                         .group_size = group};
    source->tensor.dtype = CSM_DTYPE_U32;
    source->tensor.data = words;
    source->tensor.n_bytes = n_words * 4;
    source->scales = tensor_f32(scales, ROWS, COLS / (size_t)group, 0);
    source->scales.dtype = scale_dtype;
    source->scales.n_bytes = n_groups * csm_dtype_size(scale_dtype);
    source->biases = source->scales;
    source->biases.data = biases;
    free(codes);
}

static void the_decoders_weights_keep_18_bits(void **state)
{
    (void)state;
    float *w = random_floats(N);
    double *values = malloc(N * sizeof *values);
    struct csm_weight_source source = {.tensor = tensor_f32(w, ROWS, COLS, 0), .is_sound = true};
    /* Multiples of 2^-17 beside a largest of 131071 of them are codes as they are. */
    for (size_t i = 0; i < N; i++) {
        w[i] = i % 64 == 9 ? 131071 * 0x1p-17f : rintf(w[i] * 131071) * 0x1p-17f;
        values[i] = (double)w[i];
    }
    check_source(CSM_PRECISION_STORED, &source, values, 1);

    /* Others are off by half a step at most; infinity and zeros stay what they are. */
    float *x = calloc(COLS, sizeof *x), *wide = random_floats(N);
    source.tensor.data = wide;
    wide[70] = INFINITY;
    memset(wide + 3 * COLS, 0, COLS * sizeof *wide);
    void *ctx = open_engine(CSM_PRECISION_STORED, 1);
    csm_weight *weight = NULL;
    OK(ops->weight_new(ctx, &source, &weight, err));
    csm_value *in = value_of(ctx, x, 1, COLS), *out = value_of(ctx, x, 1, 1);
    for (size_t c = 0; c < COLS; c += 7) {
        x[c] = 1;
        OK(ops->write(ctx, x, 1, COLS, in, err));
        OK(ops->linear(ctx, weight, NULL, in, out, err));
        float *y = read_value(ctx, out, 1, ROWS);
        assert_true(!isfinite(y[0]) && y[3] == 0);
        for (size_t r = 1; r < ROWS; r++)
            assert_true(fabsf(y[r] - wide[r * COLS + c]) <= 0.5f / 131071 * 1.0001f);
        free(y);
        x[c] = 0;
    }
    ops->value_free(ctx, in);
    ops->value_free(ctx, out);
    ops->weight_free(ctx, weight);
    ops->close(ctx);
    free(x);
    free(wide);
    free(w);
    free(values);
}

static void affine_weights_are_used_as_stored(void **state)
{
    (void)state;
    float *w = random_floats(N);
    double *values = malloc(N * sizeof *values);
    for (int bits = 1; bits <= 8; bits += bits == 6 ? 2 : 1)
        for (int group = 32; group <= 128; group *= 2)
            for (int wide = 0; wide < 2; wide++) {
                struct csm_weight_source source;
                quantized(w, bits, group, wide ? CSM_DTYPE_F32 : CSM_DTYPE_BF16, &source, values);
                check_source(CSM_PRECISION_STORED, &source, values, (size_t)group);
                if (bits == 4 || bits == 8)
                    check_source(bits == 4 ? CSM_PRECISION_Q4 : CSM_PRECISION_Q8, &source, values,
                                 (size_t)group);
                csm_weight *out = NULL;
                void *ctx = open_engine(bits == 4 ? CSM_PRECISION_Q8 : CSM_PRECISION_Q4, 1);
                assert_int_equal(ops->weight_new(ctx, &source, &out, NULL), CSM_BAD_ARG);
                ops->close(ctx);
                free((void *)source.tensor.data);
                free((void *)source.scales.data);
                free((void *)source.biases.data);
            }
    free(w);
    free(values);
}

/* mxfp4 and nvfp4 take activations in digits, as affine products do; mxfp8 as they are. */
static void small_floats_are_used_as_stored(void **state)
{
    (void)state;
    static const enum csm_weight_format formats[] = {CSM_WEIGHT_MXFP4, CSM_WEIGHT_NVFP4,
                                                     CSM_WEIGHT_MXFP8};
    float *w = random_floats(N), *floats = malloc(N * sizeof *floats);
    double *values = malloc(N * sizeof *values);
    uint8_t *codes = malloc(N), *scales = malloc(N);
    uint32_t *words = malloc(N);
    for (size_t i = 0; i < N; i++)
        w[i] = csm_round_bf16(w[i]);
    for (size_t f = 0; f < 3; f++) {
        const struct csm_fp_mode *mode = csm_fp_mode(formats[f]);
        const size_t n_groups = N / (size_t)mode->group;
        csm_fp_quantize(mode, CSM_DTYPE_BF16, w, N, codes, scales);
        csm_affine_pack(codes, N, mode->bits, words);
        csm_fp_values(mode, codes, scales, N, floats);
        for (size_t i = 0; i < N; i++)
            values[i] = (double)floats[i];
        struct csm_weight_source source = {.tensor = tensor_f32(NULL, ROWS, COLS, 0),
                                           .scales = tensor_f32(NULL, ROWS, 1, 0),
                                           .format = mode->format,
                                           .bits = mode->bits,
                                           .group_size = mode->group};
        source.tensor.dtype = CSM_DTYPE_U32;
        source.tensor.data = words;
        source.tensor.n_bytes = N * (size_t)mode->bits / 8;
        source.scales.dtype = CSM_DTYPE_U8;
        source.scales.data = scales;
        source.scales.n_bytes = n_groups;
        const size_t group = mode->bits == 8 ? 1 : (size_t)mode->group;
        check_source(CSM_PRECISION_STORED, &source, values, group);
        check_source(CSM_PRECISION_BF16, &source, values, group);
        csm_weight *out = NULL;
        void *ctx = open_engine(CSM_PRECISION_Q4, 1);
        assert_int_equal(ops->weight_new(ctx, &source, &out, NULL), CSM_BAD_ARG);
        ops->close(ctx);
    }
    free(w);
    free(floats);
    free(values);
    free(codes);
    free(scales);
    free(words);
}

static void a_bfloat16_matrix_may_be_quantized_when_loaded(void **state)
{
    (void)state;
    float *w = random_floats(N);
    uint16_t *half = malloc(N * sizeof *half);
    double *values = malloc(N * sizeof *values);
    for (size_t i = 0; i < N; i++) {
        half[i] = csm_to_bf16(w[i]);
        w[i] = csm_from_bf16(half[i]);
    }
    for (int bits = 4; bits <= 8; bits += 4) {
        struct csm_weight_source source;
        quantized(w, bits, 64, CSM_DTYPE_BF16, &source, values);
        struct csm_weight_source plain = {.tensor = tensor_f32(NULL, ROWS, COLS, 0)};
        plain.tensor.dtype = CSM_DTYPE_BF16;
        plain.tensor.data = half;
        plain.tensor.n_bytes = N * 2;
        check_source(bits == 4 ? CSM_PRECISION_Q4 : CSM_PRECISION_Q8, &plain, values, 64);
        plain.is_table = true;
        check_source(bits == 4 ? CSM_PRECISION_Q4 : CSM_PRECISION_Q8, &plain, values, 64);
        free((void *)source.tensor.data);
        free((void *)source.scales.data);
        free((void *)source.biases.data);
    }
    free(w);
    free(half);
    free(values);
}

struct rows_of_w {
    struct csm_made_rows made;
    const float *w;
};

static void read_rows_of_w(const struct csm_made_rows *made, size_t first, size_t n, void *out,
                           float *room)
{
    const float *w = ((const struct rows_of_w *)made)->w;
    for (size_t i = 0; i < n * COLS; i++)
        room[i] = w[first * COLS + i];
    memcpy(out, room, n * COLS * sizeof *room);
}

/* As an adapter's are (base/weight_source.h), in every form that a matrix of floats takes. */
static void rows_that_are_made_are_as_stored_ones(void **state)
{
    (void)state;
    float *w = random_floats(N), *x = random_floats(N_X * COLS);
    const struct rows_of_w rows = {{.read = read_rows_of_w, .n_room = 4 * COLS}, w};
    struct csm_weight_source stored = {.tensor = tensor_f32(w, ROWS, COLS, 0)};
    struct csm_weight_source made = {.tensor = tensor_f32(NULL, ROWS, COLS, 0),
                                     .made = &rows.made};
    for (int precision = CSM_PRECISION_STORED; precision <= CSM_PRECISION_Q4; precision++) {
        void *ctx = open_engine((csm_precision)precision, 2);
        csm_weight *weights[2] = {NULL, NULL};
        OK(ops->weight_new(ctx, &stored, &weights[0], err));
        OK(ops->weight_new(ctx, &made, &weights[1], err));
        csm_value *in = value_of(ctx, x, N_X, COLS), *out = value_of(ctx, x, 1, 1);
        float *y[2];
        for (size_t i = 0; i < 2; i++) {
            OK(ops->linear(ctx, weights[i], NULL, in, out, err));
            y[i] = read_value(ctx, out, N_X, ROWS);
        }
        equal_all(y[1], y[0], N_X * ROWS);
        const int32_t id = 0; /* made once, not looked up */
        assert_int_equal(ops->embed(ctx, weights[1], &id, 1, 1, out, NULL), CSM_BAD_ARG);
        for (size_t i = 0; i < 2; i++) {
            free(y[i]);
            ops->weight_free(ctx, weights[i]);
        }
        ops->value_free(ctx, in);
        ops->value_free(ctx, out);
        ops->close(ctx);
    }
    free(w);
    free(x);
}

static void a_value_that_is_not_finite_is_not_hidden(void **state)
{
    (void)state;
    float *w = random_floats(N), *x = random_floats(COLS);
    x[70] = NAN;
    for (int precision = CSM_PRECISION_F32; precision <= CSM_PRECISION_Q4; precision++) {
        void *ctx = open_engine((csm_precision)precision, 1);
        csm_weight *weight = weight_f32(ctx, w, ROWS, COLS, 0);
        csm_value *in = value_of(ctx, x, 1, COLS), *out = value_of(ctx, x, 1, 1);
        OK(ops->linear(ctx, weight, NULL, in, out, err));
        float *y = read_value(ctx, out, 1, ROWS);
        for (size_t i = 0; i < ROWS; i++)
            assert_true(isnan(y[i]));
        free(y);
        ops->value_free(ctx, in);
        ops->value_free(ctx, out);
        ops->weight_free(ctx, weight);
        ops->close(ctx);
    }
    free(w);
    free(x);
}

static void shapes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    float *w = random_floats(N);
    void *ctx = open_engine(CSM_PRECISION_STORED, 1);
    csm_weight *weight = weight_f32(ctx, w, ROWS, COLS, 0);
    csm_value *in = value_of(ctx, w, 1, COLS - 1), *out = value_of(ctx, w, 1, 1);
    assert_int_equal(ops->linear(ctx, weight, NULL, in, out, NULL), CSM_BAD_ARG);
    assert_int_equal(ops->add(ctx, in, out, NULL), CSM_BAD_ARG);
    float y[4];
    assert_int_equal(ops->read(ctx, out, 2, 2, y, NULL), CSM_BAD_ARG);
    ops->value_free(ctx, in);
    ops->value_free(ctx, out);
    ops->weight_free(ctx, weight);
    ops->close(ctx);
    struct csm_engine_options options = {.device = "gpu"};
    assert_int_equal(ops->open(&options, &ctx, NULL), CSM_BAD_ARG);
    free(w);
}

static void rows_are_copied_and_appended(void **state)
{
    (void)state;
    float x[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    void *ctx = open_engine(CSM_PRECISION_STORED, 1);
    csm_value *src = value_of(ctx, x, 6, 2), *dst = value_of(ctx, x, 1, 1);
    OK(ops->copy_rows(ctx, src, 4, 1, dst, 0, err));
    OK(ops->copy_rows(ctx, src, 0, 6, dst, 1, err));
    float *y = read_value(ctx, dst, 7, 2);
    float expected[14] = {8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    equal_all(y, expected, 14);
    assert_int_equal(ops->copy_rows(ctx, src, 5, 2, dst, 0, NULL), CSM_BAD_ARG);
    free(y);
    ops->value_free(ctx, src);
    ops->value_free(ctx, dst);
    ops->close(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(float_weights_are_used_as_stored_or_rounded),
        cmocka_unit_test(the_decoders_weights_keep_18_bits),
        cmocka_unit_test(affine_weights_are_used_as_stored),
        cmocka_unit_test(small_floats_are_used_as_stored),
        cmocka_unit_test(a_bfloat16_matrix_may_be_quantized_when_loaded),
        cmocka_unit_test(rows_that_are_made_are_as_stored_ones),
        cmocka_unit_test(a_value_that_is_not_finite_is_not_hidden),
        cmocka_unit_test(shapes_that_do_not_fit_are_refused),
        cmocka_unit_test(rows_are_copied_and_appended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
