/* SPDX-License-Identifier: Apache-2.0
 *
 * native_attention.c - attention over the keys and values of lanes.
 *
 * The rows of a call may be of several lanes, some of each. Angles are computed as the
 * references do: the frequency rounded to float32, times the position in float32. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "engine/native/native_lane.h"

/* in and out may be the same; element d of the result goes to out[d * stride]. */
static void rotate(const struct native_angles *angles, bool interleaved, size_t position,
                   const float *in, float *out, size_t stride)
{
    size_t half = angles->head_dim / 2, slot = position % angles->n_slots;
    const float *cosines = angles->cosines + slot * half, *sines = angles->sines + slot * half;
    for (size_t i = 0; i < half; i++) {
        size_t first = interleaved ? 2 * i : i, second = interleaved ? 2 * i + 1 : i + half;
        float a = in[first], b = in[second];
        out[first * stride] = a * cosines[i] - b * sines[i];
        out[second * stride] = b * cosines[i] + a * sines[i];
    }
}

struct attention_job {
    struct native *native;
    const struct csm_attention *block;
    const struct csm_rows *rows; /* [n_lanes] */
    const size_t *first;         /* [n_lanes + 1] the row at which each lane's begin */
    size_t n_lanes, layer;
    struct native_angles *angles;
    float *q, *k, *v, *out, *scores;
    size_t scores_each;
};

static float *page_at(const csm_lane *lane, size_t position)
{
    return lane->pages[position / CSM_TILE % lane->n_pages];
}

/* Ask for the lines that a kv head's keys will go to: a line for each dimension. */
static void expect_keys(const struct attention_job *job, size_t item)
{
    const size_t n_kv = job->block->n_kv_heads;
    const csm_lane *lane = job->rows[item / n_kv].lane;
    const float *keys = page_at(lane, lane->lengths[job->layer]) +
                        csm_native_keys_at(lane, job->layer, item % n_kv);
    for (size_t d = 0; d < lane->head_dim; d++)
        __builtin_prefetch(keys + d * CSM_TILE, 1, 2);
}

/* Items: lane-major, then kv head. Keys are rotated on their way into the lane. */
static void store_work(void *user, size_t first, size_t end, int thread)
{
    struct attention_job *job = user;
    const size_t n_kv = job->block->n_kv_heads;
    (void)thread;
    for (size_t item = first; item < end; item++) {
        const size_t i = item / n_kv, head = item % n_kv;
        const csm_lane *lane = job->rows[i].lane;
        const size_t dim = lane->head_dim, at = csm_native_keys_at(lane, job->layer, head);
        for (size_t t = 0; t < job->rows[i].n; t++) {
            const size_t position = lane->lengths[job->layer] + t, slot = position % CSM_TILE;
            const size_t from = ((job->first[i] + t) * n_kv + head) * dim;
            float *keys = page_at(lane, position) + at;
            rotate(job->angles, job->block->rope.interleaved, position, job->k + from, keys + slot,
                   CSM_TILE);
            memcpy(keys + (CSM_TILE + slot) * dim, job->v + from, dim * sizeof(float));
        }
    }
}

/* Rows and query heads of a lane's kv head, items first..end-1 of n * n_each. */
static void attend_head(const struct attention_job *job, size_t i, size_t kv_head, size_t first,
                        size_t end, int thread)
{
    const struct csm_attention *a = job->block;
    const csm_lane *lane = job->rows[i].lane;
    const size_t dim = lane->head_dim, n_each = a->n_heads / a->n_kv_heads;
    const size_t n_all = job->rows[i].n * n_each, at = csm_native_keys_at(lane, job->layer, kv_head);
    const float scale = (float)(1.0 / sqrt((double)dim));
    const bool has_next = n_all > 1 && kv_head + 1 < a->n_kv_heads;
    struct kv_view view = {.pages = (const float *const *)lane->pages,
                           .n_pages = lane->n_pages,
                           .keys = at,
                           .values = at + CSM_TILE * dim,
                           .head_dim = dim};
    for (size_t item = first, n; item < end; item += n) { /* heads of one row together */
        const size_t step = item / n_each, position = lane->lengths[job->layer] + step;
        const size_t head = kv_head * n_each + item % n_each;
        const size_t at_q = ((job->first[i] + step) * a->n_heads + head) * dim;
        n = n_each - item % n_each < end - item ? n_each - item % n_each : end - item;
        for (size_t j = 0; j < n; j++)
            rotate(job->angles, a->rope.interleaved, position, job->q + at_q + j * dim,
                   job->q + at_q + j * dim, 1);
        view.next = item + n == n_all && has_next ? 2 * CSM_TILE * dim : 0;
        const size_t from =
            lane->window != 0 && position + 1 > lane->window ? position + 1 - lane->window : 0;
        job->native->kernels->attend(job->q + at_q, n, &view, from, position + 1, scale,
                                     job->scores + (size_t)thread * job->scores_each,
                                     job->out + at_q);
    }
}

