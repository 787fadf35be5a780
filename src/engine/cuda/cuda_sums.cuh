/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_sums.cuh - the arithmetic that every kernel shares, so that one number is made in
 * one way wherever it is made. No multiply and add is contracted (--fmad=false): what is
 * fused says fmaf.
 *
 *   product   steps of 16 columns, one instruction each, one after the other in a segment
 *             of 16 steps, plane after plane of the matrix; then (hi + lo) of the segment's
 *             sums, or (hi + mid) + lo; segments in order in a part; parts in order
 *   row sum   pairs, folded over 32 lanes; 32 of those folded; those in order
 *   attention a page of 32 positions: score of one position is four sums over every fourth
 *             dimension; its results are summed position by position; pages merged in order
 *             in fours, fours in order */
#ifndef CSM_CUDA_SUMS_CUH
#define CSM_CUDA_SUMS_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "engine/cuda/cuda_engine.h"

namespace csm_cuda {

enum : unsigned { ALL = 0xffffffffu };

__device__ __forceinline__ void mma(float (&c)[4], const uint4 &a, uint32_t b0, uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
}

/* 16 bytes to shared memory, behind the thread's back. */
__device__ __forceinline__ void copy_16(uint32_t to, const void *from)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\n" ::"r"(to), "l"(from) : "memory");
}

__device__ __forceinline__ void await_copies()
{
    asm volatile("cp.async.wait_all;\n" ::: "memory");
}

__device__ __forceinline__ float fold(float v)
{
    for (int d = 16; d > 0; d /= 2)
        v += __shfl_xor_sync(ALL, v, d);
    return v;
}

__device__ __forceinline__ float fold_max(float v)
{
    for (int d = 16; d > 0; d /= 2)
        v = fmaxf(v, __shfl_xor_sync(ALL, v, d));
    return v;
}

/* The sum over a row in shared memory of (x - shift)^2, or of x; all threads of the block
 * call it and get it. sums: room for width / 64 + 1. */
template <bool SQUARES>
__device__ float row_sum(const float *x, int width, float shift, float *sums)
{
    int lane = threadIdx.x % 32, n = (width + 63) / 64;
    for (int c = threadIdx.x / 32; c < n; c += blockDim.x / 32) {
        int i = 64 * c + 2 * lane;
        float a = i < width ? x[i] - shift : 0.0f, b = i + 1 < width ? x[i + 1] - shift : 0.0f;
        float v = fold(SQUARES ? fmaf(b, b, a * a) : a + b);
        if (lane == 0)
            sums[c] = v;
    }
    __syncthreads();
    float total = 0.0f;
    for (int c = 0; c < n; c += 32)
        total += fold(c + lane < n ? sums[c + lane] : 0.0f);
    __syncthreads();
    return total;
}

__device__ __forceinline__ uint32_t pair_of(float a, float b)
{
    __nv_bfloat162 pair = __floats2bfloat162_rn(a, b);
    return *reinterpret_cast<uint32_t *>(&pair);
}

__device__ __forceinline__ float rounded(float x)
{
    return __bfloat162float(__float2bfloat16_rn(x));
}

/* Columns k and k + 1 (k even) of row n, into its planes' words. */
__device__ __forceinline__ void store_planes(const planes &to, int n, int k, float a, float b)
{
    int per = to.rows_per_group(), step = k / STEP, in_step = k % STEP;
    size_t at = ((static_cast<size_t>(n / per) * (to.n_steps / 2) + step / 2) * 32 +
                 n % per * to.slots * 4 + in_step % 8 / 2) * 4 + step % 2 * 2 + in_step / 8;
    for (int s = 0; s < (to.slots == 2 ? 2 : 3); s++) {
        to.words[at + 16 * s] = pair_of(a, b);
        a -= rounded(a);
        b -= rounded(b);
    }
}

__device__ __forceinline__ float silu(float x)
{
    return x / (1.0f + expf(-x));
}

__device__ __forceinline__ float gelu(float x)
{
    return 0.5f * x * (1.0f + erff(x * 0.70710678f));
}

/* The segment's sum of row `lane / 4` (and of that + 8 in `high`), of the activation row
 * returned in `n` within the group; only where true is returned. */
__device__ __forceinline__ bool segment_sum(const float (&c)[4], int slots, int *n, float *low,
                                            float *high)
{
    int t = threadIdx.x % 4;
    if (slots == 2) {
        *n = t;
        *low = c[0] + c[1];
        *high = c[2] + c[3];
        return true;
    }
    float third_low = __shfl_xor_sync(ALL, c[0], 1), third_high = __shfl_xor_sync(ALL, c[2], 1);
    *n = t / 2;
    *low = (c[0] + c[1]) + third_low;
    *high = (c[2] + c[3]) + third_high;
    return t % 2 == 0;
}

