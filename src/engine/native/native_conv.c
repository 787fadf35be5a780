/* SPDX-License-Identifier: Apache-2.0
 *
 * native_conv.c - causal convolutions as products with a sliding window.
 *
 * Rows are time and channels lie together, so the `window` rows that one output
 * needs are one stretch of memory, and a convolution is a plain product whose
 * input rows overlap:
 *
 *   forward     window = k_eff rows, moving by `stride`; weight [out, window * in]
 *               (zeros where a dilated kernel has no tap)
 *   transposed  window = ceil(kernel / stride) rows, moving by 1; weight
 *               [stride * out, window * in]: the `stride` rows that one step puts
 *               out lie together too
 *
 * The matrix is packed into column tiles (kernels.h): late layers have few columns and
 * many rows of input, which rows of dot products are slow at.
 *
 * Where a decoder's convolutions have two or three rows in their window and many outputs a
 * frame, four products do for six (minimal filtering, kernels.h): `together` outputs are
 * made from four rows, and counted from a frame's first row on. So the bits of an output
 * depend on its place in its frame, not on how many frames come at once. What may come in
 * any number of rows, the encoder's sound, takes the plain product.
 *
 * In front of the window goes the past: zeros, copies of the first row, or what
 * a stream kept. Grouped convolutions (Mimi's depthwise upsampling) are small and
 * take a direct loop over the same window. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/numbers.h"
#include "engine/native/native.h"

struct csm_conv_state {
    size_t n_past; /* rows */
    size_t in;
    bool has_past; /* false: nothing has come yet */
    float *past;   /* [n_past, in], elu taken */
};

static size_t extent(const struct csm_conv *c)
{
    return (c->kernel - 1) * c->dilation + 1;
}

static size_t window_of(const struct csm_conv *c)
{
    return c->transposed ? (c->kernel + c->stride - 1) / c->stride : extent(c);
}

/* By how many rows the window moves. */
static size_t hop_of(const struct csm_conv *c)
{
    return c->transposed ? 1 : c->stride;
}

static size_t past_of(const struct csm_conv *c)
{
    return window_of(c) - hop_of(c);
}

static float weight_at(const csm_weight *w, size_t i)
{
    return csm_element(&w->source.tensor, i);
}

static csm_status check(const struct csm_conv *c, csm_error *err)
{
    const csm_tensor *t = &c->weight->source.tensor;
    bool counts = c->groups > 0 && c->stride > 0 && c->kernel > 0 && c->dilation > 0 &&
                  c->in % c->groups == 0 && c->out % c->groups == 0;
    if (!counts || window_of(c) < hop_of(c) || (c->transposed && c->dilation != 1))
        return csm_fail(err, CSM_BAD_ARG,
                        "native: %s: no causal convolution has kernel %zu, stride %zu, dilation "
                        "%zu, %zu groups",
                        t->name, c->kernel, c->stride, c->dilation, c->groups);
    size_t first = c->transposed ? c->in : c->out;
    size_t second = (c->transposed ? c->out : c->in) / c->groups;
    if (t->rank != 3 || c->weight->source.bits != 0 || t->shape[0] != first ||
        t->shape[1] != second || t->shape[2] != c->kernel)
        return csm_fail(err, CSM_BAD_ARG, "native: %s: not of shape [%zu, %zu, %zu]", t->name,
                        first, second, c->kernel);
    if (c->bias != NULL && (c->bias->vector == NULL || c->bias->rows != c->out))
        return csm_fail(err, CSM_BAD_ARG, "native: %s: bias not of shape [%zu]", t->name, c->out);
    return CSM_OK;
}

/* Row `row` of the product's matrix; grouped, of the row's own group: [window * in / groups]. */
static void matrix_row(const void *user, size_t row, float *to)
{
    const struct csm_conv *c = user;
    const csm_weight *w = c->weight;
    size_t in = c->in / c->groups, out = c->out / c->groups, window = window_of(c);
    size_t o = row % c->out, phase = row / c->out;
    memset(to, 0, window * in * sizeof *to);
    if (!c->transposed) {
        for (size_t i = 0; i < in; i++)
            for (size_t k = 0; k < c->kernel; k++)
                to[k * c->dilation * in + i] = weight_at(w, (o * in + i) * c->kernel + k);
        return;
    }
    /* Tap k reaches phase k % stride of the step k / stride later. */
    for (size_t back = 0; phase + back * c->stride < c->kernel; back++)
        for (size_t i = 0; i < in; i++)
            to[(window - 1 - back) * in + i] =
                weight_at(w, ((o / out * in + i) * out + o % out) * c->kernel + phase +
                                 back * c->stride);
}