/* Items: lane-major, then kv head, row, query head: what shares keys and values finds them
 * in the caches. */
static void attend_work(void *user, size_t first, size_t end, int thread)
{
    const struct attention_job *job = user;
    const size_t n_heads = job->block->n_heads, n_each = n_heads / job->block->n_kv_heads;
    for (size_t i = 0; first < end; i++) {
        const size_t last = job->first[i + 1] * n_heads; /* the lane's items end here */
        const size_t n_head = job->rows[i].n * n_each;
        while (first < end && first < last) {
            const size_t in_lane = first - job->first[i] * n_heads;
            const size_t head = in_lane / n_head, at = in_lane % n_head;
            const size_t n = n_head - at < end - first ? n_head - at : end - first;
            attend_head(job, i, head, at, at + n, thread);
            first += n;
        }
    }
}

/* Items: those of store_work. */
static void store_and_attend_work(void *user, size_t first, size_t end, int thread)
{
    const struct attention_job *job = user;
    const size_t n_kv = job->block->n_kv_heads, n_each = job->block->n_heads / n_kv;
    for (size_t item = first; item < end; item++) {
        store_work(user, item, item + 1, thread);
        if (item + 1 < end)
            expect_keys(job, item + 1);
        attend_head(job, item / n_kv, item % n_kv, 0, job->rows[item / n_kv].n * n_each, thread);
    }
}

static csm_status check_block(const struct csm_attention *a, const csm_value *x, csm_error *err)
{
    const char *name = a->q->source.tensor.name;
    size_t q_width = a->n_heads * a->head_dim, kv_width = a->n_kv_heads * a->head_dim;
    if (a->n_kv_heads == 0 || a->n_heads % a->n_kv_heads != 0 || a->head_dim % 2 != 0 ||
        a->q->rows != q_width || a->k->rows != kv_width || a->v->rows != kv_width ||
        a->o->cols != q_width || a->o->rows != a->width || a->q->cols != a->width ||
        x->cols != a->width)
        return csm_fail(err, CSM_BAD_ARG, "native: %s: [%zu, %zu] in a block of width %zu", name,
                        a->q->rows, a->q->cols, a->width);
    return CSM_OK;
}

/* One lane's rows: it is of the block's kind and has room; then memory for them. */
static csm_status open_rows(const struct csm_attention *a, size_t layer, struct csm_rows rows,
                            csm_error *err)
{
    const char *name = a->q->source.tensor.name;
    csm_lane *lane = rows.lane;
    if (a->n_kv_heads != lane->n_kv_heads || a->head_dim != lane->head_dim ||
        a->window != lane->window || layer >= lane->n_layers ||
        memcmp(&a->rope, &lane->rope, offsetof(struct csm_rope, interleaved)) != 0)
        return csm_fail(err, CSM_BAD_ARG,
                        "native: %s: heads, window, rope or layer are not the lane's", name);
    const size_t length = lane->lengths[layer];
    const size_t kept = a->window == 0 || length < a->window ? length : a->window - 1;
    if (kept + rows.n > lane->capacity)
        return csm_fail(err, CSM_BAD_ARG,
                        "native: %s: %zu positions after %zu, the lane has room for %zu", name,
                        rows.n, kept, lane->capacity);
    return csm_native_lane_hold(lane, length, length + rows.n, err);
}

/* All lanes' rows, their beginnings, and the angles of their positions. */
static csm_status open_lanes(struct attention_job *job, const csm_value *x, csm_error *err)
{
    csm_status st = csm_native_reserve(&job->native->scratch[SCRATCH_ROWS],
                                       (job->n_lanes + 1) * sizeof(size_t), err);
    if (st != CSM_OK)
        return st;
    size_t *first = job->native->scratch[SCRATCH_ROWS].data, lowest = SIZE_MAX, end = 0, most = 0;
    first[0] = 0;
    for (size_t i = 0; st == CSM_OK && i < job->n_lanes; i++) {
        const struct csm_rows rows = job->rows[i];
        st = open_rows(job->block, job->layer, rows, err);
        const size_t length = rows.lane->lengths[job->layer], all = length + rows.n;
        first[i + 1] = first[i] + rows.n;
        lowest = length < lowest ? length : lowest;
        end = all > end ? all : end;
        const size_t seen = job->block->window != 0 && job->block->window < all
                                ? job->block->window
                                : all;
        most = seen > most ? seen : most;
    }
    if (st != CSM_OK)
        return st;
    if (first[job->n_lanes] != x->rows)
        return csm_fail(err, CSM_BAD_ARG, "native: %s: %zu rows for lanes of %zu",
                        job->block->q->source.tensor.name, x->rows, first[job->n_lanes]);
    st = csm_native_angles_find(job->native, job->rows[0].lane, &job->angles, err);
    if (st == CSM_OK)
        st = csm_native_angles_reserve(job->angles, lowest, end, job->block->window != 0, err);
    for (size_t i = 0; st == CSM_OK && i < job->n_lanes; i++)
        for (size_t t = 0; t < job->rows[i].n; t++)
            csm_native_angles_set(job->angles, job->rows[i].lane->lengths[job->layer] + t);
    job->first = first;
    const size_t n_each = job->block->n_heads / job->block->n_kv_heads;
    job->scores_each = n_each * (most / CSM_TILE + 4) * CSM_TILE;
    return st;
}

