/* SPDX-License-Identifier: Apache-2.0
 *
 * Convolutions of the native engine against the definitions of engine.h in double,
 * whole and in a stream. */
#include "unit/native_case.h"

enum { STEPS = 23 };

static double at(const double *x, size_t cols, long t, size_t c, bool replicate, long n)
{
    if (t >= 0 && t < n)
        return x[(size_t)t * cols + c];
    return replicate ? x[(size_t)(t < 0 ? 0 : n - 1) * cols + c] : 0;
}

static double *expected_conv(const struct csm_conv *c, const float *w, const float *bias,
                             const float *input, size_t n, size_t *rows)
{
    double *x = malloc(n * c->in * sizeof *x);
    for (size_t i = 0; i < n * c->in; i++)
        x[i] = c->elu && input[i] < 0 ? expm1((double)input[i]) : (double)input[i];
    size_t in = c->in / c->groups, out = c->out / c->groups;
    long left = (long)((c->kernel - 1) * c->dilation + 1) - (long)c->stride;
    *rows = c->transposed ? n * c->stride : (n + c->stride - 1) / c->stride;
    double *y = calloc(*rows * c->out, sizeof *y);
    for (size_t t = 0; t < *rows; t++)
        for (size_t o = 0; bias != NULL && o < c->out; o++)
            y[t * c->out + o] = (double)bias[o];
    if (!c->transposed) {
        for (size_t t = 0; t < *rows; t++)
            for (size_t o = 0; o < c->out; o++)
                for (size_t i = 0; i < in; i++)
                    for (size_t k = 0; k < c->kernel; k++)
                        y[t * c->out + o] +=
                            (double)w[(o * in + i) * c->kernel + k] *
                            at(x, c->in, (long)(t * c->stride + k * c->dilation) - left,
                               o / out * in + i, c->replicate, (long)n);
    } else {
        for (size_t t = 0; t < n; t++)
            for (size_t i = 0; i < c->in; i++)
                for (size_t o = 0; o < out; o++)
                    for (size_t k = 0; k < c->kernel; k++)
                        if (t * c->stride + k < *rows)
                            y[(t * c->stride + k) * c->out + i / in * out + o] +=
                                (double)w[(i * out + o) * c->kernel + k] * x[t * c->in + i];
    }
    free(x);
    return y;
}

/* Streams side by side, of which one has a past already, each as it is alone: other parts of x. */
static void check_lanes(void *ctx, const struct csm_conv *c, const float *x, size_t n_steps,
                        size_t at_once)
{
    enum { LANES = 3 };
    const size_t n = at_once * (n_steps / LANES / at_once), per = n * c->in;
    csm_conv_state *alone[LANES], *beside[LANES];
    csm_value *in = value_of(ctx, x, n, c->in), *out = value_of(ctx, x, 1, 1);
    for (size_t i = 0; i < LANES; i++) {
        OK(ops->conv_state_new(ctx, c, &alone[i], err));
        OK(ops->conv_state_new(ctx, c, &beside[i], err));
    }
    OK(ops->conv(ctx, c, alone[1], in, out, err));
    OK(ops->conv(ctx, c, beside[1], in, out, err));
    const size_t rows = c->transposed ? n * c->stride : (n + c->stride - 1) / c->stride;
    for (int round = 0; round < 2; round++) {
        OK(ops->write(ctx, x, LANES * n, c->in, in, err));
        OK(ops->conv_lanes(ctx, c, beside, LANES, in, out, err));
        float *y = read_value(ctx, out, LANES * rows, c->out);
        for (size_t i = 0; i < LANES; i++) {
            OK(ops->write(ctx, x + i * per, n, c->in, in, err));
            OK(ops->conv(ctx, c, alone[i], in, out, err));
            float *expected = read_value(ctx, out, rows, c->out);
            equal_all(y + i * rows * c->out, expected, rows * c->out);
            free(expected);
        }
        free(y);
    }
    for (size_t i = 0; i < LANES; i++) {
        ops->conv_state_free(ctx, alone[i]);
        ops->conv_state_free(ctx, beside[i]);
    }
    ops->value_free(ctx, in);
    ops->value_free(ctx, out);
}

