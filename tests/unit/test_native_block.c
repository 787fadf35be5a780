/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks of the native engine (attention, feed-forward, norms) against plain loops
 * in double. */
#include "unit/native_case.h"

enum { WIDTH = 48, HEADS = 4, KV_HEADS = 2, DIM = 10, HIDDEN = 70, STEPS = 45 };

struct layer {
    float *scale, *shift, *q, *k, *v, *o, *gate, *up, *down, *layer_scale;
    csm_weight *weights[10];
    struct csm_attention attention;
    struct csm_mlp mlp;
};

static csm_weight *keep(struct layer *l, int i, void *ctx, float *data, size_t rows, size_t cols)
{
    return l->weights[i] = weight_f32(ctx, data, rows, cols, 0);
}

static void layer_open(struct layer *l, void *ctx, bool is_mimi, size_t window, bool interleaved)
{
    enum { Q = HEADS * DIM, KV = KV_HEADS * DIM };
    *l = (struct layer){.scale = random_floats(WIDTH),
                        .shift = random_floats(WIDTH),
                        .q = random_floats(Q * WIDTH),
                        .k = random_floats(KV * WIDTH),
                        .v = random_floats(KV * WIDTH),
                        .o = random_floats(WIDTH * Q),
                        .gate = random_floats(HIDDEN * WIDTH),
                        .up = random_floats(HIDDEN * WIDTH),
                        .down = random_floats(WIDTH * HIDDEN),
                        .layer_scale = random_floats(WIDTH)};
    struct csm_norm norm = {.kind = is_mimi ? CSM_NORM_LAYER : CSM_NORM_RMS,
                            .scale = keep(l, 0, ctx, l->scale, WIDTH, 0),
                            .eps = 1e-5f};
    if (is_mimi)
        norm.bias = keep(l, 1, ctx, l->shift, WIDTH, 0);
    csm_weight *layer_scale = is_mimi ? keep(l, 2, ctx, l->layer_scale, WIDTH, 0) : NULL;
    l->attention = (struct csm_attention){
        .norm = norm,
        .q = keep(l, 3, ctx, l->q, Q, WIDTH),
        .k = keep(l, 4, ctx, l->k, KV, WIDTH),
        .v = keep(l, 5, ctx, l->v, KV, WIDTH),
        .o = keep(l, 6, ctx, l->o, WIDTH, Q),
        .layer_scale = layer_scale,
        .width = WIDTH,
        .n_heads = HEADS,
        .n_kv_heads = KV_HEADS,
        .head_dim = DIM,
        .window = window,
        .rope = {.theta = 50,
                 .factor = is_mimi ? 0 : 32,
                 .low_freq_factor = 0.125,
                 .high_freq_factor = 0.5,
                 .original_max_positions = 16,
                 .interleaved = interleaved}};
    l->mlp = (struct csm_mlp){.norm = norm,
                              .gate = is_mimi ? NULL : keep(l, 7, ctx, l->gate, HIDDEN, WIDTH),
                              .up = keep(l, 8, ctx, l->up, HIDDEN, WIDTH),
                              .down = keep(l, 9, ctx, l->down, WIDTH, HIDDEN),
                              .layer_scale = layer_scale,
                              .width = WIDTH,
                              .hidden = HIDDEN};
}

static void layer_close(struct layer *l, void *ctx)
{
    for (int i = 0; i < 10; i++)
        ops->weight_free(ctx, l->weights[i]);
    float *all[] = {l->scale, l->shift, l->q,  l->k,    l->v,
                    l->o,     l->gate,  l->up, l->down, l->layer_scale};
    for (int i = 0; i < 10; i++)
        free(all[i]);
}

/* ---- the same in double ---- */

static void times(const float *w, size_t rows, size_t cols, const double *x, double *y)
{
    for (size_t r = 0; r < rows; r++) {
        y[r] = 0;
        for (size_t c = 0; c < cols; c++)
            y[r] += (double)w[r * cols + c] * x[c];
    }
}

static void normed(const struct layer *l, bool is_mimi, const double *x, double *y)
{
    double mean = 0, square = 0;
    for (size_t i = 0; is_mimi && i < WIDTH; i++)
        mean += x[i] / WIDTH;
    for (size_t i = 0; i < WIDTH; i++)
        square += (x[i] - mean) * (x[i] - mean) / WIDTH;
    for (size_t i = 0; i < WIDTH; i++)
        y[i] = (x[i] - mean) / sqrt(square + 1e-5) * (double)l->scale[i] +
               (is_mimi ? (double)l->shift[i] : 0);
}