/* From this many values on a matrix of the decoder is coded. In Mimi those are the first
 * two convolutions, which a frame gives two rows: bound by reading the weights. Later
 * ones have more rows and fewer weights, and are bound by arithmetic. */
enum { CODED_LEAST = 1 << 21 };

/* Fewer rows waste a tile: the last convolution, which makes one sample a step. */
enum { LEAST_ROWS = 4 };

/* From so many rows at once on, fewer products are worth reading 4/3 (three taps) or 2
 * times (two) the weights. */
enum { MIXED_LEAST = 16 };

/* How many outputs are made together; 1: the plain product. */
static size_t together_of(const struct csm_conv *c)
{
    size_t together = c->transposed ? 3 : 2, taps = c->transposed ? 2 : 3;
    bool is_filter = c->groups == 1 && c->dilation == 1 && hop_of(c) == 1 &&
                     window_of(c) == taps && c->kernel == taps * (c->transposed ? c->stride : 1);
    bool has_many = c->out >= LEAST_ROWS && c->rows_at_once >= MIXED_LEAST;
    return is_filter && has_many && c->rows_at_once % together == 0 ? together : 1;
}

/* Row `row` of the mixed matrix: [4 * in]. */
static void mixed_row(const void *user, size_t row, float *to)
{
    const struct csm_conv *c = user;
    size_t in = c->in, o = row % c->out, phase = row / c->out;
    for (size_t i = 0; i < in; i++) {
        float first, last, even, odd;
        if (c->transposed) { /* the tap of the earlier row is the later one of the kernel */
            size_t at = (i * c->out + o) * c->kernel + phase;
            even = first = weight_at(c->weight, at + c->stride);
            odd = last = weight_at(c->weight, at);
        } else {
            size_t at = (o * in + i) * c->kernel;
            first = weight_at(c->weight, at);
            odd = weight_at(c->weight, at + 1);
            last = weight_at(c->weight, at + 2);
            even = first + last;
        }
        to[2 * i] = (even + odd) / 2;
        to[2 * i + 1] = (even - odd) / 2;
        to[2 * in + 2 * i] = first;
        to[2 * in + 2 * i + 1] = last;
    }
}

/* The product's matrix and bias, unless they are there. */
static csm_status prepare(struct native *native, const struct csm_conv *c, csm_error *err)
{
    csm_weight *w = c->weight;
    if (w->conv.is_ready)
        return CSM_OK;
    size_t rows = (c->transposed ? c->stride : 1) * c->out, cols = window_of(c) * (c->in / c->groups);
    csm_status st = CSM_OK;
    if (c->bias != NULL && w->conv.bias == NULL) {
        w->conv.bias = csm_kernels_alloc(rows * sizeof(float));
        if (w->conv.bias == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "native: %s: no memory", w->source.tensor.name);
        for (size_t r = 0; r < rows; r++)
            w->conv.bias[r] = c->bias->vector[r % c->out];
    }
    if (together_of(c) > 1) {
        st = csm_native_pack(native, mixed_row, c, rows, CSM_MIXED * c->in, false, &w->conv.columns,
                         err);
    } else if (c->groups == 1 && rows >= LEAST_ROWS) {
        st = csm_native_pack(native, matrix_row, c, rows, cols,
                         w->source.is_sound && rows * cols >= CODED_LEAST, &w->conv.columns, err);
    } else {
        w->conv.rows = csm_kernels_alloc(rows * cols * sizeof(float));
        if (w->conv.rows == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "native: %s: no memory", w->source.tensor.name);
        for (size_t r = 0; r < rows; r++)
            matrix_row(c, r, w->conv.rows + r * cols);
    }
    w->conv.is_ready = st == CSM_OK;
    return st;
}

