/* SPDX-License-Identifier: Apache-2.0
 *
 * native_attention.c - attention over a cache of keys and values.
 *
 * Position p of a lane lies in slot p mod capacity (a multiple of 16), so that a
 * windowed lane may grow without end and results do not depend on how often the
 * ring went round. Angles are computed as the references do: the frequency
 * rounded to float32, times the position in float32; its cosine and sine are
 * kept for each slot. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "engine/native/native.h"

struct csm_cache {
    size_t n_layers, n_lanes;
    size_t n_kv_heads, head_dim, window;
    size_t capacity; /* as asked for */
    size_t n_blocks; /* of 16 slots */
    float *keys;     /* [layer, lane, kv head][n_blocks][head_dim][16] */
    float *values;   /* [layer, lane, kv head][16 * n_blocks][head_dim] */
    size_t *lengths; /* [layer, lane] */

    struct csm_rope rope;
    float *frequencies;      /* [head_dim / 2] */
    float *cosines, *sines;  /* [16 * n_blocks][head_dim / 2] */
    size_t *angle_positions; /* [16 * n_blocks]: position + 1 that the slot's angles are of */
};

static float frequency(const struct csm_rope *rope, size_t i, size_t head_dim)
{
    double f = pow(rope->theta, -2.0 * (double)i / (double)head_dim);
    if (rope->factor == 0)
        return (float)f;
    double wavelength = 2 * 3.14159265358979323846 / f;
    double longest = rope->original_max_positions / rope->low_freq_factor;
    double shortest = rope->original_max_positions / rope->high_freq_factor;
    if (wavelength < shortest)
        return (float)f;
    if (wavelength > longest)
        return (float)(f / rope->factor);
    double s = (rope->original_max_positions / wavelength - rope->low_freq_factor) /
               (rope->high_freq_factor - rope->low_freq_factor);
    return (float)((1 - s) * f / rope->factor + s * f);
}

/* Keys or values. A large window's ring is used whole, again and again: in huge pages, since
 * with small ones a third of attention's time would go to finding pages. Of others only what
 * is used takes memory: calloc's pages do when they are touched. */
static float *new_slots(const csm_cache *c, size_t n)
{
    const size_t huge_page = (size_t)1 << 21;
    if (c->window == 0 || n * sizeof(float) < huge_page)
        return calloc(n, sizeof(float));
    float *slots = csm_kernels_alloc(n * sizeof *slots);
    if (slots != NULL)
        memset(slots, 0, n * sizeof *slots);
    return slots;
}

csm_status csm_native_cache_new(void *ctx, const struct csm_attention *blocks, size_t n_layers,
                            size_t n_lanes, size_t capacity, csm_cache **out, csm_error *err)
{
    (void)ctx;
    if (n_layers == 0 || n_lanes == 0 || capacity == 0)
        return csm_fail(err, CSM_BAD_ARG, "native: a cache of %zu layers, %zu lanes, %zu positions",
                        n_layers, n_lanes, capacity);
    const struct csm_attention *a = &blocks[0];
    for (size_t i = 1; i < n_layers; i++)
        if (blocks[i].n_kv_heads != a->n_kv_heads || blocks[i].head_dim != a->head_dim ||
            blocks[i].window != a->window)
            return csm_fail(err, CSM_BAD_ARG, "native: layer %zu differs in heads or window", i);

    csm_cache *c = calloc(1, sizeof *c);
    if (c == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "native: no memory for a cache");
    c->n_layers = n_layers;
    c->n_lanes = n_lanes;
    c->n_kv_heads = a->n_kv_heads;
    c->head_dim = a->head_dim;
    c->window = a->window;
    c->rope = a->rope;
    c->capacity = capacity;
    c->n_blocks = (capacity + CSM_TILE - 1) / CSM_TILE;
    size_t n_slots = c->n_blocks * CSM_TILE, half = a->head_dim / 2;
    size_t n = n_layers * n_lanes * a->n_kv_heads * n_slots * a->head_dim;
    c->keys = new_slots(c, n);
    c->values = new_slots(c, n);
    c->lengths = calloc(n_layers * n_lanes, sizeof *c->lengths);
    c->frequencies = calloc(half + 1, sizeof *c->frequencies);
    c->cosines = calloc(n_slots * half + 1, sizeof *c->cosines);
    c->sines = calloc(n_slots * half + 1, sizeof *c->sines);
    c->angle_positions = calloc(n_slots, sizeof *c->angle_positions);
    if (c->keys == NULL || c->values == NULL || c->lengths == NULL || c->frequencies == NULL ||
        c->cosines == NULL || c->sines == NULL || c->angle_positions == NULL) {
        csm_native_cache_free(ctx, c);
        return csm_fail(err, CSM_NO_MEMORY, "native: no memory for a cache of %zu positions",
                        capacity);
    }
    for (size_t i = 0; i < half; i++)
        c->frequencies[i] = frequency(&a->rope, i, a->head_dim);
    *out = c;
    return CSM_OK;
}

