/* SPDX-License-Identifier: Apache-2.0
 *
 * softmax_torch_cuda.c - the bits of ATen's CUDA kernels (torch 2.11).
 *
 * Everything is float32 until the result. Each thread adds its entries in the
 * order of their indices; then the threads of a warp are folded in halves, and
 * the sums of up to 32 warps likewise. Which thread has entry i depends on the
 * kernel:
 *
 *   up to 2048 entries: one warp, or less for rows below 32 (softmax_warp_forward):
 *       i mod its size
 *   up to 9 entries for each of 1024 threads (cunn_SoftMaxForwardReg): i mod 1024
 *   rows of whole 16-byte packs that fit shared memory (cunn_SoftMaxForwardSmem):
 *       pack number mod 1024
 *   others (cunn_SoftMaxForward): the entries up to the first 16-byte border, one
 *       a thread; then packs; then the rest, one a thread
 * out = e / s for softmax, (x - m) - log s for log_softmax. */
#include "sampling/softmax_torch_cuda.h"

#include "sampling/cuda_math.h"
#include "base/numbers.h"

enum { WARP = 32, THREADS = 1024, SHARED_BYTES = 48 * 1024 };

static float highest(const float *x, size_t n)
{
    float m = x[0];
    for (size_t i = 1; i < n; i++)
        m = x[i] > m ? x[i] : m;
    return m;
}

static float fold(float *v, size_t n)
{
    for (size_t half = n / 2; half > 0; half /= 2)
        for (size_t i = 0; i < half; i++)
            v[i] += v[i + half];
    return v[0];
}

static float sum_in_warp(const float *e, const uint32_t *index, size_t n, size_t vocab)
{
    float lanes[WARP] = {0};
    size_t size = 1;
    while (size < vocab && size < WARP)
        size *= 2;
    for (size_t i = 0; i < n; i++)
        lanes[index[i] % size] += e[i];
    return fold(lanes, size);
}

/* How the entries of a row are dealt out to the threads of a block. */
struct deal {
    size_t pack;  /* entries that one thread takes together */
    size_t shift; /* entries between the last 16-byte border and the row */
    size_t size;  /* of what follows the first round; the row, if not shifted */
    size_t tail;  /* entries at the end that make no whole round of packs */
};

static struct deal deal_out(size_t row, size_t vocab, size_t bytes)
{
    struct deal d = {.pack = 1, .size = vocab};
    if (vocab <= 9 * THREADS)
        return d;
    d.pack = 16 / bytes;
    if (vocab % d.pack == 0 && vocab < (SHARED_BYTES - THREADS / WARP * 4) / bytes)
        return d;
    d.shift = row * vocab % d.pack;
    if (d.shift > 0)
        d.size = vocab + d.shift - THREADS;
    d.tail = d.size % (d.pack * THREADS);
    return d;
}

static size_t thread_of(const struct deal *d, size_t i)
{
    if (d->shift > 0) {
        i += d->shift;
        if (i < THREADS)
            return i;
        i -= THREADS;
    }
    if (i >= d->size - d->tail)
        return (i - (d->size - d->tail)) % THREADS;
    return i / d->pack % THREADS;
}

static float sum_of(const float *e, const uint32_t *index, size_t n, size_t row, size_t vocab,
                    csm_dtype dtype)
{
    size_t bytes = csm_dtype_size(dtype);
    if (vocab <= 2048)
        return sum_in_warp(e, index, n, vocab);
    float threads[THREADS] = {0};
    struct deal deal = deal_out(row, vocab, bytes);
    for (size_t i = 0; i < n; i++)
        threads[thread_of(&deal, index[i])] += e[i];
    for (size_t warp = 0; warp < THREADS / WARP; warp++)
        threads[warp] = fold(threads + warp * WARP, WARP);
    return fold(threads, WARP);
}

void csm_softmax_torch_cuda(float *x, const uint32_t *index, size_t n, size_t row, size_t vocab,
                        csm_dtype dtype)
{
    float m = highest(x, n);
    for (size_t i = 0; i < n; i++)
        x[i] = csm_cuda_expf(x[i] - m);
    float s = sum_of(x, index, n, row, vocab, dtype);
    for (size_t i = 0; i < n; i++)
        x[i] = csm_round_to(dtype, x[i] / s);
}

void csm_log_softmax_torch_cuda(float *x, float *e, const uint32_t *index, size_t n, size_t row,
                            size_t vocab, csm_dtype dtype)
{
    float m = highest(x, n);
    for (size_t i = 0; i < n; i++)
        e[i] = csm_cuda_expf(x[i] - m);
    float log_s = csm_cuda_logf(sum_of(e, index, n, row, vocab, dtype));
    for (size_t i = 0; i < n; i++)
        x[i] = csm_round_to(dtype, (x[i] - m) - log_s);
}
