/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_one_product.cuh - a block's products, from the input's planes to words, and the residual row
 * that they are added to */
#ifndef CSM_CUDA_ONE_PRODUCT_CUH
#define CSM_CUDA_ONE_PRODUCT_CUH

#include "engine/cuda/cuda_one_ring.cuh"

namespace csm_cuda {

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

/* ---- products ----------------------------------------------------------- */

/* The input's planes: [two steps][column][t] of four words; a row has two columns. */
__device__ __forceinline__ void store_input(int n_rows, int row, int k, float x, float y)
{
    uint32_t *words = reinterpret_cast<uint32_t *>(own().input);
    int step = k / STEP, in_step = k % STEP;
    int at = ((step / 2 * 2 * n_rows + 2 * row) * 4 + in_step % 8 / 2) * 4 + step % 2 * 2 + in_step / 8;
    words[at] = pair_of(x, y);
    words[at + 16] = pair_of(x - rounded(x), y - rounded(y));
}

/* Two fours of the input: a lane's part of the B operand, zeros in place of a second that is not there. */
template <int ROWS>
__device__ __forceinline__ void load_input(const uint4 *from, bool has_second, uint4 (&x)[STEPS_PADDED])
{
    const uint4 zero = make_uint4(0, 0, 0, 0);
    bool has_column = threadIdx.x % 32 / 4 < 2 * ROWS;
#pragma unroll
    for (int i = 0; i < STEPS_PADDED; i++)
        x[i] = has_column && (i < STEPS_PADDED / 2 || has_second) ? from[i * 8 * ROWS] : zero;
}

/* What the instruction gives for them in step `step` of both. */
__device__ __forceinline__ void mma_two(float (&c)[2][4], const uint4 &a, const uint4 &b,
                                        const uint4 (&x)[STEPS_PADDED], int step)
{
    const uint4 &v = x[step / 2], &w = x[STEPS_PADDED / 2 + step / 2];
    mma(c[0], a, step % 2 == 0 ? v.x : v.z, step % 2 == 0 ? v.y : v.w);
    mma(c[1], b, step % 2 == 0 ? w.x : w.z, step % 2 == 0 ? w.y : w.w);
}

/* A segment's groups' sums of ones: of two steps each if they are halved, else of four in every second. */
template <int ROWS>
__device__ __forceinline__ void sum_ones(const uint4 *from, int steps, bool is_halved,
                                         float (&sums)[SEGMENT_STEPS / 2])
{
    const uint4 ones = make_uint4(ONES, ONES, ONES, ONES);
#pragma unroll
    for (int i = 0; i < SEGMENT_STEPS / STEPS_PADDED; i += 2, from += 16 * 2 * ROWS) {
        if (i * STEPS_PADDED >= steps)
            break;
        uint4 x[STEPS_PADDED];
        load_input<ROWS>(from, (i + 1) * STEPS_PADDED < steps, x);
        float o[2][4] = {};
#pragma unroll
        for (int step = 0; step < STEPS_PADDED; step++) {
            mma_two(o, ones, ones, x, step);
            if (step % 2 == 0)
                continue;
#pragma unroll
            for (int f = 0; f < 2; f++) {
                sums[2 * (i + f) + step / 2] = o[f][0] + o[f][1];
                if (is_halved)
                    o[f][0] = o[f][1] = o[f][2] = o[f][3] = 0.0f;
            }
        }
    }
}

/* All items of a kind: segments' sums, of ROWS rows, into `sums`. Gives the next stage. This one is of codes. A warp's
 * items are mostly of one segment, so that the sums of ones are made once. */
template <int ROWS, int BITS> __device__ __noinline__ uint32_t multiply_codes(uint32_t first_stage, int kind)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, t = lane % 4, summed = -1, steps = 0;
    const kind_work work = own().work[kind];
    bool is_halved = work.n_scales == 2;
    int in_stage_mask = (1 << work.by_stage) - 1, pieces = 8 * BITS + 8 * work.n_scales;
    const uint4 *input = reinterpret_cast<const uint4 *>(own().input) + lane;
    float ones[SEGMENT_STEPS / 2];
#pragma unroll 1
    for (int item = warp; item < work.n_items; item += WARPS) {
        int unit = item * work.by_segments >> 16, segment = item - unit * work.n_segments;
        int place = segment & in_stage_mask;
        uint32_t at = first_stage + unit * work.unit_stages + (segment >> work.by_stage);
        const uint4 *xs = input + segment * (SEGMENT_STEPS / 2 * 8 * ROWS);
        if (segment != summed) {
            summed = segment;
            steps = matrix::min_of(SEGMENT_STEPS, work.n_steps - segment * SEGMENT_STEPS);
            sum_ones<ROWS>(xs, steps, is_halved, ones);
        }
        const uint4 *four = in_stage<true, const uint4>(at) + place * work.pieces;
        float low = 0.0f, high = 0.0f;
        await_item<true>(at);
        /* Two fours at a time, so that one's instructions are between the other's. */
#pragma unroll
        for (int i = 0; i < SEGMENT_STEPS / STEPS_PADDED; i += 2, four += 2 * pieces, xs += 16 * 2 * ROWS) {
            if (i * STEPS_PADDED >= steps)
                break;
            bool has_second = (i + 1) * STEPS_PADDED < steps;
            const uint4 *second = has_second ? four + pieces : four;
            uint4 codes[2][BITS / 4], x[STEPS_PADDED];
            load_input<ROWS>(xs, has_second, x);
            codes_of<BITS>(four, lane, codes[0]);
            codes_of<BITS>(second, lane, codes[1]);
            float c[2][4] = {}, first_half[2][4] = {};
#pragma unroll
            for (int step = 0; step < STEPS_PADDED; step++) {
                mma_two(c, operand_of<BITS>(codes[0], step), operand_of<BITS>(codes[1], step), x, step);
                if (step != 1 || !is_halved)
                    continue;
#pragma unroll
                for (int f = 0; f < 2; f++)
#pragma unroll
                    for (int j = 0; j < 4; j++) {
                        first_half[f][j] = c[f][j];
                        c[f][j] = 0.0f;
                    }
            }
#pragma unroll
            for (int f = 0; f < 2; f++) {
                if (f == 1 && !has_second)
                    break;
                const uint4 *of = f == 0 ? four : second;
                if (is_halved)
                    add_scaled(scales_of<BITS>(of, 0, lane), first_half[f], 2, ones[2 * (i + f)], &low, &high);
                add_scaled(scales_of<BITS>(of, work.n_scales - 1, lane), c[f], 2, ones[2 * (i + f) + 1], &low, &high);
            }
        }
        __syncwarp();
        if (lane == 0) { /* the stage's first segment gives back what is not another's */
            int n = matrix::min_of(in_stage_mask + 1, work.n_segments - (segment - place));
            give_back<true>(at, place == 0 ? ring_shape<true>::SHARES - n + 1 : 1);
        }
        if (t < ROWS) {
            float *to = own().sums + (item * TILE + lane / 4) * ROWS + t;
            to[0] = low;
            to[8 * ROWS] = high;
        }
    }
    draw_barrier();
    return first_stage + work.n_stages;
}

