/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_sums.cuh - the arithmetic that every kernel shares, so that one number is made in
 * one way wherever it is made. No multiply and add is contracted (--fmad=false): what is
 * fused says fmaf.
 *
 *   product   steps of 16 columns, one instruction each, one after the other in a segment
 *             of 16 steps, plane after plane of the matrix; then (hi + lo) of the segment's
 *             sums, or (hi + mid) + lo; segments in order in a part; parts in order
 *             codes: of each group of columns the sums v of codes and x of ones (both by the
 *             instruction, from nothing), as above; then fmaf(scale, v, fmaf(bias, x, sum)), groups in
 *             order in a segment
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

/* The sum, in order, of what parts have at `at`. */
__device__ __forceinline__ float part_sum(const float *parts, int n_parts, size_t between, size_t at)
{
    enum { TOGETHER = 4 };
    float v[TOGETHER];
#pragma unroll
    for (int p = 0; p < TOGETHER; p++)
        v[p] = p < n_parts ? parts[p * between + at] : 0.0f;
    float t = v[0];
#pragma unroll
    for (int p = 1; p < TOGETHER; p++)
        t = p < n_parts ? t + v[p] : t;
    for (int p = TOGETHER; p < n_parts; p++)
        t += parts[p * between + at];
    return t;
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

/* Where columns k and k + 1 (k even) of row n are; each plane's are 4 words further. */
__device__ __forceinline__ uint32_t *plane_words(const planes &to, int n, int k)
{
    int by_group = to.slots == 2 ? 2 : 1, step = k / STEP, in_step = k % STEP; /* 4 rows a group, or 2 */
    size_t two = static_cast<size_t>(step / 2) * to.n_groups + (n >> by_group);
    return to.words + two * STEP_WORDS + (step % 2 * 2 + in_step / 8) * 32 +
           (n & ((1 << by_group) - 1)) * to.slots * 4 + in_step % 8 / 2;
}

__device__ __forceinline__ void store_planes(const planes &to, int n, int k, float a, float b)
{
    uint32_t *words = plane_words(to, n, k);
    for (int s = 0; s < (to.slots == 2 ? 2 : 3); s++) {
        words[4 * s] = pair_of(a, b);
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

/* ---- codes -------------------------------------------------------------- */

enum : uint32_t { ONES = 0x3f803f80u }; /* a pair of bfloat16 */

/* Pair p of a word of nibbles: 128 + code is a bfloat16 by itself. */
__device__ __forceinline__ uint32_t nibbles(uint32_t word, int p)
{
    uint32_t with_128 = (word >> 4 * p & 0x000f000fu) | 0x43004300u, all_128 = 0x43004300u;
    __nv_bfloat162 pair = __hsub2(*reinterpret_cast<__nv_bfloat162 *>(&with_128),
                                  *reinterpret_cast<__nv_bfloat162 *>(&all_128));
    return *reinterpret_cast<uint32_t *>(&pair);
}

/* Bytes i and i + 1: 2^23 + code is a float32 by itself, and a code's first 16 bits are all it has. */
__device__ __forceinline__ uint32_t bytes(uint32_t word, int i)
{
    float a = __uint_as_float(__byte_perm(word, 0x4b000000u, 0x7540 + i)) - 8388608.0f;
    float b = __uint_as_float(__byte_perm(word, 0x4b000000u, 0x7541 + i)) - 8388608.0f;
    return __byte_perm(__float_as_uint(a), __float_as_uint(b), 0x7632);
}

/* A lane's codes of four steps, from where they lie. */
template <int BITS> __device__ __forceinline__ void codes_of(const uint4 *four, int lane, uint4 (&codes)[BITS / 4])
{
#pragma unroll
    for (int i = 0; i < BITS / 4; i++)
        codes[i] = four[i * 32 + lane];
}

/* One step of them as the A operand. */
template <int BITS> __device__ __forceinline__ uint4 operand_of(const uint4 (&codes)[BITS / 4], int s)
{
    if constexpr (BITS == 4) {
        uint32_t w = s == 0 ? codes[0].x : s == 1 ? codes[0].y : s == 2 ? codes[0].z : codes[0].w;
        return make_uint4(nibbles(w, 0), nibbles(w, 1), nibbles(w, 2), nibbles(w, 3));
    } else {
        const uint4 &two = codes[s / 2];
        uint32_t v = s % 2 == 0 ? two.x : two.z, w = s % 2 == 0 ? two.y : two.w;
        return make_uint4(bytes(v, 0), bytes(v, 2), bytes(w, 0), bytes(w, 2));
    }
}

/* Scales and biases of rows lane / 4 and that + 8 in group `scale` of four steps. */
struct scale_pair {
    float2 low, high;
};

template <int BITS> __device__ __forceinline__ scale_pair scales_of(const uint4 *four, int scale, int lane)
{
    const float2 *rows = reinterpret_cast<const float2 *>(four + 8 * BITS) + scale * TILE + lane / 4;
    return {rows[0], rows[8]};
}

/* A group's sum of codes (c, of `slots` planes) and of ones to those of the segment. */
__device__ __forceinline__ void add_scaled(const scale_pair &scales, const float (&c)[4], int slots, float ones,
                                           float *low, float *high)
{
    int n;
    float v, w;
    segment_sum(c, slots, &n, &v, &w);
    *low = fmaf(scales.low.x, v, fmaf(scales.low.y, ones, *low));
    *high = fmaf(scales.high.x, w, fmaf(scales.high.y, ones, *high));
}

/* The same of what the instruction gave for ones (x). */
__device__ __forceinline__ void add_group(const scale_pair &scales, const float (&c)[4], const float (&x)[4], int slots,
                                          float *low, float *high)
{
    int n;
    float ones, again;
    segment_sum(x, slots, &n, &ones, &again);
    add_scaled(scales, c, slots, ones, low, high);
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

/* Keys and values are kept as float32 or float16, in which the largest numbers stand for all beyond them. */
template <class T> __device__ __forceinline__ T kept(float x);
template <> __device__ __forceinline__ float kept<float>(float x)
{
    return x;
}
template <> __device__ __forceinline__ __half kept<__half>(float x)
{
    return __float2half_rn(x > 65504.0f ? 65504.0f : x < -65504.0f ? -65504.0f : x);
}

__device__ __forceinline__ float number(float x)
{
    return x;
}
__device__ __forceinline__ float number(__half x)
{
    return __half2float(x);
}

/* Two beside each other. */
template <class T> struct alignas(2 * sizeof(T)) neighbours {
    T first, second;
};

template <class T> __device__ __forceinline__ float2 numbers(const neighbours<T> &x)
{
    return make_float2(number(x.first), number(x.second));
}

/* Of 16 bytes. */
template <class T> struct piece {
    static constexpr int N = 16 / static_cast<int>(sizeof(T));
};

__device__ __forceinline__ void take_piece(const float *from, float4 (&x)[1])
{
    x[0] = *reinterpret_cast<const float4 *>(from);
}
__device__ __forceinline__ void take_piece(const __half *from, float4 (&x)[2])
{
    uint4 words = *reinterpret_cast<const uint4 *>(from);
    const __half2 *pairs = reinterpret_cast<const __half2 *>(&words);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float2 a = __half22float2(pairs[2 * i]), b = __half22float2(pairs[2 * i + 1]);
        x[i] = make_float4(a.x, a.y, b.x, b.y);
    }
}

/* Where dimension i of position `slot` of a page's keys is; values follow, row by row. */
template <class T> __device__ __forceinline__ int key_at(int slot, int i)
{
    return (i / piece<T>::N * PAGE + slot) * piece<T>::N + i % piece<T>::N;
}

/* A lane a slot of one page: its score as its weight; the highest score of all that are in, and the sum of weights. */
__device__ __forceinline__ float page_weight(bool is_in, float score, float *highest, float *sum)
{
    score = is_in ? score : -INFINITY;
    *highest = fold_max(score);
    float weight = is_in ? exp2f((score - *highest) * LOG2E) : 0.0f;
    *sum = fold(weight);
    return weight;
}

/* Values of slots [from, to) by their weights: dimension dim + 32 j in out[j]. */
template <int DIMS, class T>
__device__ __forceinline__ void weigh_values(float weight, const T *values, int head_dim, int dim, int from, int to,
                                             float *out)
{
#pragma unroll
    for (int j = 0; j < DIMS; j++)
        out[j] = 0.0f;
#pragma unroll 8
    for (int p = from; p < to; p++) {
        float w = __shfl_sync(ALL, weight, p);
#pragma unroll
        for (int j = 0; j < DIMS; j++)
            if (dim + 32 * j < head_dim)
                out[j] = fmaf(w, number(values[p * head_dim + dim + 32 * j]), out[j]);
    }
}

/* What a warp finds in slots [from, to) of one page: the highest score, the sum of weights,
 * and the weighted values, dimension lane + 32 j in out[j]. query in shared memory. */
template <int DIMS, class T>
__device__ __forceinline__ void attend_page(const float *query, const T *keys, const T *values, int head_dim, int from,
                                            int to, float scale, float *highest, float *sum, float (&out)[DIMS])
{
    int lane = threadIdx.x % 32;
    float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    constexpr int N = piece<T>::N;
    const float4 *q4 = reinterpret_cast<const float4 *>(query);
    bool is_in = lane >= from && lane < to;
    if (is_in) {
#pragma unroll(32 / N)
        for (int i = 0; i < (head_dim + N - 1) / N; i++) {
            float4 k[N / 4];
            take_piece(keys + (i * PAGE + lane) * N, k);
#pragma unroll
            for (int e = 0; e < N / 4; e++) {
                float4 q = q4[i * (N / 4) + e];
                s0 = fmaf(q.x, k[e].x, s0);
                s1 = fmaf(q.y, k[e].y, s1);
                s2 = fmaf(q.z, k[e].z, s2);
                s3 = fmaf(q.w, k[e].w, s3);
            }
        }
    }
    float weight = page_weight(is_in, ((s0 + s1) + (s2 + s3)) * scale, highest, sum);
    weigh_values<DIMS>(weight, values, head_dim, lane, from, to, out);
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