csm_status csm_native_conv_state_new(void *ctx, const struct csm_conv *conv, csm_conv_state **out,
                                 csm_error *err)
{
    (void)ctx;
    csm_status st = check(conv, err);
    if (st != CSM_OK)
        return st;
    csm_conv_state *state = calloc(1, sizeof *state);
    if (state != NULL) {
        state->n_past = past_of(conv);
        state->in = conv->in;
        state->past = calloc(state->n_past * state->in + 1, sizeof *state->past);
    }
    if (state == NULL || state->past == NULL) {
        free(state);
        return csm_fail(err, CSM_NO_MEMORY, "native: no memory for a convolution's past");
    }
    *out = state;
    return CSM_OK;
}

csm_status csm_native_conv_state_reset(void *ctx, csm_conv_state *state, csm_error *err)
{
    (void)ctx;
    (void)err;
    state->has_past = false;
    return CSM_OK;
}

void csm_native_conv_state_free(void *ctx, csm_conv_state *state)
{
    (void)ctx;
    if (state == NULL)
        return;
    free(state->past);
    free(state);
}

/* The windows of several streams: each one's past and rows, then the next one's. */
struct windows {
    const float *rows;
    size_t n_each, ld; /* steps of a stream; floats from one stream's first row to the next one's */
    size_t hop;        /* floats from one step to the next */
};

static const float *window_at(const struct windows *w, size_t step)
{
    return w->rows + step / w->n_each * w->ld + step % w->n_each * w->hop;
}

struct grouped_job {
    const struct csm_conv *conv;
    struct windows input;
    float *out;
    size_t out_rows;
};

static void grouped_work(void *user, size_t first, size_t end, int thread)
{
    const struct grouped_job *job = user;
    const struct csm_conv *c = job->conv;
    size_t in = c->in / c->groups, out = c->out / c->groups, window = window_of(c);
    (void)thread;
    for (size_t t = first; t < end; t++) {
        const float *rows = window_at(&job->input, t);
        for (size_t r = 0; r < job->out_rows; r++) {
            const float *w = c->weight->conv.rows + r * window * in;
            const float *x = rows + r % c->out / out * in;
            float sum = 0;
            for (size_t j = 0; j < window; j++)
                for (size_t i = 0; i < in; i++)
                    sum = fmaf(w[j * in + i], x[j * c->in + i], sum);
            job->out[t * job->out_rows + r] =
                c->weight->conv.bias == NULL ? sum : sum + c->weight->conv.bias[r];
        }
    }
}

/* A product in pieces: PIECE_TILES tiles and BLOCK_STEPS rows of the window of one stream, or
 * mixed ones. */
enum { PIECE_TILES = 4, BLOCK_STEPS = 96, BLOCK_MIXED = 32 };

struct tiles_job {
    const struct native *native;
    const struct csm_conv *conv;
    struct windows input; /* a step gives n_rows * together values */
    float *out;
    size_t n_steps, n_rows, n_tiles, together; /* n_steps: of all streams */
};

static size_t block_steps(const struct tiles_job *job)
{
    return job->together > 1 ? BLOCK_MIXED : BLOCK_STEPS;
}

/* Of a stream. */
static size_t block_count(const struct tiles_job *job)
{
    return (job->input.n_each + block_steps(job) - 1) / block_steps(job);
}

static void tiles_work(void *user, size_t first, size_t end, int thread)
{
    const struct tiles_job *job = user;
    const struct conv_form *form = &job->conv->weight->conv;
    const size_t n_each = job->input.n_each, hop = job->input.hop;
    const size_t most = block_steps(job), each = block_count(job);
    const size_t n_blocks = job->n_steps / n_each * each;
    (void)thread;
    for (size_t item = first; item < end; item++) {
        size_t tile = item / n_blocks * PIECE_TILES, block = item % n_blocks;
        size_t row = tile * CSM_TILE, n_rows = job->n_rows - row;
        size_t n_steps = n_each - block % each * most;
        const size_t step = block / each * n_each + block % each * most;
        const float *bias = form->bias == NULL ? NULL : form->bias + row;
        const float *x = window_at(&job->input, step);
        float *out = job->out + step * job->together * job->n_rows + row;
        n_rows = n_rows < PIECE_TILES * CSM_TILE ? n_rows : PIECE_TILES * CSM_TILE;
        n_steps = n_steps < most ? n_steps : most;
        if (job->together > 1) {
            job->native->kernels->dots_mixed(&form->columns, tile, n_rows, bias, x, hop, n_steps,
                                             job->together, out, job->n_rows);
            continue;
        }
        if (form->rows == NULL) {
            job->native->kernels->dots_tiles(&form->columns, tile, n_rows, bias, x, hop, n_steps,
                                             out, job->n_rows);
            continue;
        }
        job->native->kernels->dots_f32(form->rows, CSM_ROW_BY_ROW, n_rows,
                                       window_of(job->conv) * job->conv->in, x, hop, n_steps, out,
                                       job->n_rows);
        for (size_t i = 0; bias != NULL && i < n_rows * n_steps; i++)
            out[i] += bias[i % n_rows];
    }
}

