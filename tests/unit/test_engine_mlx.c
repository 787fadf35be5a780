/* SPDX-License-Identifier: Apache-2.0
 *
 * Every operation of the mlx engine against the native one, over random shapes.
 *
 * Tolerance: the two add the same float32 products in different orders. Inputs
 * are uniform in [-1, 1] and at most 300 terms are added, so sums stay below 40
 * in size and an order costs a few 2^-24 * 40 = 2e-6 each; blocks chain up to
 * six such sums, each fed through functions of slope near 1. 3e-5 holds that, and
 * is far below what a wrong index would give.
 *
 * reproduce: CSM_SEED=... ./test_engine_mlx */
#include "cmocka_all.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/open.h"

static const double tolerance = 3e-5;

enum { NATIVE, MLX, N_ENGINES };
static struct csm_engine engines[N_ENGINES];
static csm_error err;
static uint64_t seed;

#define EACH(e) (int e = 0; e < N_ENGINES; e++)
#define OPS(e) engines[e].ops
#define CTX(e) engines[e].ctx
#define CHECK(call)                                                                                \
    do {                                                                                           \
        if ((call) != CSM_OK)                                                                      \
            fail_msg("%s", err.text);                                                              \
    } while (0)

/* ---- random data, kept until the test ends ------------------------------- */

static void *kept[4096];
static size_t n_kept;

static void *keep(void *memory)
{
    assert_non_null(memory);
    assert_true(n_kept < sizeof kept / sizeof *kept);
    return kept[n_kept++] = memory;
}

static uint32_t random_word(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33);
}

static size_t pick(size_t from, size_t to)
{
    return from + random_word() % (to - from + 1);
}

static float *randoms(size_t n, double scale)
{
    float *x = keep(malloc(n * sizeof *x));
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(scale * ((double)random_word() / 1073741824.0 - 1.0));
    return x;
}

/* ---- things of both engines ---------------------------------------------- */

struct weight {
    csm_weight *in[N_ENGINES];
};

struct value {
    csm_value *in[N_ENGINES];
};

static struct weight weight_of(struct csm_weight_source source)
{
    struct weight w;
    for EACH (e)
        CHECK(OPS(e)->weight_new(CTX(e), &source, &w.in[e], &err));
    return w;
}

static struct csm_weight_source source_of(float *data, size_t rank, const size_t *shape)
{
    struct csm_weight_source source = {
        .tensor = {.name = "random", .dtype = CSM_DTYPE_F32, .rank = rank, .data = data, .n_bytes = 4}};
    for (size_t i = 0; i < rank; i++) {
        source.tensor.shape[i] = shape[i];
        source.tensor.n_bytes *= shape[i];
    }
    return source;
}

/* A vector (b and c 0), a matrix (c 0) or a kernel, its rows of length about 1. */
static struct weight random_weight(size_t a, size_t b, size_t c)
{
    size_t shape[] = {a, b, c};
    size_t rank = b == 0 ? 1 : c == 0 ? 2 : 3;
    size_t per_row = rank == 1 ? 1 : b * (c == 0 ? 1 : c);
    struct csm_weight_source source =
        source_of(randoms(a * per_row, rank == 1 ? 1.0 : sqrt(3.0 / (double)per_row)), rank, shape);
    source.exact = rank == 1;
    return weight_of(source);
}

static void free_weight(struct weight w)
{
    for EACH (e)
        OPS(e)->weight_free(CTX(e), w.in[e]);
}

static struct value new_value(void)
{
    struct value v;
    for EACH (e)
        CHECK(OPS(e)->value_new(CTX(e), &v.in[e], &err));
    return v;
}

static struct value value_of(const float *x, size_t rows, size_t cols)
{
    struct value v = new_value();
    for EACH (e)
        CHECK(OPS(e)->write(CTX(e), x, rows, cols, v.in[e], &err));
    return v;
}

static struct value random_value(size_t rows, size_t cols)
{
    return value_of(randoms(rows * cols, 1.0), rows, cols);
}

static float *numbers(int e, struct value v, size_t rows, size_t cols)
{
    float *x = keep(malloc(rows * cols * sizeof *x));
    CHECK(OPS(e)->read(CTX(e), v.in[e], rows, cols, x, &err));
    return x;
}

static void free_value(struct value v)
{
    for EACH (e)
        OPS(e)->value_free(CTX(e), v.in[e]);
}

static void check_near(const float *a, const float *b, size_t n, size_t cols, const char *what)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)a[i] - (double)b[i]) <= tolerance))
            fail_msg("%s: row %zu, column %zu: native %.9g, mlx %.9g", what, i / cols, i % cols,
                     (double)a[i], (double)b[i]);
}

