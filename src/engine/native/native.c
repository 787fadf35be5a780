/* SPDX-License-Identifier: Apache-2.0
 *
 * native.c - the engine inside libcsm: context, values and the small operations.
 *
 * Activations are float32 rows; weights stay as they are stored unless a
 * precision is asked for. Every operation is done when it returns. */
#ifdef __linux__
#define _DEFAULT_SOURCE /* madvise */
#include <sys/mman.h>
#endif
#include "engine/native/native.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

void *csm_kernels_alloc(size_t n_bytes)
{
    const size_t huge = (size_t)1 << 21;
    size_t unit = n_bytes >= huge ? huge : 64;
    if (n_bytes > SIZE_MAX - unit)
        return NULL;
    size_t size = (n_bytes + unit - 1) / unit * unit;
    void *memory = aligned_alloc(unit, size != 0 ? size : unit);
#ifdef __linux__
    if (memory != NULL && unit == huge)
        (void)madvise(memory, size, MADV_HUGEPAGE); /* fewer misses of the address cache */
#endif
    return memory;
}

csm_status csm_native_reserve(struct buffer *buffer, size_t n_bytes, csm_error *err)
{
    if (n_bytes <= buffer->n_bytes)
        return CSM_OK;
    size_t wanted = n_bytes + n_bytes / 2; /* lengths that creep up do not allocate each time */
    void *data = csm_kernels_alloc(wanted);
    if (data == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "native: no memory for %zu bytes", wanted);
    free(buffer->data);
    *buffer = (struct buffer){.data = data, .n_bytes = wanted};
    return CSM_OK;
}

csm_status csm_native_scratch(struct native *native, enum scratch which, size_t n_floats, float **out,
                          csm_error *err)
{
    csm_status st = csm_native_reserve(&native->scratch[which], n_floats * sizeof(float), err);
    *out = native->scratch[which].data;
    return st;
}

csm_status csm_native_shape(csm_value *value, size_t rows, size_t cols, csm_error *err)
{
    csm_status st = csm_native_reserve(&value->buffer, rows * cols * sizeof(float), err);
    if (st == CSM_OK) {
        value->rows = rows;
        value->cols = cols;
    }
    return st;
}

float *csm_native_data(const csm_value *value)
{
    return value->buffer.data;
}

static void native_close(void *ctx)
{
    struct native *native = ctx;
    if (native == NULL)
        return;
    csm_threads_free(native->threads);
    for (int i = 0; i < SCRATCH_COUNT; i++)
        free(native->scratch[i].data);
    csm_native_arena_free(&native->arena);
    csm_native_angles_free(native);
    for (int i = 0; native->sides != NULL && i < native->traits.n_threads; i++)
        native_close(native->sides[i]);
    free(native->sides);
    free(native->made);
    free(native);
}

static csm_status native_new(csm_precision precision, int n_threads, struct native **out,
                             csm_error *err)
{
    struct native *native = calloc(1, sizeof *native);
    if (native == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "native: no memory for a context");
    native->precision = precision;
    native->kernels = csm_kernels_best();
    csm_status st = csm_threads_new(n_threads, &native->threads, err);
    if (st == CSM_OK) {
        size_t n_bytes = (size_t)csm_threads_count(native->threads) * sizeof *native->made;
        native->made = aligned_alloc(64, n_bytes);
        if (native->made == NULL)
            st = csm_fail(err, CSM_NO_MEMORY, "native: no memory for a context");
        else
            memset(native->made, 0, n_bytes);
    }
    if (st != CSM_OK) {
        native_close(native);
        return st;
    }
    native->traits = (struct csm_traits){.own_stream = CSM_STREAM_COUNT,
                                         .lanes = true,
                                         .independent_rows = true,
                                         .codec = true,
                                         .made_rows = true,
                                         .precisions = ~0u,
                                         .n_threads = csm_threads_count(native->threads)};
    *out = native;
    return CSM_OK;
}

static csm_status native_open(const struct csm_engine_options *options, void **ctx, csm_error *err)
{
    if (options->device != NULL && strcmp(options->device, "cpu") != 0)
        return csm_fail(err, CSM_BAD_ARG, "native: device '%s', expected cpu", options->device);
    struct native *native = NULL;
    csm_status st = native_new(options->precision, options->n_threads, &native, err);
    *ctx = native;
    return st;
}

static csm_threads *native_threads(void *ctx)
{
    return ((struct native *)ctx)->threads;
}