void csm_native_cache_free(void *ctx, csm_cache *c)
{
    (void)ctx;
    if (c == NULL)
        return;
    free(c->keys);
    free(c->values);
    free(c->lengths);
    free(c->frequencies);
    free(c->cosines);
    free(c->sines);
    free(c->angle_positions);
    free(c);
}

csm_status csm_native_cache_truncate(void *ctx, csm_cache *c, size_t lane, size_t n_positions,
                                 csm_error *err)
{
    (void)ctx;
    if (lane >= c->n_lanes)
        return csm_fail(err, CSM_BAD_ARG, "native: lane %zu of %zu", lane, c->n_lanes);
    for (size_t layer = 0; layer < c->n_layers; layer++) {
        size_t length = c->lengths[layer * c->n_lanes + lane];
        if (c->window != 0 && n_positions != 0 && n_positions < length)
            return csm_fail(err, CSM_BAD_ARG,
                            "native: a windowed lane of %zu positions cut to %zu, expected 0",
                            length, n_positions);
    }
    for (size_t layer = 0; layer < c->n_layers; layer++) {
        size_t *length = &c->lengths[layer * c->n_lanes + lane];
        *length = n_positions < *length ? n_positions : *length;
    }
    return CSM_OK;
}

csm_status csm_native_cache_copy(void *ctx, csm_cache *c, size_t from, size_t to, csm_error *err)
{
    (void)ctx;
    if (from >= c->n_lanes || to >= c->n_lanes || from == to || c->window != 0)
        return csm_fail(err, CSM_BAD_ARG, "native: lane %zu as lane %zu of %zu", to, from,
                        c->n_lanes);
    size_t head = c->n_blocks * CSM_TILE * c->head_dim;
    for (size_t layer = 0; layer < c->n_layers; layer++) {
        size_t a = layer * c->n_lanes + from, b = layer * c->n_lanes + to;
        size_t n_blocks = (c->lengths[a] + CSM_TILE - 1) / CSM_TILE;
        size_t n_bytes = n_blocks * CSM_TILE * c->head_dim * sizeof(float);
        for (size_t h = 0; h < c->n_kv_heads; h++) {
            size_t source = (a * c->n_kv_heads + h) * head, target = (b * c->n_kv_heads + h) * head;
            memcpy(c->keys + target, c->keys + source, n_bytes);
            memcpy(c->values + target, c->values + source, n_bytes);
        }
        c->lengths[b] = c->lengths[a];
    }
    return CSM_OK;
}

static void set_angles(csm_cache *c, size_t position)
{
    size_t slot = position % (c->n_blocks * CSM_TILE), half = c->head_dim / 2;
    if (c->angle_positions[slot] == position + 1)
        return;
    c->angle_positions[slot] = position + 1;
    for (size_t i = 0; i < half; i++) {
        double angle = c->frequencies[i] * (float)position;
        c->cosines[slot * half + i] = (float)cos(angle);
        c->sines[slot * half + i] = (float)sin(angle);
    }
}

/* in and out may be the same; element d of the result goes to out[d * stride]. */
static void rotate(const csm_cache *c, bool interleaved, size_t slot, const float *in, float *out,
                   size_t stride)
{
    size_t half = c->head_dim / 2;
    const float *cosines = c->cosines + slot * half, *sines = c->sines + slot * half;
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
    csm_cache *cache;
    size_t layer, first_lane, n_steps; /* rows of each lane */
    float *q, *k, *v, *out, *scores;
    size_t scores_each;
};

static size_t length_of(const struct attention_job *job, size_t lane)
{
    return job->cache->lengths[job->layer * job->cache->n_lanes + job->first_lane + lane];
}

static size_t head_at(const struct attention_job *job, size_t lane, size_t kv_head)
{
    const csm_cache *c = job->cache;
    size_t index = (job->layer * c->n_lanes + job->first_lane + lane) * c->n_kv_heads + kv_head;
    return index * c->n_blocks * CSM_TILE * c->head_dim;
}