/* Both engines have the same numbers in v, within the tolerance. */
static void check_equal(struct value v, size_t rows, size_t cols, const char *what)
{
    check_near(numbers(NATIVE, v, rows, cols), numbers(MLX, v, rows, cols), rows * cols, cols,
               what);
}

/* ---- tables and rows ------------------------------------------------------ */

static void embed_sums_rows_of_a_table(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        size_t n = pick(3, 40), width = pick(1, 50), rows = pick(1, 9), per_row = pick(1, 33);
        struct weight table = random_weight(n, width, 0);
        int32_t *ids = keep(malloc(rows * per_row * sizeof *ids));
        for (size_t i = 0; i < rows * per_row; i++)
            ids[i] = (int32_t)pick(0, n - 1);
        struct value out = new_value();
        for EACH (e)
            CHECK(OPS(e)->embed(CTX(e), table.in[e], ids, rows, per_row, out.in[e], &err));
        check_equal(out, rows, width, "embed");
        free_value(out);
        free_weight(table);
    }
}

static void copied_rows_begin_append_and_replace(void **state)
{
    (void)state;
    float *a = randoms(5 * 3, 1.0), *b = randoms(4 * 3, 1.0);
    struct value x = value_of(a, 5, 3), y = value_of(b, 4, 3), out = new_value();
    for EACH (e) {
        CHECK(OPS(e)->copy_rows(CTX(e), x.in[e], 1, 3, out.in[e], 0, &err));
        CHECK(OPS(e)->copy_rows(CTX(e), y.in[e], 0, 2, out.in[e], 3, &err));
        CHECK(OPS(e)->copy_rows(CTX(e), y.in[e], 3, 1, out.in[e], 1, &err));
    }
    for EACH (e) {
        const float *got = numbers(e, out, 5, 3);
        assert_memory_equal(got, a + 3, 12);
        assert_memory_equal(got + 3, b + 9, 12);
        assert_memory_equal(got + 6, a + 9, 12);
        assert_memory_equal(got + 9, b, 24);
    }
    free_value(x);
    free_value(y);
    free_value(out);
}

static void add_adds(void **state)
{
    (void)state;
    struct value x = random_value(7, 11), y = random_value(7, 11);
    for EACH (e)
        CHECK(OPS(e)->add(CTX(e), x.in[e], y.in[e], &err));
    check_equal(x, 7, 11, "add");
    free_value(x);
    free_value(y);
}

/* ---- norms and linear maps ----------------------------------------------- */

static void both_norms_are_equal(void **state)
{
    (void)state;
    for (int round = 0; round < 6; round++) {
        size_t rows = pick(1, 8), width = pick(2, 200);
        struct weight scale = random_weight(width, 0, 0), bias = random_weight(width, 0, 0);
        struct value x = random_value(rows, width), out = new_value();
        for EACH (e) {
            struct csm_norm norm = {.scale = scale.in[e], .eps = 1e-5f};
            norm.kind = round % 2 ? CSM_NORM_LAYER : CSM_NORM_RMS;
            norm.bias = round % 2 ? bias.in[e] : NULL;
            CHECK(OPS(e)->norm(CTX(e), &norm, x.in[e], out.in[e], &err));
        }
        check_equal(out, rows, width, "norm");
        free_value(x);
        free_value(out);
        free_weight(scale);
        free_weight(bias);
    }
}

static void linear_maps_are_equal_in_both_storage_orders(void **state)
{
    (void)state;
    for (int round = 0; round < 8; round++) {
        size_t rows = pick(1, 9), in = pick(1, 300), out = pick(1, 60);
        bool transposed = round % 2, has_bias = round & 2;
        size_t shape[] = {transposed ? in : out, transposed ? out : in};
        struct csm_weight_source source =
            source_of(randoms(in * out, sqrt(3.0 / (double)in)), 2, shape);
        source.transposed = transposed;
        struct weight w = weight_of(source), bias = random_weight(out, 0, 0);
        struct value x = random_value(rows, in), y = new_value();
        for EACH (e)
            CHECK(OPS(e)->linear(CTX(e), w.in[e], has_bias ? bias.in[e] : NULL, x.in[e], y.in[e],
                                 &err));
        check_equal(y, rows, out, "linear");
        free_value(x);
        free_value(y);
        free_weight(w);
        free_weight(bias);
    }
}

