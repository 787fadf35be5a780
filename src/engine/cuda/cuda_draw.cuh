/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_draw.cuh - a draw by one block of DRAW_THREADS threads: the index of the largest
 * p / q among the top k, as PyTorch's samplers race, with its noise of CUDA made here.
 *
 * In float32 e^(s - m) stands for p: what the sum divides all by decides nothing but ties
 * within some 2^-23, and the caller repeats every draw with the sampler itself. In 16 bits
 * rounding decides often, so there every step is rounded as the sampler rounds it.
 *
 * Of the top k nothing is sorted: the winner of all is it if fewer than k scores are above
 * its own; else whatever is not above it is out, and the rest races again. */
#ifndef CSM_CUDA_DRAW_CUH
#define CSM_CUDA_DRAW_CUH

#include "engine/cuda/cuda_frame.h"
#include "engine/cuda/cuda_sums.cuh"

namespace csm_cuda {

enum { DRAW_THREADS = 512, DRAW_WARPS = DRAW_THREADS / 32, MOST_EACH = MOST_VOCAB / DRAW_THREADS };

/* One row's draw. */
struct draw_how {
    float temperature;  /* 0: the largest logit */
    int top_k;          /* 0: all */
    csm_dtype dtype;    /* F32: transformers; else every step is rounded to it */
    csm_dtype logits_dtype; /* before all steps */
    bool by_reciprocal; /* temperature as PyTorch on CUDA divides by it */
    const float *noise; /* [vocab]; or NULL: */
    uint32_t key[2];
    uint64_t offset;    /* of the generator, before this draw */
};

struct draw_room {
    uint32_t best[2][DRAW_WARPS], index[2][DRAW_WARPS];
    uint32_t counts[2][DRAW_WARPS];
    float sums[2][DRAW_WARPS];
};

/* Of the block's first DRAW_THREADS threads alone: others may do other things. */
__device__ __forceinline__ void draw_barrier()
{
    asm volatile("bar.sync 1, %0;\n" ::"n"(static_cast<int>(DRAW_THREADS)) : "memory");
}

/* The first word of a thread's block. */
__device__ __forceinline__ uint32_t philox(const uint32_t key[2], uint64_t block, uint32_t thread)
{
    uint32_t c0 = static_cast<uint32_t>(block), c1 = static_cast<uint32_t>(block >> 32);
    uint32_t c2 = thread, c3 = 0;
    uint32_t k0 = key[0], k1 = key[1];
#pragma unroll
    for (int round = 0; round < 10; round++) {
        uint32_t a_high = __umulhi(0xd2511f53u, c0), a_low = 0xd2511f53u * c0;
        uint32_t b_high = __umulhi(0xcd9e8d57u, c2), b_low = 0xcd9e8d57u * c2;
        c0 = b_high ^ c1 ^ k0;
        c1 = b_low;
        c2 = a_high ^ c3 ^ k1;
        c3 = a_low;
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    return c0;
}

__device__ __forceinline__ float noise_value(const draw_how &how, int i)
{
    if (how.noise != nullptr)
        return how.noise[i];
    float u = fmaf(static_cast<float>(philox(how.key, how.offset / 4, i)), 0x1p-32f, 0x1p-33f);
    return u >= 1.0f - 0x1p-24f ? 0x1p-24f : -__logf(u);
}

__device__ __forceinline__ float round_to(csm_dtype dtype, float x)
{
    if (dtype == CSM_DTYPE_BF16)
        return rounded(x);
    return dtype == CSM_DTYPE_F16 ? __half2float(__float2half_rn(x)) : x;
}

/* Larger floats have larger numbers; NaN of either sign apart. */
__device__ __forceinline__ uint32_t ordered(float x)
{
    uint32_t b = __float_as_uint(x);
    return b & 0x80000000u ? ~b : b | 0x80000000u;
}

/* The largest of the block's values and the lowest index that has it; to all threads. */
__device__ __forceinline__ void block_best(draw_room &room, int turn, uint32_t value, uint32_t index,
                                           uint32_t *best, uint32_t *at)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    uint32_t m = __reduce_max_sync(ALL, value);
    uint32_t i = __reduce_min_sync(ALL, value == m ? index : 0xffffffffu);
    if (lane == 0) {
        room.best[turn][warp] = m;
        room.index[turn][warp] = i;
    }
    draw_barrier();
    value = lane < DRAW_WARPS ? room.best[turn][lane] : 0;
    index = lane < DRAW_WARPS ? room.index[turn][lane] : 0xffffffffu;
    *best = __reduce_max_sync(ALL, value);
    *at = __reduce_min_sync(ALL, value == *best ? index : 0xffffffffu);
}

__device__ __forceinline__ uint32_t block_count(draw_room &room, int turn, uint32_t n)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    n = __reduce_add_sync(ALL, n);
    if (lane == 0)
        room.counts[turn][warp] = n;
    draw_barrier();
    return __reduce_add_sync(ALL, lane < DRAW_WARPS ? room.counts[turn][lane] : 0);
}

