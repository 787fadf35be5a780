/* SPDX-License-Identifier: Apache-2.0
 *
 * native_tiles.c - matrices packed into the column tiles of kernels.h, in parallel.
 *
 * Coded, a weight takes 18.5 bits. A code is within half a step of its value, and a step
 * is the largest of 64 neighbours over 2^17 - 1. */
#include "engine/native/native.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

enum { CHUNK = 32 << 20 };

void *csm_native_arena_take(struct arena *arena, size_t n_bytes)
{
    if (n_bytes > SIZE_MAX - 64)
        return NULL;
    n_bytes = (n_bytes + 63) / 64 * 64;
    if (n_bytes > arena->n_free) {
        size_t size = n_bytes > CHUNK ? n_bytes : CHUNK;
        void **chunks = realloc(arena->chunks, (arena->n_chunks + 1) * sizeof *chunks);
        if (chunks == NULL)
            return NULL;
        arena->chunks = chunks;
        void *chunk = csm_kernels_alloc(size);
        if (chunk == NULL)
            return NULL;
        chunks[arena->n_chunks++] = chunk;
        arena->next = chunk;
        arena->n_free = size;
    }
    void *taken = arena->next;
    arena->next += n_bytes;
    arena->n_free -= n_bytes;
    return taken;
}

void csm_native_arena_free(struct arena *arena)
{
    for (size_t i = 0; i < arena->n_chunks; i++)
        free(arena->chunks[i]);
    free(arena->chunks);
    *arena = (struct arena){0};
}

struct pack_job {
    native_row row;
    const void *user;
    size_t rows;
    struct column_tiles *tiles;
    unsigned char *to;
    float *values; /* of each thread: [cols] */
};

/* One row of one block: n <= CSM_CODE_GROUP values. What is not finite makes its group NaN;
 * what is too small for a scale is 0. */
static void encode(const float *values, size_t n, struct code_block *block, size_t r)
{
    float largest = 0;
    bool is_finite = true;
    for (size_t i = 0; i < n; i++) {
        largest = fabsf(values[i]) > largest ? fabsf(values[i]) : largest;
        is_finite = is_finite && isfinite(values[i]);
    }
    float step = largest / CSM_CODE_MOST;
    block->scales[r] = is_finite ? step * 0x1p-14f : NAN;
    for (size_t i = 0; i < n && is_finite && step > 0; i++) {
        float code = rintf(values[i] / step);
        code = code > CSM_CODE_MOST ? CSM_CODE_MOST : code; /* a subnormal step is not exact */
        code = code < -CSM_CODE_MOST ? -CSM_CODE_MOST : code;
        uint32_t bits = (uint32_t)(int32_t)code;
        size_t unit = i / CSM_CODE_UNIT, pair = i % CSM_CODE_UNIT / 2;
        size_t at = r / 4 * 8 + i % 2 * 4 + r % 4;
        block->high[unit][pair * 2 * CSM_TILE + at] = (uint16_t)(bits >> 2);
        block->low[unit][at] |= (uint8_t)((bits & 3) << 2 * pair);
    }
}

static void pack_work(void *user, size_t first, size_t end, int thread)
{
    const struct pack_job *job = user;
    size_t cols = job->tiles->cols;
    float *values = job->values + (size_t)thread * cols;
    for (size_t tile = first; tile < end; tile++) {
        unsigned char *at = job->to + tile * job->tiles->tile_bytes;
        memset(at, 0, job->tiles->tile_bytes);
        for (size_t r = 0; r < CSM_TILE && tile * CSM_TILE + r < job->rows; r++) {
            job->row(job->user, tile * CSM_TILE + r, values);
            if (!job->tiles->is_coded) {
                for (size_t c = 0; c < cols; c++)
                    ((float *)(void *)at)[c * CSM_TILE + r] = values[c];
                continue;
            }
            struct code_block *block = (struct code_block *)(void *)at;
            for (size_t c = 0; c < cols; c += CSM_CODE_GROUP, block++)
                encode(values + c, cols - c < CSM_CODE_GROUP ? cols - c : CSM_CODE_GROUP, block,
                        r);
        }
    }
}

csm_status csm_native_pack(struct native *native, native_row row, const void *user, size_t rows,
                       size_t cols, bool is_coded, struct column_tiles *tiles, csm_error *err)
{
    size_t n_tiles = (rows + CSM_TILE - 1) / CSM_TILE;
    size_t n_blocks = (cols + CSM_CODE_GROUP - 1) / CSM_CODE_GROUP;
    *tiles = (struct column_tiles){.cols = cols,
                                   .tile_bytes = is_coded ? n_blocks * sizeof(struct code_block)
                                                          : cols * CSM_TILE * sizeof(float),
                                   .is_coded = is_coded};
    struct pack_job job = {.row = row, .user = user, .rows = rows, .tiles = tiles};
    job.values = malloc((size_t)csm_threads_count(native->threads) * cols * sizeof(float) + 1);
    if (job.values != NULL)
        job.to = csm_native_arena_take(&native->arena, n_tiles * tiles->tile_bytes);
    if (job.to == NULL) {
        free(job.values);
        return csm_fail(err, CSM_NO_MEMORY, "native: no memory for a matrix of [%zu, %zu]", rows,
                        cols);
    }
    csm_threads_run(native->threads, pack_work, &job, n_tiles, 1);
    free(job.values);
    tiles->data = job.to;
    return CSM_OK;
}