/* MLX's packing: value j of a row is bits j * bits .. of its words, low end first. */
static void quantized_matrices_equal_their_numbers(void **state)
{
    (void)state;
    static const int groups[] = {32, 64, 128};
    for (int round = 0; round < 6; round++) {
        int bits = round % 2 ? 8 : 4, group = groups[round / 2];
        size_t rows = pick(1, 9), in = 128 * pick(1, 2), out = pick(1, 40);
        size_t n_groups = in / (size_t)group, n_words = in * (size_t)bits / 32;
        uint32_t *words = keep(calloc(out * n_words, sizeof *words));
        float *scales = randoms(out * n_groups, 0.2 / (1 << bits));
        float *biases = randoms(out * n_groups, 0.1);
        float *plain = keep(malloc(out * in * sizeof *plain));
        for (size_t o = 0; o < out; o++)
            for (size_t j = 0; j < in; j++) {
                uint32_t q = random_word() & ((1u << bits) - 1);
                size_t bit = j * (size_t)bits, g = o * n_groups + j / (size_t)group;
                words[o * n_words + bit / 32] |= q << bit % 32;
                plain[o * in + j] = scales[g] * (float)q + biases[g];
            }
        struct csm_weight_source packed = {
            .tensor = {.name = "packed", .dtype = CSM_DTYPE_U32, .rank = 2, .shape = {out, n_words},
                       .data = words, .n_bytes = out * n_words * 4},
            .format = CSM_WEIGHT_AFFINE,
            .bits = bits,
            .group_size = group,
            .scales = source_of(scales, 2, (size_t[]){out, n_groups}).tensor,
            .biases = source_of(biases, 2, (size_t[]){out, n_groups}).tensor};
        struct csm_weight_source unpacked = source_of(plain, 2, (size_t[]){out, in});
        struct weight w;
        CHECK(OPS(NATIVE)->weight_new(CTX(NATIVE), &unpacked, &w.in[NATIVE], &err));
        CHECK(OPS(MLX)->weight_new(CTX(MLX), &packed, &w.in[MLX], &err));

        struct value x = random_value(rows, in), y = new_value(), z = new_value();
        int32_t ids[] = {0, (int32_t)out - 1};
        for EACH (e) {
            CHECK(OPS(e)->linear(CTX(e), w.in[e], NULL, x.in[e], y.in[e], &err));
            CHECK(OPS(e)->embed(CTX(e), w.in[e], ids, 1, 2, z.in[e], &err));
        }
        check_equal(y, rows, out, "quantized linear");
        check_equal(z, 1, in, "quantized embed");
        free_value(x);
        free_value(y);
        free_value(z);
        free_weight(w);
    }
}

/* ---- blocks --------------------------------------------------------------- */

struct block {
    struct weight scale, bias, q, k, v, o, gate, up, down, layer_scale;
    struct csm_attention attention[N_ENGINES];
    struct csm_mlp mlp[N_ENGINES];
};

/* The language model's kind (rms, gated, no layer scale) or Mimi's. */
static struct block random_block(bool is_mimi, size_t width, size_t n_heads, size_t n_kv_heads,
                                 size_t head_dim, size_t window, struct csm_rope rope)
{
    const size_t hidden = width + 3;
    struct block b = {.scale = random_weight(width, 0, 0),
                      .bias = random_weight(width, 0, 0),
                      .q = random_weight(n_heads * head_dim, width, 0),
                      .k = random_weight(n_kv_heads * head_dim, width, 0),
                      .v = random_weight(n_kv_heads * head_dim, width, 0),
                      .o = random_weight(width, n_heads * head_dim, 0),
                      .gate = random_weight(hidden, width, 0),
                      .up = random_weight(hidden, width, 0),
                      .down = random_weight(width, hidden, 0),
                      .layer_scale = random_weight(width, 0, 0)};
    for EACH (e) {
        struct csm_norm norm = {.scale = b.scale.in[e], .eps = 1e-5f};
        norm.kind = is_mimi ? CSM_NORM_LAYER : CSM_NORM_RMS;
        norm.bias = is_mimi ? b.bias.in[e] : NULL;
        csm_weight *layer_scale = is_mimi ? b.layer_scale.in[e] : NULL;
        b.attention[e] = (struct csm_attention){.norm = norm,
                                                .q = b.q.in[e],
                                                .k = b.k.in[e],
                                                .v = b.v.in[e],
                                                .o = b.o.in[e],
                                                .layer_scale = layer_scale,
                                                .width = width,
                                                .n_heads = n_heads,
                                                .n_kv_heads = n_kv_heads,
                                                .head_dim = head_dim,
                                                .window = window,
                                                .rope = rope};
        b.mlp[e] = (struct csm_mlp){.norm = norm,
                                    .gate = is_mimi ? NULL : b.gate.in[e],
                                    .up = b.up.in[e],
                                    .down = b.down.in[e],
                                    .layer_scale = layer_scale,
                                    .width = width,
                                    .hidden = hidden};
    }
    return b;
}