/* Ask for the lines that a kv head's keys will go to: a line for each dimension. */
static void expect_keys(const struct attention_job *job, size_t item)
{
    const csm_cache *c = job->cache;
    size_t lane = item / c->n_kv_heads, dim = c->head_dim;
    size_t slot = length_of(job, lane) % (c->n_blocks * CSM_TILE);
    const float *keys = c->keys + head_at(job, lane, item % c->n_kv_heads) +
                        slot / CSM_TILE * dim * CSM_TILE;
    for (size_t d = 0; d < dim; d++)
        __builtin_prefetch(keys + d * CSM_TILE, 1, 2);
}

/* Items: lane-major, then kv head. Keys are rotated on their way into the cache. */
static void store_work(void *user, size_t first, size_t end, int thread)
{
    struct attention_job *job = user;
    csm_cache *c = job->cache;
    size_t dim = c->head_dim, n_slots = c->n_blocks * CSM_TILE;
    (void)thread;
    for (size_t item = first; item < end; item++) {
        size_t lane = item / c->n_kv_heads, head = item % c->n_kv_heads;
        float *keys = c->keys + head_at(job, lane, head);
        float *values = c->values + head_at(job, lane, head);
        for (size_t t = 0; t < job->n_steps; t++) {
            size_t slot = (length_of(job, lane) + t) % n_slots;
            size_t from = ((lane * job->n_steps + t) * c->n_kv_heads + head) * dim;
            float *key = keys + slot / CSM_TILE * dim * CSM_TILE + slot % CSM_TILE;
            rotate(c, job->block->rope.interleaved, slot, job->k + from, key, CSM_TILE);
            memcpy(values + slot * dim, job->v + from, dim * sizeof(float));
        }
    }
}

/* Items: lane-major, then kv head, row, query head: what shares keys and values finds them
 * in the caches. */
static void attend_work(void *user, size_t first, size_t end, int thread)
{
    struct attention_job *job = user;
    const csm_cache *c = job->cache;
    const struct csm_attention *a = job->block;
    size_t dim = c->head_dim, n_each = a->n_heads / a->n_kv_heads;
    float scale = (float)(1.0 / sqrt((double)dim));
    for (size_t item = first; item < end; item++) {
        size_t step = item / n_each % job->n_steps, kv = item / n_each / job->n_steps;
        size_t lane = kv / a->n_kv_heads, kv_head = kv % a->n_kv_heads;
        size_t position = length_of(job, lane) + step, row = lane * job->n_steps + step;
        size_t at = (row * a->n_heads + kv_head * n_each + item % n_each) * dim;
        rotate(c, a->rope.interleaved, position % (c->n_blocks * CSM_TILE), job->q + at, job->q + at,
               1);
        bool is_last = (item + 1) % (n_each * job->n_steps) == 0;
        bool has_read = n_each * job->n_steps > 1 && kv_head + 1 < a->n_kv_heads;
        struct kv_view view = {.keys = c->keys + head_at(job, lane, kv_head),
                               .values = c->values + head_at(job, lane, kv_head),
                               .n_blocks = c->n_blocks,
                               .head_dim = dim,
                               .next = is_last && has_read ? c->n_blocks * CSM_TILE * dim : 0};
        size_t from = c->window != 0 && position + 1 > c->window ? position + 1 - c->window : 0;
        job->native->kernels->attend(job->q + at, &view, from, position + 1, scale,
                                     job->scores + (size_t)thread * job->scores_each,
                                     job->out + at);
    }
}

/* Items: those of store_work. */
static void store_and_attend_work(void *user, size_t first, size_t end, int thread)
{
    const struct attention_job *job = user;
    size_t n_each = job->n_steps * (job->block->n_heads / job->block->n_kv_heads);
    for (size_t item = first; item < end; item++) {
        store_work(user, item, item + 1, thread);
        if (item + 1 < end)
            expect_keys(job, item + 1);
        attend_work(user, item * n_each, (item + 1) * n_each, thread);
    }
}