/* The same of planes. */
template <int ROWS, bool CODES> __device__ __noinline__ uint32_t multiply_planes(uint32_t first_stage, int kind)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, t = lane % 4;
    bool has_column = lane / 4 < 2 * ROWS;
    const kind_work work = own().work[kind];
    const uint4 *x = reinterpret_cast<const uint4 *>(own().input) + lane, zero = make_uint4(0, 0, 0, 0);
#pragma unroll 1
    for (int item = warp; item < work.n_items; item += WARPS) {
        int segment = item - (item * work.by_segments >> 16) * work.n_segments;
        int s = segment * SEGMENT_STEPS, steps = matrix::min_of(SEGMENT_STEPS, work.n_steps - s);
        float c[4] = {};
#pragma unroll 1
        for (int plane = 0; plane < work.n_planes; plane++) {
            uint32_t at = first_stage + item * work.n_planes + plane;
            const uint4 *a = in_stage<CODES, const uint4>(at) + lane;
            const uint4 *xs = x + s / 2 * (8 * ROWS);
            uint4 v = has_column ? xs[0] : zero, w = has_column ? xs[8 * ROWS] : zero;
            await_item<CODES>(at);
            uint4 w0 = a[0], w1 = a[32], w2 = a[64], w3 = a[96];
#pragma unroll 1
            for (int i = STEPS_PADDED; i < steps; i += STEPS_PADDED) { /* the next is on its way meanwhile */
                a += STEPS_PADDED * 32;
                xs += 16 * ROWS;
                uint4 n0 = a[0], n1 = a[32], n2 = a[64], n3 = a[96];
                uint4 nv = has_column ? xs[0] : zero, nw = has_column ? xs[8 * ROWS] : zero;
                mma(c, w0, v.x, v.y);
                mma(c, w1, v.z, v.w);
                mma(c, w2, w.x, w.y);
                mma(c, w3, w.z, w.w);
                w0 = n0, w1 = n1, w2 = n2, w3 = n3, v = nv, w = nw;
            }
            __syncwarp();
            if (lane == 0) /* all of it is in registers */
                give_back<CODES>(at, ring_shape<CODES>::SHARES);
            mma(c, w0, v.x, v.y);
            mma(c, w1, v.z, v.w);
            mma(c, w2, w.x, w.y);
            mma(c, w3, w.z, w.w);
        }
        if (t < ROWS) {
            float *to = own().sums + (item * TILE + lane / 4) * ROWS + t;
            to[0] = c[0] + c[1];
            to[8 * ROWS] = c[2] + c[3];
        }
    }
    draw_barrier();
    return first_stage + work.n_stages;
}