static void free_block(struct block b)
{
    struct weight all[] = {b.scale, b.bias, b.q, b.k, b.v, b.o, b.gate, b.up, b.down, b.layer_scale};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free_weight(all[i]);
}

static const struct csm_rope llama3 = {500000.0, 32.0, 1.0, 4.0, 8192.0, false};
static const struct csm_rope plain_rope = {10000.0, 0.0, 0.0, 0.0, 0.0, true};

static struct csm_rope paired(struct csm_rope rope, bool interleaved)
{
    rope.interleaved = interleaved;
    return rope;
}

static void mlps_are_equal(void **state)
{
    (void)state;
    for (int round = 0; round < 4; round++) {
        size_t rows = pick(1, 7), width = 8 * pick(1, 12);
        struct block b = random_block(round % 2, width, 1, 1, 2, 0, llama3);
        struct value x = random_value(rows, width);
        for EACH (e)
            CHECK(OPS(e)->mlp(CTX(e), &b.mlp[e], x.in[e], &err));
        check_equal(x, rows, width, "mlp");
        free_value(x);
        free_block(b);
    }
}

/* T rows more for a lane. */
static void attend(struct block *b, csm_lane *const lane[], size_t t, const char *what)
{
    size_t width = b->attention[0].width;
    struct value x = random_value(t, width);
    for EACH (e)
        CHECK(OPS(e)->attention(CTX(e), &b->attention[e], 0, &(struct csm_rows){lane[e], t}, 1,
                                x.in[e], &err));
    check_equal(x, t, width, what);
    free_value(x);
}

static void open_lane(struct block *b, size_t capacity, csm_lane *lane[])
{
    for EACH (e)
        CHECK(OPS(e)->lane_open(CTX(e), &b->attention[e], 1, capacity, &lane[e], &err));
}

static void truncate_lane(csm_lane *lane[], size_t n)
{
    for EACH (e)
        CHECK(OPS(e)->lane_truncate(CTX(e), lane[e], n, &err));
}

static void close_lane(csm_lane *lane[])
{
    for EACH (e)
        OPS(e)->lane_close(CTX(e), lane[e]);
}

static void attention_is_equal_over_prompt_steps_and_truncation(void **state)
{
    (void)state;
    for (int round = 0; round < 6; round++) {
        size_t n_kv = pick(1, 3), n_heads = n_kv * pick(1, 3), head_dim = 2 * pick(2, 16);
        struct csm_rope rope = paired(round % 3 ? llama3 : plain_rope, round % 2);
        struct block b = random_block(false, 8 * pick(1, 10), n_heads, n_kv, head_dim, 0, rope);
        csm_lane *lane[N_ENGINES];
        open_lane(&b, 64, lane);
        attend(&b, lane, pick(2, 30), "attention over a prompt");
        attend(&b, lane, 1, "attention of a step");
        attend(&b, lane, 3, "attention of three more");
        truncate_lane(lane, 2);
        attend(&b, lane, 5, "attention after truncation");
        truncate_lane(lane, 0);
        attend(&b, lane, 1, "attention of an emptied lane");
        close_lane(lane);
        free_block(b);
    }
}

/* Mimi's: past the window old positions are not seen, however they came. */
static void attention_with_a_window_forgets(void **state)
{
    (void)state;
    for (int round = 0; round < 4; round++) {
        size_t window = pick(2, 9), heads = pick(1, 4);
        struct block b = random_block(true, 16, heads, heads, 8, window,
                                      paired(plain_rope, round % 2));
        csm_lane *lane[N_ENGINES];
        open_lane(&b, window - 1 + 25, lane);
        for (int piece = 0; piece < 8; piece++)
            attend(&b, lane, piece == 4 ? 25 : pick(1, 3), "attention in a window");
        truncate_lane(lane, 0);
        attend(&b, lane, 25, "attention in a window, from the start");
        close_lane(lane);
        free_block(b);
    }
}