static void check_conv_of(struct csm_conv c, bool has_bias, bool is_sound, double tolerance)
{
    void *ctx = open_engine(CSM_PRECISION_Q4, 2); /* convolutions are never quantized */
    size_t second = (c.transposed ? c.out : c.in) / c.groups;
    size_t first = c.transposed ? c.in : c.out;
    float *w = random_floats(first * second * c.kernel), *bias = random_floats(c.out);
    size_t at_once = c.rows_at_once != 0 ? c.rows_at_once : (c.transposed ? 1 : c.stride);
    size_t n_steps = c.rows_at_once != 0 ? 6 * at_once : STEPS;
    float *x = random_floats(n_steps * c.in);
    struct csm_weight_source source = {.tensor = tensor_f32(w, first, second, c.kernel),
                                       .is_sound = is_sound};
    OK(ops->weight_new(ctx, &source, &c.weight, err));
    c.bias = has_bias ? weight_f32(ctx, bias, c.out, 0, 0) : NULL;
    size_t rows;
    double *expected = expected_conv(&c, w, has_bias ? bias : NULL, x, n_steps, &rows);
    csm_value *in = value_of(ctx, x, n_steps, c.in), *out = value_of(ctx, x, 1, 1);
    OK(ops->conv(ctx, &c, NULL, in, out, err));
    float *whole = read_value(ctx, out, rows, c.out);
    near_all(whole, expected, rows * c.out, tolerance);

    csm_conv_state *stream = NULL;
    OK(ops->conv_state_new(ctx, &c, &stream, err));
    for (int round = 0; round < 2; round++) { /* a second time after a reset */
        size_t done = 0;
        for (size_t t = 0, n = at_once; t < n_steps; t += n, n = n % (3 * at_once) + at_once) {
            n = t + n > n_steps ? n_steps - t : n;
            OK(ops->write(ctx, x + t * c.in, n, c.in, in, err));
            OK(ops->conv(ctx, &c, stream, in, out, err));
            size_t piece = c.transposed ? n * c.stride : (n + c.stride - 1) / c.stride;
            float *y = read_value(ctx, out, piece, c.out);
            equal_all(y, whole + done * c.out, piece * c.out);
            done += piece;
            free(y);
        }
        assert_int_equal(done, rows);
        OK(ops->conv_state_reset(ctx, stream, err));
    }
    ops->conv_state_free(ctx, stream);
    check_lanes(ctx, &c, x, n_steps, at_once);
    ops->value_free(ctx, in);
    ops->value_free(ctx, out);
    ops->weight_free(ctx, c.weight);
    ops->weight_free(ctx, c.bias);
    ops->close(ctx);
    free(expected);
    free(whole);
    free(w);
    free(bias);
    free(x);
}

static void check_conv(struct csm_conv c, bool has_bias)
{
    /* Sums of some hundred products below 1, in float32 and in double. */
    check_conv_of(c, has_bias, false, 1e-5);
    check_conv_of(c, has_bias, true, 1e-5); /* small ones are float32 all the same */
}

static void forward_convolutions_equal_plain_loops(void **state)
{
    (void)state;
    check_conv((struct csm_conv){.in = 1, .out = 8, .kernel = 7, .stride = 1, .dilation = 1,
                                 .groups = 1}, true);
    check_conv((struct csm_conv){.in = 5, .out = 3, .kernel = 3, .stride = 1, .dilation = 1,
                                 .groups = 1, .elu = true}, true);
    check_conv((struct csm_conv){.in = 4, .out = 6, .kernel = 1, .stride = 1, .dilation = 1,
                                 .groups = 1}, false);
    check_conv((struct csm_conv){.in = 4, .out = 20, .kernel = 8, .stride = 4, .dilation = 1,
                                 .groups = 1, .elu = true}, true);
    check_conv((struct csm_conv){.in = 6, .out = 4, .kernel = 3, .stride = 1, .dilation = 4,
                                 .groups = 1}, true);
    check_conv((struct csm_conv){.in = 6, .out = 9, .kernel = 3, .stride = 2, .dilation = 2,
                                 .groups = 3}, true);
}

static void the_edge_may_be_replicated(void **state)
{
    (void)state;
    check_conv((struct csm_conv){.in = 8, .out = 8, .kernel = 4, .stride = 2, .dilation = 1,
                                 .groups = 1, .replicate = true}, false);
}