static void rotated(const struct csm_rope *rope, size_t position, double *x)
{
    for (size_t i = 0; i < DIM / 2; i++) {
        double f = pow(rope->theta, -2.0 * (double)i / DIM);
        if (rope->factor != 0) {
            double length = 2 * M_PI / f, low = rope->original_max_positions / rope->low_freq_factor;
            double high = rope->original_max_positions / rope->high_freq_factor;
            double s = (rope->original_max_positions / length - rope->low_freq_factor) /
                       (rope->high_freq_factor - rope->low_freq_factor);
            if (length > low)
                f /= rope->factor;
            else if (length >= high)
                f = (1 - s) * f / rope->factor + s * f;
        }
        double angle = (double)position * f;
        size_t a = rope->interleaved ? 2 * i : i, b = rope->interleaved ? 2 * i + 1 : i + DIM / 2;
        double xa = x[a], xb = x[b];
        x[a] = xa * cos(angle) - xb * sin(angle);
        x[b] = xb * cos(angle) + xa * sin(angle);
    }
}

static void expected_attention(const struct layer *l, bool is_mimi, double *x, size_t n)
{
    enum { Q = HEADS * DIM, KV = KV_HEADS * DIM };
    double *q = malloc(n * Q * sizeof *q), *k = malloc(n * KV * sizeof *k);
    double *v = malloc(n * KV * sizeof *v), h[WIDTH], out[Q], sum[WIDTH];
    const struct csm_attention *a = &l->attention;
    for (size_t t = 0; t < n; t++) {
        normed(l, is_mimi, x + t * WIDTH, h);
        times(l->q, Q, WIDTH, h, q + t * Q);
        times(l->k, KV, WIDTH, h, k + t * KV);
        times(l->v, KV, WIDTH, h, v + t * KV);
        for (size_t i = 0; i < HEADS; i++)
            rotated(&a->rope, t, q + t * Q + i * DIM);
        for (size_t i = 0; i < KV_HEADS; i++)
            rotated(&a->rope, t, k + t * KV + i * DIM);
    }
    for (size_t t = 0; t < n; t++) {
        for (size_t i = 0; i < HEADS; i++) {
            size_t kv = i / (HEADS / KV_HEADS) * DIM;
            double total = 0;
            memset(out + i * DIM, 0, DIM * sizeof *out);
            for (size_t j = 0; j <= t; j++) {
                if (a->window != 0 && t - j >= a->window)
                    continue;
                double dot = 0;
                for (size_t d = 0; d < DIM; d++)
                    dot += q[t * Q + i * DIM + d] * k[j * KV + kv + d];
                double weight = exp(dot / sqrt(DIM));
                total += weight;
                for (size_t d = 0; d < DIM; d++)
                    out[i * DIM + d] += weight * v[j * KV + kv + d];
            }
            for (size_t d = 0; d < DIM; d++)
                out[i * DIM + d] /= total;
        }
        times(l->o, WIDTH, Q, out, sum);
        for (size_t c = 0; c < WIDTH; c++)
            x[t * WIDTH + c] += sum[c] * (is_mimi ? (double)l->layer_scale[c] : 1);
    }
    free(q);
    free(k);
    free(v);
}

static void expected_mlp(const struct layer *l, bool is_mimi, double *x, size_t n)
{
    double h[WIDTH], gate[HIDDEN], up[HIDDEN], sum[WIDTH];
    for (size_t t = 0; t < n; t++) {
        normed(l, is_mimi, x + t * WIDTH, h);
        times(l->up, HIDDEN, WIDTH, h, up);
        times(l->gate, HIDDEN, WIDTH, h, gate);
        for (size_t i = 0; i < HIDDEN; i++)
            up[i] = is_mimi ? 0.5 * up[i] * (1 + erf(up[i] / sqrt(2)))
                            : up[i] * gate[i] / (1 + exp(-gate[i]));
        times(l->down, WIDTH, HIDDEN, up, sum);
        for (size_t c = 0; c < WIDTH; c++)
            x[t * WIDTH + c] += sum[c] * (is_mimi ? (double)l->layer_scale[c] : 1);
    }
}

/* ---- */

/* Values reach some 30; sums of up to 70 products. */
static const double tolerance = 2e-4;

