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

_Static_assert((int)ROWS == (int)CSM_MADE_AT_ONCE, "rows are made as the products make them");

size_t csm_adapter_row(size_t r, size_t head_dim, bool base_has_pairs, bool has_pairs)
{
    if (head_dim == 0 || base_has_pairs == has_pairs)
        return r;
    const size_t in_head = r % head_dim, half = head_dim / 2;
    const size_t in = base_has_pairs ? in_head % 2 * half + in_head / 2
                                     : in_head % half * 2 + in_head / half;
    return r - in_head + in;
}

struct csm_merger {
    struct csm_made_rows made; /* the first member: a merger is what it is read by */
    const struct csm_patch *patch;
    struct csm_weight_source base;
    csm_tensor tensor; /* what it becomes, without bytes */
    size_t rows, cols;
    size_t head_dim; /* 0: rows have one order */
    bool base_has_pairs;
    csm_low_rank low_rank;
    double **norms; /* of each delta by columns: [cols], of base + delta; else NULL */
};

/* Floats: base rows, deltas and sums, ROWS of each, and codes [cols]. */
static size_t room_size(size_t cols)
{
    return 3 * ROWS * cols + (cols + 3) / 4;
}

/* A row of what the adapters find: the base's, or what one of them keeps whole. */
static void base_row(const struct csm_merger *job, size_t r, float *row, uint8_t *codes)
{
    const struct csm_patch *p = job->patch;
    if (p->whole.data == NULL) {
        csm_weight_row(&job->base, r, row, codes);
        return;
    }
    r = csm_adapter_row(r, job->head_dim, job->base_has_pairs, p->whole_has_pairs);
    (void)csm_tensor_floats(&p->whole, r * job->cols, job->cols, row);
}

