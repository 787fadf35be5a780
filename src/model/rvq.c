/* SPDX-License-Identifier: Apache-2.0
 *
 * The distance is sum (r - e)^2 as it stands, not |e|^2 - 2 r.e, which loses the
 * digits that decide between near entries. A block of entries is turned, so that
 * the inner loop runs over entries: independent sums, which the compiler turns
 * into vector code without reordering any of them. Threads share the blocks. */
#include "model/rvq.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/threads.h"

enum { BLOCK = 32 }; /* entries: their distances stay in registers */

/* distances [BLOCK] of r [dim] from the entries of turned [dim, BLOCK]. */
typedef void (*block_distances)(const float *turned, size_t dim, const float *r, float *distances);

static inline __attribute__((always_inline)) void sum_squares(const float *restrict turned,
                                                              size_t dim, const float *restrict r,
                                                              float *restrict distances)
{
    float sums[BLOCK] = {0};
    for (size_t d = 0; d < dim; d++)
        for (size_t e = 0; e < BLOCK; e++) {
            const float difference = r[d] - turned[d * BLOCK + e];
            sums[e] += difference * difference;
        }
    for (size_t e = 0; e < BLOCK; e++)
        distances[e] = sums[e];
}

static void distances_plain(const float *turned, size_t dim, const float *r, float *distances)
{
    sum_squares(turned, dim, r, distances);
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static void distances_avx2(const float *turned, size_t dim,
                                                           const float *r, float *distances)
{
    sum_squares(turned, dim, r, distances);
}
#endif

static block_distances best_distances(void)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2"))
        return distances_avx2;
#endif
    return distances_plain;
}

/* One codebook's search. */
struct search {
    const float *entries, *residual; /* [n_entries, dim], [n, dim] */
    size_t n_entries, dim, n;
    block_distances distances;
    float *turned;   /* [threads, dim, BLOCK] */
    float *nearest;  /* [blocks, n] */
    int32_t *codes;  /* [blocks, n] */
};

static void search_work(void *user, size_t first, size_t end, int thread)
{
    const struct search *s = user;
    float *turned = s->turned + (size_t)thread * s->dim * BLOCK;
    float distances[BLOCK];
    for (size_t b = first; b < end; b++) {
        const size_t from = b * BLOCK;
        const size_t n = s->n_entries - from < BLOCK ? s->n_entries - from : BLOCK;
        for (size_t e = 0; e < BLOCK; e++)
            for (size_t d = 0; d < s->dim; d++)
                turned[d * BLOCK + e] = e < n ? s->entries[(from + e) * s->dim + d] : 0.0f;
        for (size_t t = 0; t < s->n; t++) {
            s->distances(turned, s->dim, s->residual + t * s->dim, distances);
            size_t best = 0;
            for (size_t e = 1; e < n; e++)
                if (distances[e] < distances[best])
                    best = e;
            s->nearest[b * s->n + t] = distances[best];
            s->codes[b * s->n + t] = (int32_t)(from + best);
        }
    }
}

/* The lowest index of equally near ones: blocks are in order. */
static int32_t nearest_of(const struct search *s, size_t n_blocks, size_t t)
{
    size_t best = 0;
    for (size_t b = 1; b < n_blocks; b++)
        if (s->nearest[b * s->n + t] < s->nearest[best * s->n + t])
            best = b;
    return s->codes[best * s->n + t];
}

csm_status csm_rvq_search(const struct csm_rvq *rvq, csm_threads *threads, float *residual, size_t n,
                          size_t n_used, int32_t *codes, size_t stride, csm_error *err)
{
    const size_t dim = rvq->dim, n_blocks = (rvq->n_entries + BLOCK - 1) / BLOCK;
    const size_t n_threads = threads != NULL ? (size_t)csm_threads_count(threads) : 1;
    struct search s = {.residual = residual,
                       .n_entries = rvq->n_entries,
                       .dim = dim,
                       .n = n,
                       .distances = best_distances(),
                       .turned = malloc(n_threads * dim * BLOCK * sizeof(float)),
                       .nearest = malloc(n_blocks * n * sizeof(float)),
                       .codes = malloc(n_blocks * n * sizeof(int32_t))};
    csm_status st = s.turned != NULL && s.nearest != NULL && s.codes != NULL
                        ? CSM_OK
                        : csm_fail(err, CSM_NO_MEMORY, "codec: a codebook of %zu", rvq->n_entries);
    for (size_t k = 0; st == CSM_OK && k < n_used; k++) {
        s.entries = rvq->vectors + k * rvq->n_entries * dim;
        if (threads != NULL)
            csm_threads_run(threads, search_work, &s, n_blocks, 1);
        else
            search_work(&s, 0, n_blocks, 0);
        for (size_t t = 0; t < n; t++) {
            const int32_t code = nearest_of(&s, n_blocks, t);
            codes[t * stride + k] = code;
            for (size_t d = 0; d < dim; d++)
                residual[t * dim + d] -= s.entries[(size_t)code * dim + d];
        }
    }
    free(s.turned);
    free(s.nearest);
    free(s.codes);
    return st;
}