static void run_tiles(struct tiles_job *job)
{
    size_t n_pieces = (job->n_tiles + PIECE_TILES - 1) / PIECE_TILES;
    const size_t n_blocks = job->n_steps / job->input.n_each * block_count(job);
    csm_threads_run(job->native->threads, tiles_work, job, n_blocks * n_pieces, 1);
}

/* So many floats of mixed rows at a time stay in the second cache. One row and the next
 * are not a power of two apart, which would crowd a part of the first. */
enum { MIXED_FLOATS = 1 << 16, MIXED_GAP = 16 };

struct spread_job {
    const struct native *native;
    struct windows input;
    float *out;
    size_t first, n_floats, ld, together; /* n_floats: of a window that is copied */
};

/* Rows of windows that no longer overlap: mixed, or as they are. */
static void spread_work(void *user, size_t first, size_t end, int thread)
{
    const struct spread_job *job = user;
    (void)thread;
    for (size_t t = first; t < end; t++) {
        const float *from = window_at(&job->input, (job->first + t) * job->together);
        if (job->together > 1)
            job->native->kernels->mix(from, job->input.hop, job->out + t * job->ld);
        else
            memcpy(job->out + t * job->ld, from, job->n_floats * sizeof *from);
    }
}

/* All of job, whose input is plain rows: mixed, or windows of several streams as rows of one
 * product, for which a coded matrix is decoded once. */
static csm_status run_spread(struct native *native, struct tiles_job *job, csm_error *err)
{
    const struct csm_conv *c = job->conv;
    struct spread_job spread = {.native = native,
                                .input = job->input,
                                .n_floats = window_of(c) * c->in,
                                .together = job->together};
    spread.ld = (job->together > 1 ? CSM_MIXED * c->in : spread.n_floats) + MIXED_GAP;
    const size_t n = job->n_steps / job->together;
    const size_t most = job->together > 1 ? MIXED_FLOATS / spread.ld + 1 : n;
    csm_status st = csm_native_scratch(native, SCRATCH_MIXED, most * spread.ld, &spread.out, err);
    for (; st == CSM_OK && spread.first < n; spread.first += most) {
        job->n_steps = n - spread.first < most ? n - spread.first : most;
        job->input = (struct windows){spread.out, job->n_steps, 0, spread.ld};
        csm_threads_run(native->threads, spread_work, &spread, job->n_steps, 8);
        run_tiles(job);
        job->out += job->n_steps * job->together * job->n_rows;
    }
    return st;
}

static void fill_rows(float *to, size_t n, const float *row, size_t cols)
{
    for (size_t i = 0; i < n; i++)
        if (row == NULL)
            memset(to + i * cols, 0, cols * sizeof *to);
        else
            memcpy(to + i * cols, row, cols * sizeof *to);
}

/* A stream's rows into its place, after its past, which becomes the rows' end. */
static void place_rows(const struct native *native, const struct csm_conv *c, csm_conv_state *state,
                       const float *x, size_t rows, size_t n_padding, float *input)
{
    const size_t in = c->in, n_past = past_of(c);
    float *now = input + n_past * in;
    if (c->elu)
        native->kernels->elu(x, rows * in, now);
    else
        memcpy(now, x, rows * in * sizeof *now);
    if (state != NULL && state->has_past)
        memcpy(input, state->past, n_past * in * sizeof *input);
    else
        fill_rows(input, n_past, c->replicate ? now : NULL, in);
    fill_rows(now + rows * in, n_padding, c->replicate ? now + (rows - 1) * in : NULL, in);
    if (state != NULL) {
        memcpy(state->past, input + rows * in, n_past * in * sizeof *input);
        state->has_past = true;
    }
}

