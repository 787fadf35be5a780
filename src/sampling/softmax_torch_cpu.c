/* SPDX-License-Identifier: Apache-2.0
 *
 * softmax_torch_cpu.c - the bits of ATen's AVX-512 kernels (torch 2.13).
 *
 * Sums run in 16 lanes which are then folded in halves; which entry goes to which
 * lane depends on the dtype and on whether it lies in the tail of the row:
 *
 *   softmax f32           entry i to lane i mod 16; a row below 16 in order
 *   softmax bf16, f16     the same for whole vectors; the tail's exp is libm's,
 *                         and is added after the fold, one by one
 *   log_softmax f32       as softmax
 *   log_softmax bf16, f16 entry i to lane i mod 32, halves added, then folded; a
 *                         row below 32: lanes of 16, then in order
 * exp is Sleef's. out = e * (1 / s) for softmax, (x - m) - log s for log_softmax,
 * where s and log s are rounded to the dtype first. Adding the zeros of masked
 * entries changes no bit, so they are left out. */
#include "sampling/softmax_torch_cpu.h"

#include <string.h>

#include "sampling/exact_math.h"
#include "sampling/row_kernels.h"

enum { LANES = 16 };

static float highest(const float *x, size_t n)
{
    float m = x[0];
    for (size_t i = 1; i < n; i++)
        m = x[i] > m ? x[i] : m;
    return m;
}

static float fold(float *lanes)
{
    for (size_t half = LANES / 2; half > 0; half /= 2)
        for (size_t i = 0; i < half; i++)
            lanes[i] += lanes[i + half];
    return lanes[0];
}

static float sum_in_order(const float *e, size_t n)
{
    float s = 0.0f;
    for (size_t i = 0; i < n; i++)
        s += e[i];
    return s;
}

static float sum_f32(const float *e, const uint32_t *index, size_t n, size_t vocab)
{
    float lanes[LANES] = {0};
    if (vocab < LANES)
        return sum_in_order(e, n);
    for (size_t i = 0; i < n; i++)
        lanes[index[i] % LANES] += e[i];
    return fold(lanes);
}

static float sum_16_bit(const float *e, const uint32_t *index, size_t n, size_t vocab)
{
    float lanes[2 * LANES] = {0};
    if (vocab < LANES)
        return sum_in_order(e, n);
    size_t width = vocab < 2 * LANES ? LANES : 2 * LANES;
    for (size_t i = 0; i < n; i++)
        lanes[index[i] % width] += e[i];
    if (width == LANES)
        return sum_in_order(lanes, LANES);
    for (size_t i = 0; i < LANES; i++)
        lanes[i] += lanes[i + LANES];
    return fold(lanes);
}

void csm_softmax_torch_cpu(float *x, const uint32_t *index, size_t n, size_t vocab, csm_dtype dtype)
{
    float m = highest(x, n);
    float s;
    if (dtype == CSM_DTYPE_F32) {
        csm_row_kernels_best()->exp_less(x, n, m);
        s = sum_f32(x, index, n, vocab);
    } else {
        float lanes[LANES] = {0};
        size_t whole = vocab - vocab % LANES, n_whole = n;
        while (n_whole > 0 && index[n_whole - 1] >= whole)
            n_whole--;
        csm_row_kernels_best()->exp_less(x, n_whole, m);
        for (size_t i = 0; i < n_whole; i++)
            lanes[index[i] % LANES] += x[i];
        s = fold(lanes);
        for (size_t i = n_whole; i < n; i++) {
            x[i] = csm_libm_expf(x[i] - m);
            s += x[i];
        }
    }
    float inverse = 1.0f / s;
    for (size_t i = 0; i < n; i++)
        x[i] = csm_round_to(dtype, x[i] * inverse);
}

void csm_log_softmax_torch_cpu(float *x, float *e, const uint32_t *index, size_t n, size_t vocab,
                           csm_dtype dtype)
{
    float m = highest(x, n);
    memcpy(e, x, n * sizeof *e);
    csm_row_kernels_best()->exp_less(e, n, m);
    float s = dtype == CSM_DTYPE_F32 ? sum_f32(e, index, n, vocab) : sum_16_bit(e, index, n, vocab);
    s = csm_round_to(dtype, s);
    float log_s = s < INFINITY ? csm_round_to(dtype, csm_sleef_logf(s)) : INFINITY;
    for (size_t i = 0; i < n; i++)
        x[i] = csm_round_to(dtype, (x[i] - m) - log_s);
}