static void transposed_convolutions_equal_plain_loops(void **state)
{
    (void)state;
    check_conv((struct csm_conv){.in = 6, .out = 4, .kernel = 8, .stride = 4, .dilation = 1,
                                 .groups = 1, .transposed = true, .elu = true}, true);
    check_conv((struct csm_conv){.in = 6, .out = 5, .kernel = 7, .stride = 3, .dilation = 1,
                                 .groups = 1, .transposed = true}, true);
    check_conv((struct csm_conv){.in = 16, .out = 16, .kernel = 4, .stride = 2, .dilation = 1,
                                 .groups = 16, .transposed = true}, false);
    check_conv((struct csm_conv){.in = 6, .out = 4, .kernel = 4, .stride = 2, .dilation = 1,
                                 .groups = 2, .transposed = true}, true);
}

static void several_outputs_are_made_together(void **state)
{
    (void)state;
    struct csm_conv three_taps = {.in = 20, .out = 37, .kernel = 3, .stride = 1, .dilation = 1,
                                  .groups = 1, .elu = true, .rows_at_once = 18};
    struct csm_conv two_taps = {.in = 20, .out = 7, .kernel = 10, .stride = 5, .dilation = 1,
                                .groups = 1, .transposed = true, .elu = true, .rows_at_once = 18};
    check_conv(three_taps, true);
    check_conv(two_taps, true);
    two_taps.rows_at_once = three_taps.rows_at_once = 402; /* more than are mixed at a time */
    two_taps.in = three_taps.in = 64;
    check_conv(three_taps, false);
    check_conv(two_taps, false);
    two_taps.rows_at_once = three_taps.rows_at_once = 19; /* and what is not made together */
    check_conv(three_taps, true);
    check_conv(two_taps, true);
    three_taps.out = 1;
    three_taps.rows_at_once = 18;
    check_conv(three_taps, true);
}

static void rows_that_are_no_whole_frames_are_refused(void **state)
{
    (void)state;
    void *ctx = open_engine(CSM_PRECISION_STORED, 1);
    float w[16] = {0};
    struct csm_conv c = {.in = 2, .out = 4, .kernel = 1, .stride = 1, .dilation = 1, .groups = 1,
                         .rows_at_once = 2};
    c.weight = weight_f32(ctx, w, 4, 2, 1);
    csm_value *in = value_of(ctx, w, 3, 2), *out = value_of(ctx, w, 1, 1);
    assert_int_equal(ops->conv(ctx, &c, NULL, in, out, NULL), CSM_BAD_ARG);
    ops->value_free(ctx, in);
    ops->value_free(ctx, out);
    ops->weight_free(ctx, c.weight);
    ops->close(ctx);
}

/* 512 products a sum, each weight off by half a step of 2^-17 at most, as by chance:
 * 8 deviations of such a sum over inputs in (-1, 1) are 8 * sqrt(512 / 3 / 3) * 2^-18. */
static void a_large_convolution_of_the_decoder_is_coded(void **state)
{
    (void)state;
    check_conv_of((struct csm_conv){.in = 256, .out = 520, .kernel = 16, .stride = 8,
                                    .dilation = 1, .groups = 1, .transposed = true, .elu = true},
                  true, true, 2.5e-4);
}

static void a_convolution_that_sees_the_future_is_refused(void **state)
{
    (void)state;
    void *ctx = open_engine(CSM_PRECISION_STORED, 1);
    float w[16] = {0};
    struct csm_conv c = {.in = 2, .out = 4, .kernel = 2, .stride = 3, .dilation = 1, .groups = 1};
    c.weight = weight_f32(ctx, w, 4, 2, 2);
    csm_value *in = value_of(ctx, w, 3, 2), *out = value_of(ctx, w, 1, 1);
    assert_int_equal(ops->conv(ctx, &c, NULL, in, out, NULL), CSM_BAD_ARG);
    c.stride = 1;
    c.kernel = 3;
    assert_int_equal(ops->conv(ctx, &c, NULL, in, out, NULL), CSM_BAD_ARG);
    ops->value_free(ctx, in);
    ops->value_free(ctx, out);
    ops->weight_free(ctx, c.weight);
    ops->close(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_convolutions_equal_plain_loops),
        cmocka_unit_test(the_edge_may_be_replicated),
        cmocka_unit_test(transposed_convolutions_equal_plain_loops),
        cmocka_unit_test(several_outputs_are_made_together),
        cmocka_unit_test(rows_that_are_no_whole_frames_are_refused),
        cmocka_unit_test(a_large_convolution_of_the_decoder_is_coded),
        cmocka_unit_test(a_convolution_that_sees_the_future_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