static void check_attention(bool is_mimi, size_t window, bool interleaved)
{
    void *ctx = open_engine(CSM_PRECISION_STORED, 2);
    struct layer l;
    layer_open(&l, ctx, is_mimi, window, interleaved);
    float *x = random_floats(STEPS * WIDTH);
    double expected[STEPS * WIDTH];
    for (size_t i = 0; i < STEPS * WIDTH; i++)
        expected[i] = (double)x[i];
    expected_attention(&l, is_mimi, expected, STEPS);

    /* all at once */
    csm_lane *lanes[2] = {NULL, NULL};
    OK(ops->lane_open(ctx, &l.attention, 1, STEPS + window, &lanes[0], err));
    csm_value *v = value_of(ctx, x, STEPS, WIDTH);
    OK(ops->attention(ctx, &l.attention, 0, &(struct csm_rows){lanes[0], STEPS}, 1, v, err));
    float *whole = read_value(ctx, v, STEPS, WIDTH);
    near_all(whole, expected, STEPS * WIDTH, tolerance);
    ops->lane_close(ctx, lanes[0]);

    /* in pieces, in two lanes of which each takes other pieces, through a ring */
    size_t capacity = window == 0 ? 2 * STEPS : window - 1 + 7, at[2] = {0, 0};
    for (int i = 0; i < 2; i++)
        OK(ops->lane_open(ctx, &l.attention, 1, capacity, &lanes[i], err));
    for (size_t round = 0; at[0] < STEPS || at[1] < STEPS; round++) {
        struct csm_rows rows[2];
        size_t n_lanes = 0, n_rows = 0, which[2], n;
        float both[14 * WIDTH];
        for (size_t i = 0; i < 2; i++) {
            n = (round * (i + 3) + i) % 7 + 1;
            n = at[i] + n > STEPS ? STEPS - at[i] : n;
            if (n == 0)
                continue;
            memcpy(both + n_rows * WIDTH, x + at[i] * WIDTH, n * WIDTH * sizeof *both);
            which[n_lanes] = i;
            rows[n_lanes++] = (struct csm_rows){lanes[i], n};
            n_rows += n;
        }
        OK(ops->write(ctx, both, n_rows, WIDTH, v, err));
        OK(ops->attention(ctx, &l.attention, 0, rows, n_lanes, v, err));
        float *y = read_value(ctx, v, n_rows, WIDTH);
        for (size_t i = 0, row = 0; i < n_lanes; row += rows[i++].n) {
            equal_all(y + row * WIDTH, whole + at[which[i]] * WIDTH, rows[i].n * WIDTH);
            at[which[i]] += rows[i].n;
        }
        free(y);
    }

    /* a lane cut back goes on from there; so does a fork, and neither changes the other; one
     * that is full says so */
    if (window == 0) {
        csm_lane *fork = NULL;
        OK(ops->lane_fork(ctx, lanes[0], 20, &fork, err));
        OK(ops->lane_truncate(ctx, lanes[0], 10, err));
        csm_lane *const both[] = {lanes[0], fork, lanes[0]};
        const size_t from[] = {10, 20, 13};
        for (size_t i = 0; i < 3; i++) {
            OK(ops->write(ctx, x + from[i] * WIDTH, 3, WIDTH, v, err));
            OK(ops->attention(ctx, &l.attention, 0, &(struct csm_rows){both[i], 3}, 1, v, err));
            float *y = read_value(ctx, v, 3, WIDTH);
            equal_all(y, whole + from[i] * WIDTH, 3 * WIDTH);
            free(y);
        }
        assert_int_equal(ops->lane_fork(ctx, fork, 24, &fork, NULL), CSM_BAD_ARG);
        ops->lane_close(ctx, fork);
    } else {
        csm_lane *fork = NULL;
        assert_int_equal(ops->lane_truncate(ctx, lanes[0], 10, NULL), CSM_BAD_ARG);
        assert_int_equal(ops->lane_fork(ctx, lanes[0], 1, &fork, NULL), CSM_BAD_ARG);
    }
    float *many = random_floats((capacity + 1) * WIDTH);
    OK(ops->write(ctx, many, capacity + 1, WIDTH, v, err));
    const struct csm_rows too_many = {lanes[0], capacity + 1};
    assert_int_equal(ops->attention(ctx, &l.attention, 0, &too_many, 1, v, NULL), CSM_BAD_ARG);
    OK(ops->lane_truncate(ctx, lanes[0], 0, err));
    OK(ops->write(ctx, x, 2, WIDTH, v, err));
    OK(ops->attention(ctx, &l.attention, 0, &(struct csm_rows){lanes[0], 2}, 1, v, err));
    float *y = read_value(ctx, v, 2, WIDTH);
    equal_all(y, whole, 2 * WIDTH);
    free(y);

    free(many);
    free(whole);
    free(x);
    for (int i = 0; i < 2; i++)
        ops->lane_close(ctx, lanes[i]);
    ops->value_free(ctx, v);
    layer_close(&l, ctx);
    ops->close(ctx);
}

static void attention_equals_plain_loops(void **state)
{
    (void)state;
    check_attention(false, 0, false);
    check_attention(false, 0, true);
    check_attention(true, 0, true);
}

static void windowed_attention_equals_plain_loops(void **state)
{
    (void)state;
    check_attention(true, 20, false);
    check_attention(true, 1, false);
    check_attention(false, 17, true);
}