/* CODES: some of the model's matrices are of codes. */
template <int ROWS, bool CODES> __device__ __forceinline__ uint32_t multiply(uint32_t first_stage, int kind)
{
    if (CODES && own().work[kind].bits == 4)
        return multiply_codes<ROWS, 4>(first_stage, kind);
    if (CODES && own().work[kind].bits == 8)
        return multiply_codes<ROWS, 8>(first_stage, kind);
    return multiply_planes<ROWS, CODES>(first_stage, kind);
}

/* The sum of a unit's row, whose segments begin at item `first`. */
template <int ROWS>
__device__ __forceinline__ float unit_sum(int first, int n_segments, int row, int n)
{
    const float *from = own().sums + (first * TILE + row) * ROWS + n;
    float v = from[0];
#pragma unroll 4
    for (int s = 1; s < n_segments; s++)
        v += from[s * TILE * ROWS];
    return v;
}

/* Results of a kind's units, as words: to[(part * ROWS + n) * ld + row]. */
template <int ROWS> __device__ __noinline__ void give(uint32_t epoch, int kind, uint64_t *to)
{
    const kind_work work = own().work[kind];
    const unit *units = own().units + own().first[kind];
    int n = (own().first[kind + 1] - own().first[kind]) * TILE * ROWS;
#pragma unroll 1
    for (int i = threadIdx.x; i < n; i += THREADS) {
        int u = i / (TILE * ROWS), row = i / ROWS % TILE;
        unit of = units[u];
        float v = unit_sum<ROWS>(u * work.n_segments, work.n_segments, row, i % ROWS);
        if (row < of.n_rows)
            put_word(to + (of.part * ROWS + i % ROWS) * work.ld + of.row + row, v, epoch);
    }
}