__device__ __forceinline__ float block_sum(draw_room &room, int turn, float v)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    v = fold(v);
    if (lane == 0)
        room.sums[turn][warp] = v;
    draw_barrier();
    return fold(lane < DRAW_WARPS ? room.sums[turn][lane] : 0.0f);
}

/* A row at work, in shared memory: a thread has every DRAW_THREADS-th number, and those of a
 * race in registers. The loop that makes noise is not unrolled: its code would push that of the
 * steps around the draw out of the cache of instructions. */
struct draw_rows {
    float x[MOST_VOCAB]; /* logits over temperature */
    float q[MOST_VOCAB]; /* noise */
};

/* The score that is k-th from above: bit by bit. */
__device__ __forceinline__ uint32_t kth_score(draw_room &room, const draw_rows &rows, int vocab, int k)
{
    uint32_t found = 0;
#pragma unroll 1
    for (int bit = 31; bit >= 0; bit--) {
        uint32_t wanted = found | 1u << bit, n = 0;
#pragma unroll 1
        for (int i = threadIdx.x; i < vocab; i += DRAW_THREADS)
            n += ordered(rows.x[i]) >= wanted;
        if (block_count(room, bit % 2, n) >= static_cast<uint32_t>(k))
            found = wanted;
    }
    return found;
}

/* 16 bits: sample_topk's steps, each rounded. */
static __device__ __noinline__ int draw_rounded(draw_room &room, draw_rows &rows, csm_dtype dtype, int top_k,
                                                int vocab, float highest)
{
    uint32_t lowest = top_k > 0 ? kth_score(room, rows, vocab, top_k) : 0, best, at;
    float sum = 0.0f, total = 0.0f;
    draw_barrier();
    for (int i = threadIdx.x; i < vocab; i += DRAW_THREADS)
        sum += ordered(rows.x[i]) >= lowest ? expf(rows.x[i] - highest) : 0.0f;
    float log_sum = logf(block_sum(room, 0, sum)), most = round_to(dtype, -log_sum);
    for (int i = threadIdx.x; i < vocab; i += DRAW_THREADS)
        total += ordered(rows.x[i]) >= lowest ? expf(round_to(dtype, (rows.x[i] - highest) - log_sum) - most) : 0.0f;
    total = block_sum(room, 1, total);
    uint32_t value = 0, index = 0xffffffffu;
    for (int i = threadIdx.x; i < vocab; i += DRAW_THREADS) {
        if (ordered(rows.x[i]) < lowest)
            continue;
        float y = round_to(dtype, (rows.x[i] - highest) - log_sum);
        float p = round_to(dtype, expf(y - most) / total);
        uint32_t r = __float_as_uint(round_to(dtype, p / rows.q[i])) + 1;
        if (r > value) {
            value = r;
            index = i;
        }
    }
    block_best(room, 1, value, index, &best, &at);
    return static_cast<int>(at);
}

/* Before draw_code: the row's noise, which does not depend on its logits. */
__device__ __forceinline__ void make_noise(draw_rows &rows, int vocab, const draw_how &how)
{
    if (how.temperature > 0.0f)
#pragma unroll 1
        for (int i = threadIdx.x; i < vocab; i += DRAW_THREADS)
            rows.q[i] = noise_value(how, i);
}