static csm_status check(const struct csm_attention *a, size_t layer, const csm_cache *c,
                        size_t first_lane, size_t n_lanes, const csm_value *x, csm_error *err)
{
    const char *name = a->q->source.tensor.name;
    size_t q_width = a->n_heads * a->head_dim, kv_width = a->n_kv_heads * a->head_dim;
    if (a->n_kv_heads == 0 || a->n_heads % a->n_kv_heads != 0 || a->head_dim % 2 != 0 ||
        a->n_kv_heads != c->n_kv_heads || a->head_dim != c->head_dim || a->window != c->window ||
        memcmp(&a->rope, &c->rope, offsetof(struct csm_rope, interleaved)) != 0)
        return csm_fail(err, CSM_BAD_ARG, "native: %s: heads, window or rope are not the cache's",
                        name);
    if (a->q->rows != q_width || a->k->rows != kv_width || a->v->rows != kv_width ||
        a->o->cols != q_width || a->o->rows != a->width || a->q->cols != a->width ||
        x->cols != a->width)
        return csm_fail(err, CSM_BAD_ARG, "native: %s: [%zu, %zu] in a block of width %zu", name,
                        a->q->rows, a->q->cols, a->width);
    if (layer >= c->n_layers || n_lanes == 0 || first_lane + n_lanes > c->n_lanes ||
        x->rows % n_lanes != 0)
        return csm_fail(err, CSM_BAD_ARG, "native: %s: %zu rows for lanes %zu+%zu of %zu, layer %zu",
                        name, x->rows, first_lane, n_lanes, c->n_lanes, layer);
    size_t n_steps = x->rows / n_lanes;
    for (size_t i = 0; i < n_lanes; i++) {
        size_t length = c->lengths[layer * c->n_lanes + first_lane + i];
        size_t kept = c->window == 0 ? length : (length < c->window ? length : c->window - 1);
        if (kept + n_steps > c->capacity)
            return csm_fail(err, CSM_BAD_ARG,
                            "native: %s: %zu positions after %zu, the cache has room for %zu", name,
                            n_steps, kept, c->capacity);
    }
    return CSM_OK;
}

csm_status csm_native_attention(void *ctx, const struct csm_attention *a, size_t layer,
                            csm_cache *cache, size_t first_lane, size_t n_lanes, csm_value *x,
                            csm_error *err)
{
    struct native *native = ctx;
    csm_weight *const weights[] = {a->q, a->k, a->v, a->o};
    csm_status st = CSM_OK;
    for (size_t i = 0; i < 4 && st == CSM_OK; i++)
        st = csm_native_weight_prepare(native, weights[i], err);
    if (st == CSM_OK)
        st = check(a, layer, cache, first_lane, n_lanes, x, err);
    if (st != CSM_OK || x->rows == 0)
        return st;

    size_t rows = x->rows, q_width = a->n_heads * a->head_dim, kv_width = a->n_kv_heads * a->head_dim;
    struct attention_job job = {.native = native,
                                .block = a,
                                .cache = cache,
                                .layer = layer,
                                .first_lane = first_lane,
                                .n_steps = rows / n_lanes,
                                .scores_each = (cache->n_blocks + 2) * CSM_TILE};
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
                        (struct rows){.values = normed, .ld = a->width, .n = rows}, err);
    if (st != CSM_OK)
        return st;
    for (size_t lane = 0; lane < n_lanes; lane++)
        for (size_t t = 0; t < job.n_steps; t++)
            set_angles(cache, length_of(&job, lane) + t);
    /* Keys and values of a head are written by the thread that reads them: between cores
     * of different caches a line takes as long as from memory. */
    size_t n_items = n_lanes * a->n_kv_heads, n_threads = (size_t)csm_threads_count(native->threads);
    if (n_items >= (job.n_steps == 1 ? n_threads : 2 * n_threads)) {
        csm_threads_run(native->threads, store_and_attend_work, &job, n_items, 1);
    } else { /* few of them for so many threads */
        csm_threads_run(native->threads, store_work, &job, n_items, 8);
        csm_threads_run(native->threads, attend_work, &job, rows * a->n_heads, 4);
    }
    for (size_t lane = 0; lane < n_lanes; lane++)
        cache->lengths[layer * cache->n_lanes + first_lane + lane] += job.n_steps;

    struct product o = {.weight = a->o, .out = product, .ld_out = a->width};
    struct finishing residual = {
        .kind = FINISH_RESIDUAL,
        .residual = csm_native_data(x),
        .layer_scale = a->layer_scale == NULL ? NULL : a->layer_scale->vector};
    return csm_native_product(native, &o, 1, residual,
                          (struct rows){.values = job.out, .ld = q_width, .n = rows}, err);
}