struct place_job {
    const struct native *native;
    const struct csm_conv *conv;
    csm_conv_state *const *states;
    const float *x;
    size_t rows, n_padding, ld;
    float *input;
};

static void place_work(void *user, size_t first, size_t end, int thread)
{
    const struct place_job *job = user;
    (void)thread;
    for (size_t i = first; i < end; i++)
        place_rows(job->native, job->conv, job->states[i], job->x + i * job->rows * job->conv->in,
                   job->rows, job->n_padding, job->input + i * job->ld);
}

static csm_status check_input(const struct csm_conv *c, csm_conv_state *const *states, size_t n,
                              const csm_value *x, const csm_value *out, csm_error *err)
{
    bool is_ours = x->cols == c->in && x != out && n > 0 && x->rows % n == 0;
    for (size_t i = 0; is_ours && i < n; i++)
        is_ours = states[i] == NULL ||
                  (states[i]->n_past == past_of(c) && states[i]->in == c->in);
    if (!is_ours)
        return csm_fail(err, CSM_BAD_ARG, "native: %s: input of width %zu, expected %zu",
                        c->weight->source.tensor.name, x->cols, c->in);
    if (c->rows_at_once != 0 && x->rows / n % c->rows_at_once != 0)
        return csm_fail(err, CSM_BAD_ARG, "native: %s: %zu rows, no multiple of %zu",
                        c->weight->source.tensor.name, x->rows / n, c->rows_at_once);
    return CSM_OK;
}

csm_status csm_native_conv_lanes(void *ctx, const struct csm_conv *c, csm_conv_state *const *states,
                                 size_t n, const csm_value *x, csm_value *out, csm_error *err)
{
    struct native *native = ctx;
    csm_status st = check(c, err);
    if (st == CSM_OK)
        st = prepare(native, c, err);
    if (st == CSM_OK)
        st = check_input(c, states, n, x, out, err);
    if (st != CSM_OK)
        return st;
    const size_t in = c->in, rows = x->rows / n, hop = hop_of(c), n_past = past_of(c);
    const size_t phases = c->transposed ? c->stride : 1, out_rows = phases * c->out;
    const size_t n_steps = (rows + hop - 1) / hop, n_padding = n_steps * hop - rows;
    st = csm_native_shape(out, n * n_steps * phases, c->out, err);
    if (st != CSM_OK || rows == 0)
        return st;

    struct place_job place = {.native = native,
                              .conv = c,
                              .states = states,
                              .x = csm_native_data(x),
                              .rows = rows,
                              .n_padding = n_padding,
                              .ld = (n_past + rows + n_padding) * in};
    st = csm_native_scratch(native, SCRATCH_WINDOW, n * place.ld, &place.input, err);
    if (st != CSM_OK)
        return st;
    csm_threads_run(native->threads, place_work, &place, n, 1);

    const struct windows input = {place.input, n_steps, place.ld, hop * in};
    if (c->groups > 1) {
        struct grouped_job job = {c, input, csm_native_data(out), out_rows};
        csm_threads_run(native->threads, grouped_work, &job, n * n_steps, 4);
        return CSM_OK;
    }
    struct tiles_job job = {.native = native,
                            .conv = c,
                            .input = input,
                            .out = csm_native_data(out),
                            .n_steps = n * n_steps,
                            .n_rows = out_rows,
                            .n_tiles = (out_rows + CSM_TILE - 1) / CSM_TILE,
                            .together = together_of(c)};
    if (job.together > 1 || (n > 1 && c->weight->conv.columns.is_coded))
        return run_spread(native, &job, err);
    run_tiles(&job);
    return CSM_OK;
}

csm_status csm_native_conv(void *ctx, const struct csm_conv *c, csm_conv_state *state,
                           const csm_value *x, csm_value *out, csm_error *err)
{
    return csm_native_conv_lanes(ctx, c, &state, 1, x, out, err);
}