/* The race of float32, scores[j] the ordered bits of this thread's x. code: what it is where no
 * number is among the logits. */
static __device__ __noinline__ int draw_race(draw_room &room, const draw_rows &rows, int top_k, int vocab,
                                             float highest, int code)
{
    uint32_t scores[MOST_EACH], race[MOST_EACH]; /* the bits of p / q, plus 1; 0: out */
#pragma unroll
    for (int j = 0; j < MOST_EACH; j++) {
        int i = threadIdx.x + j * DRAW_THREADS;
        bool is_in = i < vocab;
        scores[j] = is_in ? ordered(rows.x[i]) : 0;
        race[j] = is_in ? __float_as_uint(expf(rows.x[i] - highest) / rows.q[i]) + 1 : 0;
    }
#pragma unroll 1
    for (int turn = 0;; turn ^= 1) {
        uint32_t best, at, value = 0, index = 0xffffffffu;
#pragma unroll
        for (int j = 0; j < MOST_EACH; j++)
            if (race[j] > value) {
                value = race[j];
                index = threadIdx.x + j * DRAW_THREADS;
            }
        block_best(room, turn ^ 1, value, index, &best, &at);
        if (best == 0)
            return code; /* the caller says so */
        code = static_cast<int>(at);
        if (top_k <= 0)
            return code;
        uint32_t winner = ordered(rows.x[code]), above = 0;
#pragma unroll
        for (int j = 0; j < MOST_EACH; j++) {
            bool is_above = scores[j] > winner;
            above += is_above;
            race[j] = is_above ? race[j] : 0;
        }
        if (block_count(room, turn, above) < static_cast<uint32_t>(top_k))
            return code;
    }
}

/* logits(j, i): number i, the j-th of this thread; called once for each. */
template <class Logits>
__device__ __forceinline__ int draw_code(draw_room &room, draw_rows &rows, const Logits &logits, int vocab,
                                         const draw_how &how)
{
    bool is_greedy = !(how.temperature > 0.0f);
    float factor = 1.0f / how.temperature;
    uint32_t best, at, mine = 0, index = 0xffffffffu;
#pragma unroll
    for (int j = 0; j < MOST_EACH; j++) {
        int i = threadIdx.x + j * DRAW_THREADS;
        if (i >= vocab)
            continue;
        float x = logits(j, i);
        if (!is_greedy) {
            x = round_to(how.logits_dtype, x);
            x = round_to(how.dtype, how.by_reciprocal ? x * factor : x / how.temperature);
        }
        rows.x[i] = x;
        if (ordered(x) > mine) {
            mine = ordered(x);
            index = i;
        }
    }
    block_best(room, 0, mine, index, &best, &at);
    float highest = __uint_as_float(best & 0x80000000u ? best & 0x7fffffffu : ~best);
    int code = at < static_cast<uint32_t>(vocab) ? static_cast<int>(at) : 0;
    if (!is_greedy && how.dtype != CSM_DTYPE_F32) {
        code = draw_rounded(room, rows, how.dtype, how.top_k, vocab, highest);
        code = code < vocab && code >= 0 ? code : 0;
    } else if (!is_greedy) {
        code = draw_race(room, rows, how.top_k, vocab, highest, code);
    }
    draw_barrier();
    return code;
}

/* The draw of codebook k of a lane's frame. */
__device__ __forceinline__ draw_how how_of(const lane_frame &lane, int k, int vocab)
{
    draw_how how;
    how.temperature = lane.temperature[k > 0];
    how.top_k = lane.top_k[k > 0];
    how.dtype = lane.dtype;
    how.logits_dtype = lane.logits_dtype;
    how.by_reciprocal = lane.by_reciprocal != 0;
    how.noise = lane.noise == nullptr ? nullptr : lane.noise + static_cast<size_t>(k) * vocab;
    how.key[0] = lane.key[0];
    how.key[1] = lane.key[1];
    int before = k == 0 ? 0 : k - 1 + (lane.temperature[0] > 0.0f ? 1 : 0);
    how.offset = lane.offset + before * NOISE_ADVANCE;
    return how;
}

} // namespace csm_cuda
#endif