static void *native_side(void *ctx, size_t i)
{
    struct native *native = ctx;
    csm_error err;
    if (native->sides == NULL)
        native->sides = calloc((size_t)native->traits.n_threads, sizeof(struct native *));
    if (native->sides != NULL && native->sides[i] == NULL)
        (void)native_new(native->precision, 1, &native->sides[i], &err);
    return native->sides != NULL ? native->sides[i] : NULL;
}

static const char *native_version(void *ctx)
{
    (void)ctx;
    return csm_version();
}

static const struct csm_traits *native_traits(void *ctx)
{
    return &((struct native *)ctx)->traits;
}

static csm_status value_new(void *ctx, csm_value **out, csm_error *err)
{
    (void)ctx;
    csm_value *value = calloc(1, sizeof *value);
    if (value == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "native: no memory for a value");
    *out = value;
    return CSM_OK;
}

static void value_free(void *ctx, csm_value *value)
{
    (void)ctx;
    if (value == NULL)
        return;
    free(value->buffer.data);
    free(value->adapters.data);
    free(value);
}

static csm_status write_rows(void *ctx, const float *host, size_t rows, size_t cols, csm_value *out,
                             csm_error *err)
{
    (void)ctx;
    csm_status st = csm_native_shape(out, rows, cols, err);
    if (st == CSM_OK && rows * cols > 0)
        memcpy(csm_native_data(out), host, rows * cols * sizeof *host);
    return st;
}

static csm_status read_rows(void *ctx, const csm_value *x, size_t rows, size_t cols, float *host,
                            csm_error *err)
{
    (void)ctx;
    if (x->rows != rows || x->cols != cols)
        return csm_fail(err, CSM_BAD_ARG, "native: read of [%zu, %zu] from a value of [%zu, %zu]",
                        rows, cols, x->rows, x->cols);
    if (rows * cols > 0)
        memcpy(host, csm_native_data(x), rows * cols * sizeof *host);
    return CSM_OK;
}

struct embed_job {
    const csm_weight *table;
    const int32_t *ids; /* [n] */
    float *rows;        /* [n, cols] */
    uint8_t *codes;     /* [threads, cols] */
};

static void embed_work(void *user, size_t first, size_t end, int thread)
{
    const struct embed_job *job = user;
    size_t cols = job->table->cols;
    for (size_t j = first; j < end; j++)
        csm_native_weight_row(job->table, (size_t)job->ids[j], job->rows + j * cols,
                          job->codes + (size_t)thread * cols);
}

/* A sum of many rows: the first is taken as it is, the others are added in order. */
static csm_status embed(void *ctx, const csm_weight *table, const int32_t *ids, size_t rows,
                        size_t n_per_row, csm_value *out, csm_error *err)
{
    struct native *native = ctx;
    size_t cols = table->cols, n_threads = (size_t)csm_threads_count(native->threads);
    if (table->source.made != NULL)
        return csm_fail(err, CSM_BAD_ARG, "native: %s: its rows are made, expected a table's",
                        table->source.tensor.name);
    csm_status st = csm_native_shape(out, rows, cols, err);
    float *made, *codes;
    if (st == CSM_OK)
        st = csm_native_scratch(native, SCRATCH_NORMED, n_per_row * cols, &made, err);
    if (st == CSM_OK)
        st = csm_native_scratch(native, SCRATCH_A, n_threads * (cols / 4 + 1), &codes, err);
    if (st != CSM_OK)
        return st;
    struct embed_job job = {table, ids, csm_native_data(out), (uint8_t *)codes};
    if (n_per_row == 1) {
        csm_threads_run(native->threads, embed_work, &job, rows, 1);
        return CSM_OK;
    }
    job.rows = made;
    for (size_t r = 0; r < rows; r++) {
        float *sum = csm_native_data(out) + r * cols;
        job.ids = ids + r * n_per_row;
        csm_threads_run(native->threads, embed_work, &job, n_per_row, 1);
        if (n_per_row == 0)
            memset(sum, 0, cols * sizeof *sum);
        for (size_t j = 0; j < n_per_row; j++)
            for (size_t c = 0; c < cols; c++)
                sum[c] = j == 0 ? made[c] : sum[c] + made[j * cols + c];
    }
    return CSM_OK;
}