static void lanes_are_independent(void **state)
{
    (void)state;
    struct block b = random_block(false, 24, 4, 2, 8, 0, paired(llama3, true));
    csm_lane *first[N_ENGINES], *second[N_ENGINES];
    open_lane(&b, 32, first);
    open_lane(&b, 32, second);
    attend(&b, first, 7, "the first lane");
    attend(&b, second, 4, "the second lane");
    attend(&b, first, 2, "the first lane again");
    truncate_lane(second, 1);
    attend(&b, second, 1, "the second lane, cut back");
    attend(&b, first, 1, "the first lane, which was not");
    close_lane(first);
    close_lane(second);
    free_block(b);
}

static void a_full_lane_is_refused_and_so_are_two_at_once(void **state)
{
    (void)state;
    struct block b = random_block(false, 8, 1, 1, 4, 0, llama3);
    csm_lane *lane;
    CHECK(OPS(MLX)->lane_open(CTX(MLX), &b.attention[MLX], 1, 4, &lane, &err));
    struct value x = random_value(5, 8);
    const struct csm_rows rows[] = {{lane, 5}, {lane, 0}};
    assert_int_equal(OPS(MLX)->attention(CTX(MLX), &b.attention[MLX], 0, rows, 1, x.in[MLX], &err),
                     CSM_BAD_ARG);
    assert_string_equal(err.text, "mlx: lane: 5 positions, room for 4");
    assert_int_equal(OPS(MLX)->attention(CTX(MLX), &b.attention[MLX], 0, rows, 2, x.in[MLX], &err),
                     CSM_BAD_ARG);
    OPS(MLX)->lane_close(CTX(MLX), lane);
    free_value(x);
    free_block(b);
}

/* ---- convolutions ---------------------------------------------------------- */

struct conv_case {
    size_t in, out, kernel, stride, dilation, groups;
    bool transposed, replicate, elu, has_bias;
};

/* The shapes that Mimi has, and others. */
static const struct conv_case conv_cases[] = {
    {1, 4, 7, 1, 1, 1, false, false, false, true},  {4, 2, 3, 1, 1, 1, false, false, true, true},
    {2, 4, 1, 1, 1, 1, false, false, true, true},   {4, 8, 8, 4, 1, 1, false, false, true, true},
    {8, 16, 10, 5, 1, 1, false, false, true, true}, {6, 6, 4, 2, 1, 1, false, true, false, false},
    {3, 5, 3, 1, 2, 1, false, false, false, true},  {4, 8, 3, 1, 1, 2, false, false, false, false},
    {8, 4, 8, 4, 1, 1, true, false, true, true},    {6, 6, 4, 2, 1, 6, true, false, false, false},
    {8, 4, 12, 6, 1, 1, true, false, true, true},   {4, 6, 3, 3, 1, 2, true, false, false, true},
};

static void run_conv(const struct csm_conv *conv, csm_conv_state *const states[], struct value x,
                     size_t rows, const char *what)
{
    struct value y = new_value();
    for EACH (e)
        CHECK(OPS(e)->conv(CTX(e), &conv[e], states != NULL ? states[e] : NULL, x.in[e], y.in[e],
                           &err));
    size_t n = conv[0].transposed ? rows * conv[0].stride
                                  : (rows + conv[0].stride - 1) / conv[0].stride;
    check_equal(y, n, conv[0].out, what);
    free_value(y);
}

static void convolutions_are_equal_whole_and_in_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof conv_cases / sizeof *conv_cases; i++) {
        const struct conv_case *c = &conv_cases[i];
        struct weight w = c->transposed ? random_weight(c->in, c->out / c->groups, c->kernel)
                                        : random_weight(c->out, c->in / c->groups, c->kernel);
        struct weight bias = random_weight(c->out, 0, 0);
        struct csm_conv conv[N_ENGINES];
        csm_conv_state *states[N_ENGINES];
        for EACH (e) {
            conv[e] = (struct csm_conv){.weight = w.in[e],
                                        .bias = c->has_bias ? bias.in[e] : NULL,
                                        .in = c->in,
                                        .out = c->out,
                                        .kernel = c->kernel,
                                        .stride = c->stride,
                                        .dilation = c->dilation,
                                        .groups = c->groups,
                                        .transposed = c->transposed,
                                        .replicate = c->replicate,
                                        .elu = c->elu};
            CHECK(OPS(e)->conv_state_new(CTX(e), &conv[e], &states[e], &err));
        }
        for (int round = 0; round < 3; round++) {
            size_t rows = pick(1, 40);
            struct value x = random_value(rows, c->in);
            run_conv(conv, NULL, x, rows, "convolution");
            free_value(x);
        }
        for (int piece = 0; piece < 5; piece++) {
            size_t rows = c->stride * pick(1, 4) - (piece == 4 ? c->stride / 2 : 0);
            struct value x = random_value(rows, c->in);
            run_conv(conv, states, x, rows, "convolution in pieces");
            free_value(x);
        }
        for EACH (e)
            CHECK(OPS(e)->conv_state_reset(CTX(e), states[e], &err));
        struct value x = random_value(2 * c->stride, c->in);
        run_conv(conv, states, x, 2 * c->stride, "convolution after a reset");
        free_value(x);
        for EACH (e)
            OPS(e)->conv_state_free(CTX(e), states[e]);
        free_weight(w);
        free_weight(bias);
    }
}

