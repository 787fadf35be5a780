/* SPDX-License-Identifier: Apache-2.0
 *
 * adapter_merge.c - base and adapters made one weight, row by row, in float32; the
 * sum is rounded once, to the base's type, as PEFT's merge does.
 *
 * No bit depends on which thread makes a row, or on the processor (low_rank.h). */
#define _DEFAULT_SOURCE /* madvise */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "base/numbers.h"
#include "base/threads.h"
#include "checkpoint/adapter.h"
#include "checkpoint/checkpoint_parts.h"
#include "checkpoint/low_rank.h"
#include "checkpoint/weight_row.h"

enum { ROWS = CSM_LOW_RANK_ROWS, HUGE_PAGE = 1 << 21 };

/* Row of a matrix of q or k in one order as the row of the other: of the base's row
 * r, where the adapter has it. */
static size_t row_in(size_t r, size_t head_dim, bool base_has_pairs, bool has_pairs)
{
    if (head_dim == 0 || base_has_pairs == has_pairs)
        return r;
    const size_t in_head = r % head_dim, half = head_dim / 2;
    const size_t in = base_has_pairs ? in_head % 2 * half + in_head / 2
                                     : in_head % half * 2 + in_head / half;
    return r - in_head + in;
}

struct job {
    const struct csm_patch *patch;
    const struct csm_weight_source *base;
    size_t rows, cols;
    size_t head_dim; /* 0: rows have one order */
    bool base_has_pairs;
    csm_dtype dtype;
    char *out;
    float *scratch; /* of each thread: 3 * ROWS * cols, and codes [cols] */
    csm_low_rank products;
    double **norms; /* of each delta by columns: [cols], of base + delta; else NULL */
};

static size_t scratch_size(size_t cols)
{
    return 3 * ROWS * cols + (cols + 3) / 4;
}

/* A row of what the adapters find: the base's, or what one of them keeps whole. */
static void base_row(const struct job *job, size_t r, float *row, uint8_t *codes)
{
    const struct csm_patch *p = job->patch;
    if (p->whole.data == NULL) {
        csm_weight_row(job->base, r, row, codes);
        return;
    }
    r = row_in(r, job->head_dim, job->base_has_pairs, p->whole_has_pairs);
    (void)csm_tensor_floats(&p->whole, r * job->cols, job->cols, row);
}

/* The products of up to ROWS rows of a delta; `rows` receives where they lie in it. */
static void delta_rows(const struct job *job, const struct csm_patched *patched, size_t first,
                       size_t n, size_t rows[ROWS], float *out)
{
    const float *left[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        rows[i] = row_in(first + (i < n ? i : 0), job->head_dim, job->base_has_pairs,
                         patched->has_pairs);
        left[i] = patched->delta.left + rows[i] * patched->delta.rank;
    }
    job->products(left, patched->delta.right, patched->delta.rank, job->cols, out);
}

static double norm_of_sum(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double x = (double)a[i] + (double)b[i];
        sum += x * x;
    }
    return sqrt(sum);
}

/* Add one delta to a row: `base` is the row before any adapter. */
static void add_row(const struct job *job, size_t d, size_t row, const float *base,
                    const float *delta, float *sum)
{
    const struct csm_delta *how = &job->patch->deltas[d].delta;
    const size_t n = job->cols;
    if (how->magnitude == NULL) {
        for (size_t c = 0; c < n; c++)
            sum[c] += delta[c];
    } else if (how->is_by_column) {
        for (size_t c = 0; c < n; c++)
            sum[c] = (float)(how->magnitude[c] / job->norms[d][c]) * (sum[c] + delta[c]);
    } else {
        const float factor = (float)(how->magnitude[row] / norm_of_sum(base, delta, n));
        for (size_t c = 0; c < n; c++)
            sum[c] = factor * (sum[c] + delta[c]);
    }
}

static void merge_rows(void *user, size_t first, size_t end, int thread)
{
    const struct job *job = user;
    const size_t n = job->cols;
    float *base = job->scratch + (size_t)thread * scratch_size(n);
    float *sums = base + ROWS * n, *deltas = sums + ROWS * n;
    uint8_t *codes = (uint8_t *)(deltas + ROWS * n);
    for (size_t r = first * ROWS; r < end * ROWS && r < job->rows; r += ROWS) {
        const size_t n_rows = r + ROWS < job->rows ? ROWS : job->rows - r;
        for (size_t i = 0; i < n_rows; i++)
            base_row(job, r + i, base + i * n, codes);
        memcpy(sums, base, n_rows * n * sizeof *sums);
        for (size_t d = 0; d < job->patch->n; d++) {
            size_t rows[ROWS];
            delta_rows(job, &job->patch->deltas[d], r, n_rows, rows, deltas);
            for (size_t i = 0; i < n_rows; i++)
                add_row(job, d, rows[i], base + i * n, deltas + i * n, sums + i * n);
        }
        csm_floats_store(sums, n_rows * n, job->dtype,
                         job->out + r * n * csm_dtype_size(job->dtype));
    }
}