/* ---- attention ---------------------------------------------------------- */

static constexpr float LOG2E = 1.44269504f;

struct angles {
    float c, s;
};

__device__ __forceinline__ angles angle_of(float frequency, int position)
{
    angles a;
    sincosf(frequency * static_cast<float>(position), &a.s, &a.c);
    return a;
}

/* Pair i of a head as it is before and after: (i, i + d/2) or (2i, 2i + 1). */
__device__ __forceinline__ void pair_at(int i, int head_dim, bool interleaved, int *a, int *b)
{
    *a = interleaved ? 2 * i : i;
    *b = interleaved ? 2 * i + 1 : i + head_dim / 2;
}

__device__ __forceinline__ void turn(const angles &w, float *x, float *y)
{
    float a = *x, b = *y;
    *x = fmaf(a, w.c, -(b * w.s));
    *y = fmaf(b, w.c, a * w.s);
}

/* Where dimension i of position `slot` of a page's keys is; values follow, row by row. */
__device__ __forceinline__ int key_at(int slot, int i)
{
    return (i / 4 * PAGE + slot) * 4 + i % 4;
}

/* What a warp finds in slots [from, to) of one page: the highest score, the sum of weights,
 * and the weighted values, dimension lane + 32 j in out[j]. query in shared memory. */
template <int DIMS>
__device__ __forceinline__ void attend_page(const float *query, const float *keys, int head_dim,
                                            int from, int to, float scale, float *highest,
                                            float *sum, float (&out)[DIMS])
{
    int lane = threadIdx.x % 32;
    float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    const float4 *k4 = reinterpret_cast<const float4 *>(keys) + lane;
    const float4 *q4 = reinterpret_cast<const float4 *>(query);
    bool is_in = lane >= from && lane < to;
    if (is_in) {
#pragma unroll 8
        for (int i = 0; i < (head_dim + 3) / 4; i++) {
            float4 k = k4[i * PAGE], q = q4[i];
            s0 = fmaf(q.x, k.x, s0);
            s1 = fmaf(q.y, k.y, s1);
            s2 = fmaf(q.z, k.z, s2);
            s3 = fmaf(q.w, k.w, s3);
        }
    }
    float score = is_in ? ((s0 + s1) + (s2 + s3)) * scale : -INFINITY;
    *highest = fold_max(score);
    float weight = is_in ? exp2f((score - *highest) * LOG2E) : 0.0f;
    *sum = fold(weight);
    const float *values = keys + PAGE * padded_head(head_dim);
#pragma unroll
    for (int j = 0; j < DIMS; j++)
        out[j] = 0.0f;
#pragma unroll 8
    for (int p = from; p < to; p++) {
        float w = __shfl_sync(ALL, weight, p);
#pragma unroll
        for (int j = 0; j < DIMS; j++)
            if (lane + 32 * j < head_dim)
                out[j] = fmaf(w, values[p * head_dim + lane + 32 * j], out[j]);
    }
}

/* Merged results. The highest of what is merged is taken first, then all are added in
 * order: of pages to a four, of fours to all, whose number may grow as they come. */
struct merged {
    float highest, sum, value;
};

/* One dimension of pages [from, to). */
__device__ __forceinline__ merged merge_pages(const float *highest, const float *sums,
                                              const float *values, int between, int from, int to)
{
    merged out = {-INFINITY, 0.0f, 0.0f};
    for (int p = from; p < to; p++)
        out.highest = fmaxf(out.highest, highest[p]);
    for (int p = from; p < to; p++) {
        float w = exp2f((highest[p] - out.highest) * LOG2E);
        out.sum = fmaf(sums[p], w, out.sum);
        out.value = fmaf(values[p * between], w, out.value);
    }
    return out;
}

/* One more four. */
__device__ __forceinline__ void merge_into(merged *all, const merged &next)
{
    float highest = fmaxf(all->highest, next.highest);
    float before = exp2f((all->highest - highest) * LOG2E);
    float w = exp2f((next.highest - highest) * LOG2E);
    all->sum = fmaf(next.sum, w, all->sum * before);
    all->value = fmaf(next.value, w, all->value * before);
    all->highest = highest;
}

} // namespace csm_cuda
#endif