/* ---- the whole frame ------------------------------------------------------- */

enum { CODEBOOKS = 5, VOCAB = 37, WIDTH = 24, DEPTH = 16, LAYERS = 2 };

struct small_model {
    struct block layers[LAYERS];
    struct weight head, codes, projector, heads[CODEBOOKS - 1], norm;
    struct csm_attention attention[LAYERS];
    struct csm_mlp mlp[LAYERS];
    csm_weight *mlx_heads[CODEBOOKS - 1];
    struct csm_frame_parts parts;
    csm_lane *lane;
    struct value hidden;
};

static struct small_model open_small_model(void)
{
    struct small_model m = {.head = random_weight(VOCAB, WIDTH, 0),
                            .codes = random_weight(CODEBOOKS * VOCAB, WIDTH, 0),
                            .projector = random_weight(DEPTH, WIDTH, 0),
                            .norm = random_weight(DEPTH, 0, 0),
                            .hidden = random_value(1, WIDTH)};
    for (size_t l = 0; l < LAYERS; l++)
        m.layers[l] = random_block(false, DEPTH, 4, 2, 4, 0, paired(llama3, true));
    for (size_t k = 0; k < CODEBOOKS - 1; k++)
        m.heads[k] = random_weight(VOCAB, DEPTH, 0);
    return m;
}

static void point_at_mlx(struct small_model *m)
{
    for (size_t l = 0; l < LAYERS; l++) {
        m->attention[l] = m->layers[l].attention[MLX];
        m->mlp[l] = m->layers[l].mlp[MLX];
    }
    for (size_t k = 0; k < CODEBOOKS - 1; k++)
        m->mlx_heads[k] = m->heads[k].in[MLX];
    m->parts = (struct csm_frame_parts){.n_codebooks = CODEBOOKS,
                                        .vocab = VOCAB,
                                        .first_head = m->head.in[MLX],
                                        .codes = m->codes.in[MLX],
                                        .projector = m->projector.in[MLX],
                                        .attention = m->attention,
                                        .mlp = m->mlp,
                                        .n_layers = LAYERS,
                                        .norm = {.scale = m->norm.in[MLX], .eps = 1e-5f},
                                        .heads = m->mlx_heads};
    CHECK(OPS(MLX)->lane_open(CTX(MLX), m->attention, LAYERS, CODEBOOKS, &m->lane, &err));
}

static void close_small_model(struct small_model *m)
{
    OPS(MLX)->lane_close(CTX(MLX), m->lane);
    for (size_t l = 0; l < LAYERS; l++)
        free_block(m->layers[l]);
    for (size_t k = 0; k < CODEBOOKS - 1; k++)
        free_weight(m->heads[k]);
    free_weight(m->head);
    free_weight(m->codes);
    free_weight(m->projector);
    free_weight(m->norm);
    free_value(m->hidden);
}