/* The products of up to ROWS rows of a delta, or base + them; `rows` receives where they lie in it. */
static void delta_rows(const struct csm_merger *job, const struct csm_patched *patched, size_t first,
                       size_t n, size_t rows[ROWS], enum csm_low_rank_sum sum, const void *base,
                       void *out)
{
    const float *left[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        rows[i] = csm_adapter_row(first + (i < n ? i : 0), job->head_dim, job->base_has_pairs,
                         patched->has_pairs);
        left[i] = patched->delta.left + rows[i] * patched->delta.rank;
    }
    job->low_rank(left, patched->delta.right, patched->delta.rank, job->cols, sum, n, base, out);
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
static void add_row(const struct csm_merger *job, size_t d, size_t row, const float *base,
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

/* What most adapters are: one pair on floats, which one pass over the base adds and rounds. */
static bool is_plain(const struct csm_merger *job)
{
    const struct csm_patch *p = job->patch;
    const csm_dtype dtype = job->tensor.dtype;
    return p->n == 1 && p->whole.data == NULL && p->deltas[0].delta.magnitude == NULL &&
           job->base.format == CSM_WEIGHT_FLOAT &&
           (dtype == CSM_DTYPE_F32 || dtype == CSM_DTYPE_BF16);
}

static void read_rows(const struct csm_made_rows *made, size_t first, size_t n_rows, void *out,
                      float *room)
{
    const struct csm_merger *job = (const struct csm_merger *)made;
    const size_t n = job->cols;
    const csm_dtype dtype = job->tensor.dtype;
    size_t rows[ROWS];
    if (is_plain(job)) {
        const char *base = job->base.tensor.data;
        delta_rows(job, job->patch->deltas, first, n_rows, rows,
                   dtype == CSM_DTYPE_BF16 ? CSM_LOW_RANK_BF16 : CSM_LOW_RANK_F32,
                   base + first * n * csm_dtype_size(dtype), out);
        return;
    }
    float *base = room, *deltas = base + ROWS * n, *sums = deltas + ROWS * n;
    uint8_t *codes = (uint8_t *)(sums + ROWS * n);
    for (size_t i = 0; i < n_rows; i++)
        base_row(job, first + i, base + i * n, codes);
    memcpy(sums, base, n_rows * n * sizeof *sums);
    for (size_t d = 0; d < job->patch->n; d++) {
        delta_rows(job, &job->patch->deltas[d], first, n_rows, rows, CSM_LOW_RANK_ALONE, NULL,
                   deltas);
        for (size_t i = 0; i < n_rows; i++)
            add_row(job, d, rows[i], base + i * n, deltas + i * n, sums + i * n);
    }
    csm_floats_store(sums, n_rows * n, dtype, out);
}

/* A whole weight that is being made. */
struct whole_job {
    const struct csm_merger *merger;
    char *out;
    float *room; /* of each thread: that of read_rows */
};

/* Items are ROWS rows. */
static void merge_rows(void *user, size_t first, size_t end, int thread)
{
    const struct whole_job *job = user;
    const struct csm_merger *merger = job->merger;
    const size_t n = merger->cols;
    float *room = job->room + (size_t)thread * merger->made.n_room;
    for (size_t r = first * ROWS; r < end * ROWS && r < merger->rows; r += ROWS) {
        const size_t n_rows = r + ROWS < merger->rows ? ROWS : merger->rows - r;
        read_rows(&merger->made, r, n_rows, job->out + r * n * csm_dtype_size(merger->tensor.dtype),
                  room);
    }
}

/* Norms of the columns of base + delta, which DoRA of an embedding goes by. */
static csm_status column_norms(struct csm_merger *job, size_t d, float *room, csm_error *err)
{
    const size_t n = job->cols;
    double *norms = job->norms[d] = calloc(n, sizeof *norms);
    if (norms == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "adapter: %zu norms", n);
    float *base = room, *deltas = base + ROWS * n;
    uint8_t *codes = (uint8_t *)(deltas + ROWS * n);
    for (size_t r = 0; r < job->rows; r += ROWS) {
        const size_t n_rows = r + ROWS < job->rows ? ROWS : job->rows - r;
        size_t rows[ROWS];
        delta_rows(job, &job->patch->deltas[d], r, n_rows, rows, CSM_LOW_RANK_ALONE, NULL, deltas);
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

void csm_merger_free(struct csm_merger *merger)
{
    if (merger == NULL)
        return;
    for (size_t d = 0; merger->norms != NULL && d < merger->patch->n; d++)
        free(merger->norms[d]);
    free(merger->norms);
    free(merger);
}

static csm_status make_norms(struct csm_merger *merger, csm_error *err)
{
    const struct csm_patch *patch = merger->patch;
    float *room = malloc(merger->made.n_room * sizeof *room);
    merger->norms = calloc(patch->n + 1, sizeof *merger->norms);
    csm_status st = CSM_OK;
    if (room == NULL || merger->norms == NULL)
        st = csm_fail(err, CSM_NO_MEMORY, "%s: no memory to merge it", merger->tensor.name);
    for (size_t d = 0; st == CSM_OK && d < patch->n; d++)
        if (patch->deltas[d].delta.magnitude != NULL && patch->deltas[d].delta.is_by_column)
            st = column_norms(merger, d, room, err);
    free(room);
    return st;
}

static csm_status make_merger(struct csm_patch *patch, const csm_checkpoint *checkpoint,
                              csm_error *err)
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
    struct csm_merger *merger = malloc(sizeof *merger);
    if (merger == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: no memory to merge it", base.tensor.name);
    *merger = (struct csm_merger){
        .patch = patch,
        .base = base,
        .tensor = base.tensor,
        .rows = csm_weight_rows(&base),
        .cols = csm_weight_cols(&base),
        .head_dim =
            is_rotated ? csm_part_transformer(&checkpoint->config, patch->part)->head_dim : 0,
        .base_has_pairs = csm_layout_has_pairs(layout),
        .low_rank = csm_low_rank_best(),
    };
    merger->made = (struct csm_made_rows){.read = read_rows, .n_room = room_size(merger->cols)};
    csm_tensor *tensor = &merger->tensor;
    tensor->data = NULL;
    tensor->dtype = csm_weight_dtype(&base);
    if (base.format != CSM_WEIGHT_FLOAT)
        tensor->shape[1] = merger->cols;
    tensor->n_bytes = merger->rows * merger->cols * csm_dtype_size(tensor->dtype);
    patch->merger = merger;
    return make_norms(merger, err);
}

/* Room: [cols]. */
static void set_own_rows(const struct csm_patch *patch, size_t cols, csm_dtype dtype, char *out,
                         float *room)
{
    for (size_t i = 0; i < patch->n_own_rows; i++) {
        const struct csm_own_row *own = &patch->own_rows[i];
        (void)csm_tensor_floats(&own->tensor, own->at * cols, cols, room);
        csm_floats_store(room, cols, dtype, out + own->row * cols * csm_dtype_size(dtype));
    }
}

static csm_status make_whole(struct csm_adapters *adapters, struct csm_patch *patch,
                             const csm_checkpoint *checkpoint, csm_threads *threads,
                             csm_error *err)
{
    const struct csm_merger *merger = patch->merger;
    csm_tensor merged = merger->tensor;
    struct whole_job job = {
        .merger = merger,
        .out = room_for(adapters, patch, checkpoint->config.n_codebooks - 1, merged.n_bytes),
        .room = malloc((size_t)csm_threads_count(threads) * merger->made.n_room *
                       sizeof *job.room)};
    merged.data = job.out; /* the patch's from here on */
    patch->merged = merged;
    if (job.out == NULL || job.room == NULL) {
        free(job.room);
        return csm_fail(err, CSM_NO_MEMORY, "%s: no memory to merge it", merged.name);
    }
    csm_threads_run(threads, merge_rows, &job, (merger->rows + ROWS - 1) / ROWS, 4);
    set_own_rows(patch, merger->cols, merged.dtype, job.out, job.room);
    free(job.room);
    return CSM_OK;
}

/* Whether an engine may read it row by row, once: heads lie turned, rows of tables are read
 * again and again, and the codec is small. */
static bool is_read_by_rows(const struct csm_patch *patch)
{
    return !csm_part_is_codec(patch->part) && patch->merger->tensor.rank == 2 &&
           patch->role != CSM_ROLE_TEXT_TABLE && patch->role != CSM_ROLE_AUDIO_TABLE &&
           !(patch->part == CSM_DEPTH && patch->role == CSM_ROLE_HEAD);
}

csm_status csm_adapters_merge(struct csm_adapters *adapters, const csm_checkpoint *checkpoint,
                              int n_threads, bool is_whole, csm_error *err)
{
    csm_threads *threads;
    csm_status st = csm_threads_new(n_threads, &threads, err);
    if (st != CSM_OK)
        return st;
    for (size_t i = 0; st == CSM_OK && i < adapters->n; i++) {
        struct csm_patch *patch = &adapters->patches[i];
        st = make_merger(patch, checkpoint, err);
        if (st == CSM_OK && (is_whole || !is_read_by_rows(patch)))
            st = make_whole(adapters, patch, checkpoint, threads, err);
    }
    csm_threads_free(threads);
    return st;
}

csm_status csm_patch_merge(struct csm_adapters *adapters, struct csm_patch *patch,
                           const csm_checkpoint *checkpoint, csm_error *err)
{
    csm_threads *threads;
    csm_status st = csm_threads_new(0, &threads, err);
    if (st != CSM_OK)
        return st;
    st = make_whole(adapters, patch, checkpoint, threads, err);
    csm_threads_free(threads);
    return st;
}

const struct csm_made_rows *csm_patch_rows(const struct csm_patch *patch, csm_tensor *tensor)
{
    *tensor = patch->merger->tensor;
    return &patch->merger->made;
}