csm_status csm_native_attention(void *ctx, const struct csm_attention *a, size_t layer,
                                const struct csm_rows *rows_of, size_t n_lanes, csm_value *x,
                                csm_error *err)
{
    struct native *native = ctx;
    csm_weight *const weights[] = {a->q, a->k, a->v, a->o};
    struct attention_job job = {
        .native = native, .block = a, .layer = layer, .rows = rows_of, .n_lanes = n_lanes};
    csm_status st = CSM_OK;
    for (size_t i = 0; i < 4 && st == CSM_OK; i++)
        st = csm_native_weight_prepare(native, weights[i], err);
    if (st == CSM_OK)
        st = check_block(a, x, err);
    if (st == CSM_OK && n_lanes > 0)
        st = open_lanes(&job, x, err);
    if (st == CSM_OK)
        st = csm_native_value_adapters(x, rows_of, n_lanes, err);
    if (st != CSM_OK || x->rows == 0)
        return st;
    const size_t *adapters = csm_native_adapters_of(x);

    size_t rows = x->rows, q_width = a->n_heads * a->head_dim, kv_width = a->n_kv_heads * a->head_dim;
    size_t n_scores = (size_t)csm_threads_count(native->threads) * job.scores_each;
    float *normed, *product;
    st = csm_native_scratch(native, SCRATCH_NORMED, rows * a->width, &normed, err);
    if (st == CSM_OK)
        st = csm_native_scratch(native, SCRATCH_A, rows * q_width, &job.q, err);
    if (st == CSM_OK)
        st = csm_native_scratch(native, SCRATCH_B, rows * kv_width, &job.k, err);
    if (st == CSM_OK)
        st = csm_native_scratch(native, SCRATCH_C, rows * kv_width, &job.v, err);
    if (st == CSM_OK)
        st = csm_native_scratch(native, SCRATCH_D, rows * q_width, &job.out, err);
    if (st == CSM_OK)
        st = csm_native_scratch(native, SCRATCH_PRODUCT, rows * a->width, &product, err);
    if (st == CSM_OK)
        st = csm_native_scratch(native, SCRATCH_SCORES, n_scores, &job.scores, err);
    if (st == CSM_OK)
        st = csm_native_norm_rows(native, &a->norm, csm_native_data(x), rows, a->width, normed, err);
    if (st != CSM_OK)
        return st;

    struct product qkv[] = {{.weight = a->q, .out = job.q, .ld_out = q_width},
                            {.weight = a->k, .out = job.k, .ld_out = kv_width},
                            {.weight = a->v, .out = job.v, .ld_out = kv_width}};
    st = csm_native_product(native, qkv, 3, (struct finishing){.kind = FINISH_STORE},
                        (struct rows){.values = normed, .ld = a->width, .n = rows,
                                      .adapters = adapters},
                        err);
    if (st != CSM_OK)
        return st;
    /* Keys and values of a head are written by the thread that reads them: between cores
     * of different caches a line takes as long as from memory. */
    size_t n_items = n_lanes * a->n_kv_heads, n_threads = (size_t)csm_threads_count(native->threads);
    if (n_items >= (rows == n_lanes ? n_threads : 2 * n_threads)) {
        csm_threads_run(native->threads, store_and_attend_work, &job, n_items, 1);
    } else { /* few of them for so many threads */
        csm_threads_run(native->threads, store_work, &job, n_items, 8);
        csm_threads_run(native->threads, attend_work, &job, rows * a->n_heads, 4);
    }
    for (size_t i = 0; i < n_lanes; i++)
        rows_of[i].lane->lengths[layer] += rows_of[i].n;

    struct product o = {.weight = a->o, .out = product, .ld_out = a->width};
    struct finishing residual = {
        .kind = FINISH_RESIDUAL,
        .residual = csm_native_data(x),
        .layer_scale = a->layer_scale == NULL ? NULL : a->layer_scale->vector};
    return csm_native_product(native, &o, 1, residual,
                          (struct rows){.values = job.out, .ld = q_width, .n = rows,
                                        .adapters = adapters},
                          err);
}