/* Units come in pairs, gate and up. */
template <int ROWS> __device__ __noinline__ void give_gated(uint32_t epoch, int kind)
{
    const kind_work work = own().work[kind];
    const unit *units = own().units + own().first[kind];
    int n_pairs = (own().first[kind + 1] - own().first[kind]) / 2;
#pragma unroll 1
    for (int i = threadIdx.x; i < n_pairs * TILE * ROWS; i += THREADS) {
        int u = i / (TILE * ROWS), row = i / ROWS % TILE, n = i % ROWS;
        unit of = units[2 * u];
        float gate = unit_sum<ROWS>(2 * u * work.n_segments, work.n_segments, row, n);
        float up = unit_sum<ROWS>((2 * u + 1) * work.n_segments, work.n_segments, row, n);
        if (row < of.n_rows)
            put_word(own().p.h + n * work.ld + of.row + row, silu(gate) * up, epoch);
    }
}

/* ---- the residual row --------------------------------------------------- */

__device__ __forceinline__ int column_of(int i)
{
    return 2 * threadIdx.x + i * 2 * THREADS;
}

/* x += the sum of N parts, of one row. */
template <int N>
__device__ __forceinline__ void add_row(const uint64_t *from, size_t between, bool has_second, uint32_t epoch,
                                        float2 *x)
{
#pragma unroll 1
    for (int second = 0; second <= has_second; second++, from += 2 * THREADS, x += THREADS) {
        float a[N], b[N];
        get_pairs<N>(from, between, epoch, a, b);
#pragma unroll
        for (int j = 1; j < N; j++) {
            a[0] += a[j];
            b[0] += b[j];
        }
        *x = make_float2(x->x + a[0], x->y + b[0]);
    }
}

/* x += the parts of a product: 1, 2, or 4. */
template <int ROWS>
__device__ __noinline__ void add_words(const uint64_t *words, int n_parts, int width, uint32_t epoch)
{
    int c = column_of(0);
    if (c >= width)
        return;
    bool has_second = column_of(1) < width;
    size_t between = static_cast<size_t>(ROWS) * width;
#pragma unroll 1
    for (int r = 0; r < ROWS; r++) {
        const uint64_t *from = words + r * width + c;
        float2 *x = reinterpret_cast<float2 *>(own().x + r * width + c);
        if (n_parts == 1)
            add_row<1>(from, between, has_second, epoch, x);
        else if (n_parts == 2)
            add_row<2>(from, between, has_second, epoch, x);
        else
            add_row<4>(from, between, has_second, epoch, x);
    }
}

/* Normed rows, from first_row on, into the input's planes, and into `kept` if that is given. */
template <int ROWS>
__device__ __noinline__ void norm_input(int width, const float *scale, float eps, int first_row, float *kept)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, n_chunks = width / 64;
#pragma unroll 1
    for (int r = first_row; r < ROWS; r++)
#pragma unroll 1
        for (int chunk = warp; chunk < n_chunks; chunk += WARPS) {
            float2 x = *reinterpret_cast<const float2 *>(own().x + r * width + 64 * chunk + 2 * lane);
            float sum = fold(fmaf(x.y, x.y, x.x * x.x));
            if (lane == 0)
                own().chunks[r][chunk] = sum;
        }
    float2 next = make_float2(0, 0); /* the first factor is on its way meanwhile */
    if (column_of(0) < width)
        next = __ldg(reinterpret_cast<const float2 *>(scale + column_of(0)));
    draw_barrier();
#pragma unroll 1
    for (int r = first_row; r < ROWS; r++) {
        float total = 0.0f;
        total += fold(lane < n_chunks ? own().chunks[r][lane] : 0.0f);
        float inverse = 1.0f / sqrtf(total / static_cast<float>(width) + eps);
#pragma unroll 1
        for (int c = column_of(0); c < width; c += 2 * THREADS) {
            float2 x = *reinterpret_cast<const float2 *>(own().x + r * width + c);
            float2 factor = c == column_of(0) ? next : __ldg(reinterpret_cast<const float2 *>(scale + c));
            float u = x.x * inverse * factor.x, v = x.y * inverse * factor.y;
            store_input(ROWS - first_row, r - first_row, c, u, v);
            if (kept != nullptr)
                *reinterpret_cast<float2 *>(kept + c) = make_float2(u, v);
        }
    }
    draw_barrier();
}

#endif

} // namespace csm_cuda
#endif