/* Norms of the columns of base + delta, which DoRA of an embedding goes by. */
static csm_status column_norms(struct job *job, size_t d, csm_error *err)
{
    const size_t n = job->cols;
    double *norms = job->norms[d] = calloc(n, sizeof *norms);
    if (norms == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "adapter: %zu norms", n);
    float *base = job->scratch, *deltas = base + ROWS * n;
    uint8_t *codes = (uint8_t *)(deltas + ROWS * n);
    for (size_t r = 0; r < job->rows; r += ROWS) {
        const size_t n_rows = r + ROWS < job->rows ? ROWS : job->rows - r;
        size_t rows[ROWS];
        delta_rows(job, &job->patch->deltas[d], r, n_rows, rows, deltas);
        for (size_t i = 0; i < n_rows; i++) {
            base_row(job, r + i, base, codes);
            for (size_t c = 0; c < n; c++) {
                const double x = (double)base[c] + (double)deltas[i * n + c];
                norms[c] += x * x;
            }
        }
    }
    for (size_t c = 0; c < n; c++)
        norms[c] = sqrt(norms[c]);
    return CSM_OK;
}

/* Large pages where the system has them: a weight is written once, from end to end. */
static void *allocate(size_t n_bytes)
{
    void *memory = NULL;
    if (n_bytes < HUGE_PAGE)
        return malloc(n_bytes + 1);
    if (posix_memalign(&memory, HUGE_PAGE, n_bytes) != 0)
        return NULL;
#ifdef MADV_HUGEPAGE
    (void)madvise(memory, n_bytes, MADV_HUGEPAGE);
#endif
    return memory;
}

/* Memory for a merged weight. An adapter changes all heads or none: they are slices of
 * one tensor, as those of a file are. */
static char *room_for(struct csm_adapters *adapters, const struct csm_patch *patch,
                      size_t n_heads, size_t n_bytes)
{
    if (patch->part != CSM_DEPTH || patch->role != CSM_ROLE_HEAD)
        return allocate(n_bytes);
    if (adapters->heads == NULL)
        adapters->heads = allocate(n_heads * n_bytes);
    return adapters->heads != NULL ? (char *)adapters->heads + patch->index * n_bytes : NULL;
}

static csm_status merge(struct csm_adapters *adapters, struct csm_patch *patch,
                        const csm_checkpoint *checkpoint, csm_threads *threads, csm_error *err)
{
    struct csm_weight_source base;
    struct csm_set_tensor *used[CSM_MAX_USED];
    csm_status st =
        csm_find_stored(checkpoint, patch->part, patch->role, patch->index, &base, used, err);
    if (st != CSM_OK)
        return st;
    const bool is_heads = patch->part == CSM_DEPTH && patch->role == CSM_ROLE_HEAD;
    if (is_heads && !base.transposed)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: an adapter of heads that are quantized, expected floats",
                        base.tensor.name);
    const bool is_codec = csm_part_is_codec(patch->part);
    const enum csm_layout layout = is_codec ? checkpoint->codec.layout
                                            : checkpoint->language.layout;
    const bool is_rotated = patch->role == CSM_ROLE_Q || patch->role == CSM_ROLE_K;
    struct job job = {
        .patch = patch,
        .base = &base,
        .rows = csm_weight_rows(&base),
        .cols = csm_weight_cols(&base),
        .head_dim =
            is_rotated ? csm_part_transformer(&checkpoint->config, patch->part)->head_dim : 0,
        .base_has_pairs = csm_layout_has_pairs(layout),
        .dtype = csm_weight_dtype(&base),
        .products = csm_low_rank_best(),
    };
    csm_tensor merged = base.tensor;
    merged.dtype = job.dtype;
    if (base.format != CSM_WEIGHT_FLOAT)
        merged.shape[1] = job.cols;
    merged.n_bytes = job.rows * job.cols * csm_dtype_size(job.dtype);
    job.out = room_for(adapters, patch, checkpoint->config.n_codebooks - 1, merged.n_bytes);
    job.scratch = malloc((size_t)csm_threads_count(threads) * scratch_size(job.cols) *
                         sizeof *job.scratch);
    job.norms = calloc(patch->n + 1, sizeof *job.norms);
    if (job.out == NULL || job.scratch == NULL || job.norms == NULL)
        st = csm_fail(err, CSM_NO_MEMORY, "%s: no memory to merge it", base.tensor.name);
    for (size_t d = 0; st == CSM_OK && d < patch->n; d++)
        if (patch->deltas[d].delta.magnitude != NULL && patch->deltas[d].delta.is_by_column)
            st = column_norms(&job, d, err);
    if (st == CSM_OK)
        csm_threads_run(threads, merge_rows, &job, (job.rows + ROWS - 1) / ROWS, 4);
    for (size_t d = 0; job.norms != NULL && d < patch->n; d++)
        free(job.norms[d]);
    free(job.norms);
    free(job.scratch);
    merged.data = job.out; /* the patch's from here on */
    patch->merged = merged;
    return st;
}

csm_status csm_adapters_merge(struct csm_adapters *adapters, const csm_checkpoint *checkpoint,
                              int n_threads, csm_error *err)
{
    csm_threads *threads;
    csm_status st = csm_threads_new(n_threads, &threads, err);
    if (st != CSM_OK)
        return st;
    for (size_t i = 0; st == CSM_OK && i < adapters->n; i++)
        st = merge(adapters, &adapters->patches[i], checkpoint, threads, err);
    csm_threads_free(threads);
    return st;
}