/* Logits of every codebook from the native engine's parts, given the codes. */
static void parts_of_native(struct small_model *m, const int32_t *codes, float *logits)
{
    const struct csm_engine_ops *ops = OPS(NATIVE);
    void *ctx = CTX(NATIVE);
    csm_value *x, *y, *z;
    csm_lane *lane;
    struct csm_attention attention[LAYERS];
    for (size_t l = 0; l < LAYERS; l++)
        attention[l] = m->layers[l].attention[NATIVE];
    CHECK(ops->lane_open(ctx, attention, LAYERS, CODEBOOKS, &lane, &err));
    CHECK(ops->value_new(ctx, &x, &err));
    CHECK(ops->value_new(ctx, &y, &err));
    CHECK(ops->value_new(ctx, &z, &err));
    struct csm_norm norm = {.scale = m->norm.in[NATIVE], .eps = 1e-5f};
    CHECK(ops->linear(ctx, m->head.in[NATIVE], NULL, m->hidden.in[NATIVE], y, &err));
    CHECK(ops->read(ctx, y, 1, VOCAB, logits, &err));
    for (int k = 0; k < CODEBOOKS; k++) {
        if (k == 0) {
            CHECK(ops->linear(ctx, m->projector.in[NATIVE], NULL, m->hidden.in[NATIVE], x, &err));
        } else {
            int32_t id = (k - 1) * VOCAB + codes[k - 1];
            CHECK(ops->embed(ctx, m->codes.in[NATIVE], &id, 1, 1, y, &err));
            CHECK(ops->linear(ctx, m->projector.in[NATIVE], NULL, y, x, &err));
        }
        for (size_t l = 0; l < LAYERS; l++) {
            CHECK(ops->attention(ctx, &attention[l], l, &(struct csm_rows){lane, 1}, 1, x,
                                 &err));
            CHECK(ops->mlp(ctx, &m->layers[l].mlp[NATIVE], x, &err));
        }
        if (k == 0)
            continue;
        CHECK(ops->norm(ctx, &norm, x, y, &err));
        CHECK(ops->linear(ctx, m->heads[k - 1].in[NATIVE], NULL, y, z, &err));
        CHECK(ops->read(ctx, z, 1, VOCAB, logits + k * VOCAB, &err));
    }
    ops->value_free(ctx, x);
    ops->value_free(ctx, y);
    ops->value_free(ctx, z);
    ops->lane_close(ctx, lane);
}

static int32_t largest(const float *x, const float *divisor)
{
    int32_t best = 0;
    for (int32_t i = 1; i < VOCAB; i++)
        if (divisor == NULL ? x[i] > x[best]
                            : exp(x[i]) / divisor[i] > exp(x[best]) / divisor[best])
            best = i;
    return best;
}

static void ask(struct small_model *m, const struct csm_frame_draw *draw, int32_t *codes,
                float *logits)
{
    struct csm_frame_lane frame = {.depth = m->lane,
                                   .hidden = m->hidden.in[MLX],
                                   .draw = draw,
                                   .codes = codes,
                                   .logits = logits};
    CHECK(OPS(MLX)->frame(CTX(MLX), &m->parts, &frame, 1, &err));
}

static void check_frame(struct small_model *m, struct csm_frame_draw *draw, int32_t *codes,
                        float *logits)
{
    int32_t fed[CODEBOOKS];
    float expected[CODEBOOKS * VOCAB];
    ask(m, draw, codes, logits);
    memcpy(fed, codes, sizeof fed);
    for (size_t k = 0; k < draw->n_known; k++)
        fed[k] = draw->known[k];
    parts_of_native(m, fed, expected);
    check_near(expected, logits, CODEBOOKS * VOCAB, VOCAB, "logits of a frame");
}

static void a_frame_is_what_its_parts_give(void **state)
{
    (void)state;
    struct small_model m = open_small_model();
    point_at_mlx(&m);
    int32_t codes[CODEBOOKS];
    float logits[CODEBOOKS * VOCAB];

    struct csm_frame_draw greedy = {.kind = CSM_DRAW_OWN}; /* no draw, no key */
    check_frame(&m, &greedy, codes, logits);
    for (int k = 0; k < CODEBOOKS; k++)
        assert_int_equal(codes[k], largest(logits + k * VOCAB, NULL));

    float *noise = randoms(CODEBOOKS * VOCAB, 1.0);
    for (size_t i = 0; i < CODEBOOKS * VOCAB; i++)
        noise[i] = -logf(fabsf(noise[i]));
    struct csm_frame_draw race = {.kind = CSM_DRAW_RACE, .temperature = 1.0,
                                  .depth_temperature = 1.0, .noise = noise, .dtype = CSM_DTYPE_F32};
    check_frame(&m, &race, codes, logits);
    for (int k = 0; k < CODEBOOKS; k++)
        assert_int_equal(codes[k], largest(logits + k * VOCAB, noise + k * VOCAB));

    int32_t known[] = {(codes[0] + 1) % VOCAB, 3, 5};
    race.known = known;
    race.n_known = 3;
    check_frame(&m, &race, codes, logits);
    close_small_model(&m);
}