static csm_status copy_rows(void *ctx, const csm_value *src, size_t first, size_t n, csm_value *dst,
                            size_t at, csm_error *err)
{
    (void)ctx;
    if (src == dst || first > src->rows || n > src->rows - first ||
        (at != 0 && (dst->cols != src->cols || at > dst->rows)))
        return csm_fail(err, CSM_BAD_ARG,
                        "native: copy of rows %zu+%zu of [%zu, %zu] to row %zu of [%zu, %zu]",
                        first, n, src->rows, src->cols, at, dst->rows, dst->cols);
    size_t rows = at == 0 ? n : (at + n > dst->rows ? at + n : dst->rows);
    size_t n_bytes = rows * src->cols * sizeof(float);
    if (n_bytes > dst->buffer.n_bytes) {
        struct buffer grown = {0};
        csm_status st = csm_native_reserve(&grown, n_bytes, err);
        if (st != CSM_OK)
            return st;
        if (at > 0)
            memcpy(grown.data, dst->buffer.data, dst->rows * dst->cols * sizeof(float));
        free(dst->buffer.data);
        dst->buffer = grown;
    }
    dst->rows = rows;
    dst->cols = src->cols;
    if (n > 0)
        memcpy(csm_native_data(dst) + at * src->cols, csm_native_data(src) + first * src->cols,
               n * src->cols * sizeof(float));
    return CSM_OK;
}

static csm_status norm(void *ctx, const struct csm_norm *norm_of, const csm_value *x,
                       csm_value *out, csm_error *err)
{
    if (out != x) {
        csm_status st = csm_native_shape(out, x->rows, x->cols, err);
        if (st != CSM_OK)
            return st;
    }
    return csm_native_norm_rows(ctx, norm_of, csm_native_data(x), x->rows, x->cols, csm_native_data(out), err);
}

static csm_status linear(void *ctx, const csm_weight *weight, const csm_weight *bias,
                         const csm_value *x, csm_value *out, csm_error *err)
{
    struct native *native = ctx;
    /* The form for products is a cache of what the weight is: made on first use. */
    csm_status st = csm_native_weight_prepare(native, (csm_weight *)weight, err);
    if (st != CSM_OK)
        return st;
    if (x->cols != weight->cols || x == out)
        return csm_fail(err, CSM_BAD_ARG, "native: %s [%zu, %zu] times a value of width %zu",
                        weight->source.tensor.name, weight->rows, weight->cols, x->cols);
    st = csm_native_shape(out, x->rows, weight->rows, err);
    if (st != CSM_OK)
        return st;
    struct product product = {.weight = weight,
                              .bias = bias == NULL ? NULL : bias->vector,
                              .out = csm_native_data(out),
                              .ld_out = weight->rows};
    return csm_native_product(native, &product, 1, (struct finishing){.kind = FINISH_STORE},
                          (struct rows){.values = csm_native_data(x), .ld = x->cols, .n = x->rows}, err);
}

static csm_status add(void *ctx, csm_value *x, const csm_value *y, csm_error *err)
{
    (void)ctx;
    if (x->rows != y->rows || x->cols != y->cols)
        return csm_fail(err, CSM_BAD_ARG, "native: [%zu, %zu] += [%zu, %zu]", x->rows, x->cols,
                        y->rows, y->cols);
    float *a = csm_native_data(x);
    const float *b = csm_native_data(y);
    for (size_t i = 0; i < x->rows * x->cols; i++)
        a[i] += b[i];
    return CSM_OK;
}

const struct csm_engine_ops csm_engine_native = {
    .name = "native",
    .open = native_open,
    .close = native_close,
    .version = native_version,
    .traits = native_traits,
    .weight_new = csm_native_weight_new,
    .weight_free = csm_native_weight_free,
    .value_new = value_new,
    .value_free = value_free,
    .lane_open = csm_native_lane_open,
    .lane_fork = csm_native_lane_fork,
    .lane_reserve = csm_native_lane_reserve,
    .lane_truncate = csm_native_lane_truncate,
    .lane_bytes = csm_native_lane_bytes,
    .lane_close = csm_native_lane_close,
    .write = write_rows,
    .read = read_rows,
    .embed = embed,
    .copy_rows = copy_rows,
    .norm = norm,
    .linear = linear,
    .attention = csm_native_attention,
    .mlp = csm_native_mlp,
    .add = add,
    .conv_state_new = csm_native_conv_state_new,
    .conv_state_reset = csm_native_conv_state_reset,
    .conv_state_free = csm_native_conv_state_free,
    .conv = csm_native_conv,
    .conv_lanes = csm_native_conv_lanes,
    .threads = native_threads,
    .side = native_side,
    .weight_adapter = csm_native_weight_adapter,
    .lane_adapter = csm_native_lane_adapter,
};