static void feed_forward_equals_plain_loops(void **state)
{
    (void)state;
    for (int is_mimi = 0; is_mimi < 2; is_mimi++) {
        void *ctx = open_engine(CSM_PRECISION_STORED, 2);
        struct layer l;
        layer_open(&l, ctx, is_mimi, 0, false);
        float *x = random_floats(STEPS * WIDTH);
        double expected[STEPS * WIDTH];
        for (size_t i = 0; i < STEPS * WIDTH; i++)
            expected[i] = (double)x[i];
        expected_mlp(&l, is_mimi, expected, STEPS);
        csm_value *v = value_of(ctx, x, STEPS, WIDTH);
        OK(ops->mlp(ctx, &l.mlp, v, err));
        float *y = read_value(ctx, v, STEPS, WIDTH);
        near_all(y, expected, STEPS * WIDTH, tolerance);

        OK(ops->write(ctx, x + WIDTH, 1, WIDTH, v, err));
        OK(ops->mlp(ctx, &l.mlp, v, err));
        float *one = read_value(ctx, v, 1, WIDTH);
        equal_all(one, y + WIDTH, WIDTH);
        free(one);
        free(y);
        free(x);
        ops->value_free(ctx, v);
        layer_close(&l, ctx);
        ops->close(ctx);
    }
}

static void norms_equal_plain_loops(void **state)
{
    (void)state;
    for (int is_mimi = 0; is_mimi < 2; is_mimi++) {
        void *ctx = open_engine(CSM_PRECISION_STORED, 1);
        struct layer l;
        layer_open(&l, ctx, is_mimi, 0, false);
        float *x = random_floats(2 * WIDTH);
        double in[2 * WIDTH], expected[2 * WIDTH];
        for (size_t i = 0; i < 2 * WIDTH; i++)
            in[i] = (double)x[i];
        normed(&l, is_mimi, in, expected);
        normed(&l, is_mimi, in + WIDTH, expected + WIDTH);
        csm_value *v = value_of(ctx, x, 2, WIDTH), *out = value_of(ctx, x, 1, 1);
        OK(ops->norm(ctx, &l.mlp.norm, v, out, err));
        float *y = read_value(ctx, out, 2, WIDTH);
        near_all(y, expected, 2 * WIDTH, 2e-6);
        free(y);
        free(x);
        ops->value_free(ctx, v);
        ops->value_free(ctx, out);
        layer_close(&l, ctx);
        ops->close(ctx);
    }
}

static void a_row_among_many_has_the_bits_that_it_has_alone(void **state)
{
    enum { COLS = 128, INNER = 320, MANY = 77 };
    (void)state;
    float *scale = random_floats(COLS), *gate = random_floats(INNER * COLS);
    float *up = random_floats(INNER * COLS), *down = random_floats(COLS * INNER);
    float *x = random_floats(MANY * COLS);
    for (int i = 0; i < 4; i++) {
        void *ctx = open_engine(i % 2 == 0 ? CSM_PRECISION_Q4 : CSM_PRECISION_Q8, i < 2 ? 1 : 3);
        const struct csm_mlp mlp = {.norm = {.kind = CSM_NORM_RMS,
                                             .scale = weight_f32(ctx, scale, COLS, 0, 0),
                                             .eps = 1e-5f},
                                    .gate = weight_f32(ctx, gate, INNER, COLS, 0),
                                    .up = weight_f32(ctx, up, INNER, COLS, 0),
                                    .down = weight_f32(ctx, down, COLS, INNER, 0),
                                    .width = COLS,
                                    .hidden = INNER};
        csm_value *v = value_of(ctx, x, MANY, COLS);
        OK(ops->mlp(ctx, &mlp, v, err));
        float *all = read_value(ctx, v, MANY, COLS);
        for (size_t t = 0; t < MANY; t += 4) {
            OK(ops->write(ctx, x + t * COLS, 1, COLS, v, err));
            OK(ops->mlp(ctx, &mlp, v, err));
            float *one = read_value(ctx, v, 1, COLS);
            equal_all(one, all + t * COLS, COLS);
            free(one);
        }
        free(all);
        csm_weight *const weights[] = {mlp.norm.scale, mlp.gate, mlp.up, mlp.down};
        for (int w = 0; w < 4; w++)
            ops->weight_free(ctx, weights[w]);
        ops->value_free(ctx, v);
        ops->close(ctx);
    }
    free(scale);
    free(gate);
    free(up);
    free(down);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_equals_plain_loops),
        cmocka_unit_test(windowed_attention_equals_plain_loops),
        cmocka_unit_test(feed_forward_equals_plain_loops),
        cmocka_unit_test(norms_equal_plain_loops),
        cmocka_unit_test(a_row_among_many_has_the_bits_that_it_has_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