/* A stream that was moved on by two draws gives what the third of another gives. */
static void own_draws_move_the_stream_once_a_draw(void **state)
{
    (void)state;
    struct small_model m = open_small_model();
    m.parts = (struct csm_frame_parts){0};
    point_at_mlx(&m);
    m.parts.n_codebooks = 1;
    int32_t drawn[8], codes[CODEBOOKS];
    float logits[CODEBOOKS * VOCAB];
    struct csm_frame_draw own = {.kind = CSM_DRAW_OWN, .temperature = 4.0};
    for (size_t from = 0; from < 4; from++) {
        CHECK(OPS(MLX)->random_new(CTX(MLX), 42, from, VOCAB, &own.random, &err));
        for (size_t i = from; i < 8; i++) {
            ask(&m, &own, codes, logits);
            if (from == 0)
                drawn[i] = codes[0];
            else
                assert_int_equal(codes[0], drawn[i]);
        }
        OPS(MLX)->random_free(CTX(MLX), own.random);
    }
    size_t n_apart = 0; /* the row is the same: only the stream makes them differ */
    for (size_t i = 1; i < 8; i++)
        n_apart += drawn[i] != drawn[0];
    assert_true(n_apart > 3);
    close_small_model(&m);
}

/* ---- refusals --------------------------------------------------------------- */

static void a_wrong_shape_or_device_is_refused_in_one_line(void **state)
{
    (void)state;
    float host[6];
    struct value x = random_value(2, 3);
    assert_int_equal(OPS(MLX)->read(CTX(MLX), x.in[MLX], 3, 2, host, &err), CSM_BAD_ARG);
    assert_string_equal(err.text, "mlx: read of 3 x 2 from a value of 2 x 3");
    free_value(x);

    struct csm_engine other;
    struct csm_engine_options options = {.device = "cuda:0"};
    assert_int_equal(csm_engine_open("mlx", &options, &other, &err), CSM_BAD_ARG);
    assert_string_equal(err.text, "mlx: device 'cuda:0', expected cpu or gpu");
}

static void two_contexts_do_not_know_of_each_other(void **state)
{
    (void)state;
    struct csm_engine other;
    CHECK(csm_engine_open("mlx", NULL, &other, &err));
    csm_value *value;
    float in[] = {1.0f, 2.0f}, out[2];
    CHECK(other.ops->value_new(other.ctx, &value, &err));
    CHECK(other.ops->write(other.ctx, in, 1, 2, value, &err));
    struct value mine = random_value(1, 2);
    add_adds(NULL);
    CHECK(other.ops->read(other.ctx, value, 1, 2, out, &err));
    assert_memory_equal(in, out, sizeof in);
    other.ops->value_free(other.ctx, value);
    csm_engine_close(&other);
    free_value(mine);
}

/* ---- */

static int open_engines(void **state)
{
    (void)state;
    const char *wanted = getenv("CSM_SEED");
    seed = wanted != NULL ? strtoull(wanted, NULL, 10) : 20261124u;
    printf("reproduce: CSM_SEED=%llu\n", (unsigned long long)seed);
    CHECK(csm_engine_open("native", NULL, &engines[NATIVE], &err));
    CHECK(csm_engine_open("mlx", NULL, &engines[MLX], &err));
    printf("mlx %s\n", OPS(MLX)->version(CTX(MLX)));
    return 0;
}

static int close_engines(void **state)
{
    (void)state;
    for EACH (e)
        csm_engine_close(&engines[e]);
    return 0;
}

static int free_kept(void **state)
{
    (void)state;
    while (n_kept > 0)
        free(kept[--n_kept]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(embed_sums_rows_of_a_table, free_kept),
        cmocka_unit_test_teardown(copied_rows_begin_append_and_replace, free_kept),
        cmocka_unit_test_teardown(add_adds, free_kept),
        cmocka_unit_test_teardown(both_norms_are_equal, free_kept),
        cmocka_unit_test_teardown(linear_maps_are_equal_in_both_storage_orders, free_kept),
        cmocka_unit_test_teardown(quantized_matrices_equal_their_numbers, free_kept),
        cmocka_unit_test_teardown(mlps_are_equal, free_kept),
        cmocka_unit_test_teardown(attention_is_equal_over_prompt_steps_and_truncation, free_kept),
        cmocka_unit_test_teardown(attention_with_a_window_forgets, free_kept),
        cmocka_unit_test_teardown(lanes_are_independent, free_kept),
        cmocka_unit_test_teardown(a_full_lane_is_refused_and_so_are_two_at_once, free_kept),
        cmocka_unit_test_teardown(convolutions_are_equal_whole_and_in_pieces, free_kept),
        cmocka_unit_test_teardown(a_frame_is_what_its_parts_give, free_kept),
        cmocka_unit_test_teardown(own_draws_move_the_stream_once_a_draw, free_kept),
        cmocka_unit_test_teardown(a_wrong_shape_or_device_is_refused_in_one_line, free_kept),
        cmocka_unit_test_teardown(two_contexts_do_not_know_of_each_other, free_kept),
    };
    return cmocka_run_group_tests(tests, open_engines, close_engines);
}
