/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_product.cu - y = W x in the order of cuda_sums.cuh, by two kernels of equal bits, and a third where there is
 * wgmma (cuda_wide.cu).
 *
 *   few   a block has one tile (a pair of gate and up) and a warp one of its segments:
 *         the matrix goes straight to registers, sums meet in shared memory
 *   many  a block has 2 or 4 tiles and 4 to 16 groups of columns, as many as still give each
 *         multiprocessor one; steps of both come through shared memory, ahead by cp.async; a
 *         warp keeps its sums in registers: codes, float32, and all where there is no wgmma */
#include "engine/cuda/cuda_product.cuh"

namespace csm_cuda {

/* ---- few rows ----------------------------------------------------------- */

/* A warp's segment of codes: sums of its rows and this thread's column. */
template <int GROUPS, int BITS>
__device__ __forceinline__ void sum_codes(const matrix &w, const uint4 *four, const uint32_t *b, size_t between,
                                          int slots, int n_steps, int n_groups, float (&low)[GROUPS],
                                          float (&high)[GROUPS])
{
    int lane = threadIdx.x % 32;
    const uint4 ones = make_uint4(ONES, ONES, ONES, ONES);
    for (int s = 0; s < n_steps; s += 4, four += w.words_of_four() / 4, b += 2 * between) {
        uint4 codes[BITS / 4], a[4];
        codes_of<BITS>(four, lane, codes);
#pragma unroll
        for (int i = 0; i < 4; i++)
            a[i] = operand_of<BITS>(codes, i);
#pragma unroll
        for (int g = 0; g < GROUPS; g++) {
            if (g >= n_groups)
                break;
            uint32_t x[8];
#pragma unroll
            for (int i = 0; i < 8; i++)
                x[i] = __ldg(b + i / 4 * between + g * STEP_WORDS + i % 4 * 32);
            float c[4] = {}, o[4] = {};
#pragma unroll
            for (int i = 0; i < 4; i++) {
                mma(c, a[i], x[2 * i], x[2 * i + 1]);
                mma(o, ones, x[2 * i], x[2 * i + 1]);
                if (i == 3 || (i == 1 && w.n_scales == 2)) {
                    add_group(scales_of<BITS>(four, i == 3 ? w.n_scales - 1 : 0, lane), c, o, slots, &low[g], &high[g]);
#pragma unroll
                    for (int j = 0; j < 4; j++)
                        c[j] = o[j] = 0.0f;
                }
            }
        }
    }
}

/* The same of a matrix of planes. */
template <int GROUPS>
__device__ __forceinline__ void sum_planes(const matrix &w, const uint4 *a, const uint32_t *b, size_t between,
                                           int n_steps, int n_groups, float (&c)[GROUPS][4])
{
    for (int p = 0; p < w.n_planes; p++)
#pragma unroll 1
        for (int s = 0; s < n_steps; s += 4) {
            uint4 wa[4];
#pragma unroll
            for (int i = 0; i < 4; i++)
                wa[i] = __ldg(a + (p * n_steps + s + i) * 32);
#pragma unroll
            for (int g = 0; g < GROUPS; g++) {
                if (g >= n_groups)
                    break;
                uint32_t x[8];
#pragma unroll
                for (int i = 0; i < 8; i++)
                    x[i] = __ldg(b + (s / 2 + i / 4) * between + g * STEP_WORDS + i % 4 * 32);
#pragma unroll
                for (int i = 0; i < 4; i++)
                    mma(c[g], wa[i], x[2 * i], x[2 * i + 1]);
            }
        }
}

/* The block's segments, in order: a thread a pair of rows, so that planes come in pairs. */
template <int GROUPS>
__device__ __forceinline__ void add_segments(const product_job &job, const float *sums, int m, int part, int tile,
                                             int first_group, int n_groups, int n_segments, int per)
{
    constexpr int ROW = 4 * GROUPS;
    for (int i = threadIdx.x; i < TILE / 2 * ROW; i += blockDim.x) {
        int column = i % ROW, row = i / ROW * 2, g = column / 4;
        if (g >= n_groups || column % 4 >= per)
            continue;
        int n = (first_group + g) * per + column % 4, stride = TILE * ROW;
        const float *from = sums + row * ROW + column;
        float v[2] = {0.0f, 0.0f}, u[2] = {0.0f, 0.0f};
        for (int s = 0; s < n_segments; s++)
            for (int e = 0; e < 2; e++) {
                int at = (job.is_gated ? 2 * s : s) * stride + e * ROW;
                v[e] = s == 0 ? from[at] : v[e] + from[at];
                if (job.is_gated)
                    u[e] = s == 0 ? from[at + stride] : u[e] + from[at + stride];
            }
        if (job.is_gated) {
            if (n < job.n)
                store_planes(job.out_planes, n, tile * TILE + row, silu(v[0]) * u[0],
                             silu(v[1]) * u[1]);
            continue;
        }
        for (int e = 0; e < 2; e++)
            store_value(job, m, part, tile * TILE + row + e, n, v[e]);
    }
}

/* CODES: some of the matrices are of codes. */
template <int GROUPS, bool CODES>
__global__ static void few_kernel(const __grid_constant__ product_job job)
{
    extern __shared__ float sums[]; /* [warp][TILE][4 * GROUPS] */
    int item = blockIdx.x, part = blockIdx.y, first_group = blockIdx.z * GROUPS;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int m = job.is_gated ? warp % 2 : matrix_of(job, item);
    const matrix &w = job.m[m];
    int tile = job.is_gated ? item : item - job.first_tile[m];
    int segment = job.is_gated ? warp / 2 : warp, per = job.x.rows_per_group();
    if (part >= w.n_parts())
        return;
    int n_segments = w.part_segments(part);
    int n_groups = matrix::min_of(GROUPS, (job.n + per - 1) / per - first_group);
    int first = part * w.part_steps + segment * SEGMENT_STEPS;
    int n_steps = matrix::min_of(SEGMENT_STEPS, w.n_steps - first);
    size_t between = static_cast<size_t>(job.x.n_groups) * STEP_WORDS; /* from two steps' columns to the next */
    const uint4 *a = w.tiles + w.words_before(tile, first) / 4;
    const uint32_t *b = job.x.words + lane + first / 2 * between + static_cast<size_t>(first_group) * STEP_WORDS;
    float *to = sums + (warp * TILE + lane / 4) * 4 * GROUPS;
    auto keep = [&](int g, int n, float low, float high) {
        to[4 * g + n] = low;
        to[4 * g + n + 8 * 4 * GROUPS] = high;
    };
    await_before();

    if (CODES && segment < n_segments && w.bits != 0) {
        float low[GROUPS] = {}, high[GROUPS] = {};
        if (w.bits == 4)
            sum_codes<GROUPS, 4>(w, a, b, between, job.x.slots, n_steps, n_groups, low, high);
        else
            sum_codes<GROUPS, 8>(w, a, b, between, job.x.slots, n_steps, n_groups, low, high);
        int n = job.x.slots == 2 ? lane % 4 : lane % 4 / 2;
#pragma unroll
        for (int g = 0; g < GROUPS; g++)
            if (g < n_groups && (job.x.slots == 2 || lane % 2 == 0))
                keep(g, n, low[g], high[g]);
    } else if (segment < n_segments) {
        float c[GROUPS][4] = {};
        sum_planes<GROUPS>(w, a + lane, b, between, n_steps, n_groups, c);
#pragma unroll
        for (int g = 0; g < GROUPS; g++) {
            int n;
            float low, high;
            if (segment_sum(c[g], job.x.slots, &n, &low, &high))
                keep(g, n, low, high);
        }
    }
    __syncthreads();
    add_segments<GROUPS>(job, sums, m, part, tile, first_group, n_groups, n_segments, per);
}

/* ---- many rows ---------------------------------------------------------- */

/* TILES x GROUPS of a block, WARP_TILES x WARP_GROUPS of each of its warps. */
template <int TILES_, int GROUPS_, int WARP_TILES_, int WARP_GROUPS_, int STAGES_, int BITS_ = 0> struct many_shape {
    static constexpr int BITS = BITS_;
    static constexpr int TILE_PIECES = BITS == 0 ? 128 : 8 * BITS + 16; /* of 16 bytes in a stage, at most */
    static constexpr int TILES = TILES_, GROUPS = GROUPS_, WARP_TILES = WARP_TILES_, WARP_GROUPS = WARP_GROUPS_;
    static constexpr int STAGES = STAGES_, WARPS_ACROSS = GROUPS / WARP_GROUPS;
    static constexpr int THREADS = TILES / WARP_TILES * WARPS_ACROSS * 32;
    static constexpr int A_WORDS = TILES * TILE_PIECES * 4, B_WORDS = GROUPS * STAGE_STEPS * STEP_WORDS / 2;
    static constexpr int A_PIECES = (A_WORDS / 4 + THREADS - 1) / THREADS, B_PIECES = B_WORDS / 4 / THREADS;
    static constexpr int STAGE_BYTES = (A_WORDS + B_WORDS) * 4;
    static_assert((BITS != 0 || A_PIECES * THREADS * 4 == A_WORDS) && B_PIECES * THREADS * 4 == B_WORDS,
                  "all of a stage is copied");
};

/* Eight rows of columns of two steps, from this thread's address. */
__device__ __forceinline__ void load_columns(uint4 &x, uint32_t from)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
                 : "r"(from)
                 : "memory");
}

/* A stage of codes, `a` of the warp's first tile, `b` this thread's address for ldmatrix. */
template <class Shape>
__device__ __forceinline__ void multiply_codes(const uint4 *a, uint32_t b, int n_scales, int slots,
                                               float (&low)[Shape::WARP_TILES][Shape::WARP_GROUPS],
                                               float (&high)[Shape::WARP_TILES][Shape::WARP_GROUPS])
{
    const uint4 ones = make_uint4(ONES, ONES, ONES, ONES);
    int lane = threadIdx.x % 32;
    uint4 wa[Shape::WARP_TILES][STAGE_STEPS];
#pragma unroll
    for (int t = 0; t < Shape::WARP_TILES; t++) {
        uint4 codes[Shape::BITS / 4];
        codes_of<Shape::BITS>(a + t * Shape::TILE_PIECES, lane, codes);
#pragma unroll
        for (int i = 0; i < STAGE_STEPS; i++)
            wa[t][i] = operand_of<Shape::BITS>(codes, i);
    }
#pragma unroll
    for (int g = 0; g < Shape::WARP_GROUPS; g++) {
        float c[Shape::WARP_TILES][4] = {}, o[4] = {};
#pragma unroll
        for (int s = 0; s < STAGE_STEPS; s += 2) {
            uint4 x;
            load_columns(x, b + g * 1024 + s / 2 * 512);
#pragma unroll
            for (int i = 0; i < 2; i++) {
                uint32_t b0 = i == 0 ? x.x : x.z, b1 = i == 0 ? x.y : x.w;
                mma(o, ones, b0, b1);
#pragma unroll
                for (int t = 0; t < Shape::WARP_TILES; t++)
                    mma(c[t], wa[t][s + i], b0, b1);
                if (s + i != 3 && (s + i != 1 || n_scales != 2))
                    continue;
#pragma unroll
                for (int t = 0; t < Shape::WARP_TILES; t++) {
                    add_group(scales_of<Shape::BITS>(a + t * Shape::TILE_PIECES, s + i == 3 ? n_scales - 1 : 0, lane),
                              c[t], o, slots, &low[t][g], &high[t][g]);
                    c[t][0] = c[t][1] = c[t][2] = c[t][3] = 0.0f;
                }
                o[0] = o[1] = o[2] = o[3] = 0.0f;
            }
        }
    }
}

/* A stage of planes, likewise. */
template <class Shape>
__device__ __forceinline__ void multiply_planes(const uint4 *a, uint32_t b,
                                                float (&c)[Shape::WARP_TILES][Shape::WARP_GROUPS][4])
{
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int s = 0; s < STAGE_STEPS; s += 2) {
        uint4 wa[Shape::WARP_TILES][2], xb[Shape::WARP_GROUPS];
#pragma unroll
        for (int t = 0; t < Shape::WARP_TILES; t++) {
            wa[t][0] = a[t * 128 + s * 32 + lane];
            wa[t][1] = a[t * 128 + s * 32 + 32 + lane];
        }
#pragma unroll
        for (int g = 0; g < Shape::WARP_GROUPS; g++)
            load_columns(xb[g], b + g * 1024 + s / 2 * 512);
#pragma unroll
        for (int t = 0; t < Shape::WARP_TILES; t++)
#pragma unroll
            for (int g = 0; g < Shape::WARP_GROUPS; g++)
                mma(c[t][g], wa[t][0], xb[g].x, xb[g].y);
#pragma unroll
        for (int t = 0; t < Shape::WARP_TILES; t++)
#pragma unroll
            for (int g = 0; g < Shape::WARP_GROUPS; g++)
                mma(c[t][g], wa[t][1], xb[g].z, xb[g].w);
    }
}

/* A warp's sums to where the job wants them; group: its first among all, of `per` rows each. */
template <class Shape>
__device__ __forceinline__ void store_sums(const product_job &job, int part, int warp_tile, int group, int per,
                                           const float (&low)[Shape::WARP_TILES][Shape::WARP_GROUPS],
                                           const float (&high)[Shape::WARP_TILES][Shape::WARP_GROUPS])
{
    int lane = threadIdx.x % 32, column = job.x.slots == 2 ? lane % 4 : lane % 4 / 2;
    bool has = job.x.slots == 2 || lane % 2 == 0;
#pragma unroll
    for (int g = 0; g < Shape::WARP_GROUPS; g++) {
        int n = (group + g) * per + column;
        if (job.is_gated) { /* the warp's tiles are gate and up by turns; rows r and r + 1 meet by a shuffle */
#pragma unroll
            for (int t = 0; t + 1 < Shape::WARP_TILES; t += 2) {
                block_tile b = tile_of<Shape::TILES>(job, warp_tile + t);
                float l = silu(low[t][g]) * low[t + 1][g], h = silu(high[t][g]) * high[t + 1][g];
                float next_l = __shfl_down_sync(ALL, l, 4), next_h = __shfl_down_sync(ALL, h, 4);
                if (b.m >= 0 && has && n < job.n && lane / 4 % 2 == 0) {
                    store_planes(job.out_planes, n, b.tile * TILE + lane / 4, l, next_l);
                    store_planes(job.out_planes, n, b.tile * TILE + lane / 4 + 8, h, next_h);
                }
            }
            continue;
        }
#pragma unroll
        for (int t = 0; t < Shape::WARP_TILES; t++) {
            block_tile b = tile_of<Shape::TILES>(job, warp_tile + t);
            if (b.m >= 0 && has) {
                store_value(job, b.m, part, b.tile * TILE + lane / 4, n, low[t][g]);
                store_value(job, b.m, part, b.tile * TILE + lane / 4 + 8, n, high[t][g]);
            }
        }
    }
}

/* A segment's sums are added to those of the segments before it; the next one begins at zero. */
template <class Shape>
__device__ __forceinline__ void end_segment(bool is_first, int slots,
                                            float (&c)[Shape::WARP_TILES][Shape::WARP_GROUPS][4],
                                            float (&segment_low)[Shape::WARP_TILES][Shape::WARP_GROUPS],
                                            float (&segment_high)[Shape::WARP_TILES][Shape::WARP_GROUPS],
                                            float (&low)[Shape::WARP_TILES][Shape::WARP_GROUPS],
                                            float (&high)[Shape::WARP_TILES][Shape::WARP_GROUPS])
{
#pragma unroll
    for (int t = 0; t < Shape::WARP_TILES; t++)
#pragma unroll
        for (int g = 0; g < Shape::WARP_GROUPS; g++) {
            int n;
            float l, h;
            if constexpr (Shape::BITS != 0) {
                l = segment_low[t][g];
                h = segment_high[t][g];
                segment_low[t][g] = segment_high[t][g] = 0.0f;
            } else {
                segment_sum(c[t][g], slots, &n, &l, &h);
            }
            low[t][g] = is_first ? l : low[t][g] + l;
            high[t][g] = is_first ? h : high[t][g] + h;
            c[t][g][0] = c[t][g][1] = c[t][g][2] = c[t][g][3] = 0.0f;
        }
}

template <class Shape>
__global__ static void __launch_bounds__(Shape::THREADS, 512 / Shape::THREADS)
    many_kernel(const __grid_constant__ product_job job)
{
    constexpr int TILES = Shape::TILES, WARP_TILES = Shape::WARP_TILES, WARP_GROUPS = Shape::WARP_GROUPS;
    constexpr int STAGES = Shape::STAGES, STAGE_BYTES = Shape::STAGE_BYTES, A_WORDS = Shape::A_WORDS;
    constexpr int A_PIECES = Shape::A_PIECES, B_PIECES = Shape::B_PIECES;
    extern __shared__ uint4 stages[];
    const matrix &w = job.m[0]; /* all have its steps and planes */
    int part = blockIdx.z, n_steps_in_part = matrix::min_of(w.part_steps, w.n_steps - part * w.part_steps);
    int per = job.x.rows_per_group(), n_groups = (job.n + per - 1) / per;
    int first_group = blockIdx.y * Shape::GROUPS, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int warp_tile = warp / Shape::WARPS_ACROSS * WARP_TILES, warp_group = warp % Shape::WARPS_ACROSS * WARP_GROUPS;

    /* What each thread copies of a stage: pieces of 16 bytes. */
    const uint4 *from_a[A_PIECES], *from_b[B_PIECES];
    unsigned has_a = 0, has_b = 0;
    uint32_t base = static_cast<uint32_t>(__cvta_generic_to_shared(stages));
#pragma unroll
    for (int i = 0; i < A_PIECES; i++) {
        int at = i * Shape::THREADS + threadIdx.x, tile = at / Shape::TILE_PIECES, piece = at % Shape::TILE_PIECES;
        bool is_there = tile < TILES && (Shape::BITS == 0 || piece < w.words_of_four() / 4);
        block_tile b = tile_of<TILES>(job, is_there ? tile : 0);
        is_there &= b.m >= 0;
        has_a |= is_there << i;
        from_a[i] = !is_there ? nullptr
                              : job.m[b.m].tiles + job.m[b.m].words_before(b.tile, part * w.part_steps) / 4 + piece;
    }
#pragma unroll
    for (int i = 0; i < B_PIECES; i++) {
        int at = i * Shape::THREADS + threadIdx.x; /* [group][two steps][lane] */
        int g = first_group + at / 64;
        has_b |= (g < n_groups) << i;
        from_b[i] = g >= n_groups ? nullptr
                                  : reinterpret_cast<const uint4 *>(job.x.words) + at % 32 +
                                        (static_cast<size_t>(part * w.part_steps / 2 + at % 64 / 32) * job.x.n_groups +
                                         g) * 32;
    }
    int n_planes = w.n_planes, n_stages = n_steps_in_part / STAGE_STEPS * n_planes;
    auto copy_matrix = [&](int place) {
        uint32_t to = base + place * STAGE_BYTES + threadIdx.x * 16;
#pragma unroll
        for (int j = 0; j < A_PIECES; j++)
            if (has_a >> j & 1) {
                copy_16(to + j * Shape::THREADS * 16, from_a[j]);
                from_a[j] += Shape::BITS == 0 ? STAGE_STEPS * 32 : w.words_of_four() / 4;
            }
    };
    /* The columns that the matrix's next stage takes: a segment's, for each of its planes. */
    int step = 0, first_step = 0, plane = 0;
    auto copy_input = [&](int place) {
        uint32_t to = base + place * STAGE_BYTES + threadIdx.x * 16 + A_WORDS * 4;
#pragma unroll
        for (int j = 0; j < B_PIECES; j++)
            if (has_b >> j & 1)
                copy_16(to + j * Shape::THREADS * 16,
                        from_b[j] + static_cast<size_t>(step / 2) * job.x.n_groups * 32);
        step += STAGE_STEPS;
        if (step == matrix::min_of(first_step + SEGMENT_STEPS, n_steps_in_part)) {
            bool is_last = ++plane == n_planes;
            plane = is_last ? 0 : plane;
            first_step = is_last ? step : first_step;
            step = first_step;
        }
    };

    float c[WARP_TILES][WARP_GROUPS][4] = {}, low[WARP_TILES][WARP_GROUPS], high[WARP_TILES][WARP_GROUPS];
    float segment_low[WARP_TILES][WARP_GROUPS] = {}, segment_high[WARP_TILES][WARP_GROUPS] = {}; /* of codes */
    for (int i = 0; i < STAGES - 1 && i < n_stages; i++)
        copy_matrix(i); /* counts as of the first group */
    await_before();
    for (int i = 0; i < STAGES - 1; i++) {
        if (i < n_stages)
            copy_input(i);
        asm volatile("cp.async.commit_group;\n");
    }
    int in_segment = 0, segment = 0, n_in = 0, place = 0, free_place = STAGES - 1;
#pragma unroll 1
    for (int i = 0; i < n_stages; i++) {
        asm volatile("cp.async.wait_group %0;\n" ::"n"(STAGES - 2));
        __syncthreads();
        if (i + STAGES - 1 < n_stages) {
            copy_matrix(free_place);
            copy_input(free_place);
        }
        asm volatile("cp.async.commit_group;\n");
        const uint4 *a = stages + place * (STAGE_BYTES / 16) + warp_tile * Shape::TILE_PIECES;
        uint32_t b = base + place * STAGE_BYTES + A_WORDS * 4 + warp_group * 1024 + lane * 16;
        if constexpr (Shape::BITS != 0)
            multiply_codes<Shape>(a, b, w.n_scales, job.x.slots, segment_low, segment_high);
        else
            multiply_planes<Shape>(a, b, c);
        free_place = place;
        place = place + 1 == STAGES ? 0 : place + 1;
        if (in_segment == 0)
            n_in = matrix::min_of(SEGMENT_STEPS, n_steps_in_part - segment * SEGMENT_STEPS) /
                   STAGE_STEPS * n_planes;
        if (++in_segment == n_in) {
            end_segment<Shape>(segment == 0, job.x.slots, c, segment_low, segment_high, low, high);
            in_segment = 0;
            segment++;
        }
    }
    store_sums<Shape>(job, part, warp_tile, first_group + warp_group, per, low, high);
}

/* ---- which -------------------------------------------------------------- */

enum { FEW_GROUPS = 4 };

template <int GROUPS>
static void launch_few(context &ctx, const product_job &job, int n_items, int n_parts, int n_groups)
{
    int n_segments = 0;
    for (int m = 0; m < job.n_matrices; m++)
        n_segments = n_segments > job.m[m].part_segments(0) ? n_segments : job.m[m].part_segments(0);
    int warps = n_segments * (job.is_gated ? 2 : 1);
    size_t shared = static_cast<size_t>(warps) * TILE * 4 * GROUPS * sizeof(float);
    dim3 grid(n_items, n_parts, (n_groups + GROUPS - 1) / GROUPS);
    bool has_codes = false;
    for (int m = 0; m < job.n_matrices; m++)
        has_codes |= job.m[m].bits != 0;
    launch(ctx, "a product", has_codes ? few_kernel<GROUPS, true> : few_kernel<GROUPS, false>, grid, 32 * warps, shared,
           job);
}

template <class Shape>
static void launch_many_of(context &ctx, const product_job &job, int n_tiles, int n_parts, int n_groups)
{
    int shared = Shape::STAGES * Shape::STAGE_BYTES;
    check(cudaFuncSetAttribute(many_kernel<Shape>, cudaFuncAttributeMaxDynamicSharedMemorySize, shared),
          "shared memory of a product");
    dim3 grid((n_tiles + Shape::TILES - 1) / Shape::TILES, (n_groups + Shape::GROUPS - 1) / Shape::GROUPS, n_parts);
    launch(ctx, "a product", many_kernel<Shape>, grid, Shape::THREADS, shared, job);
}

/* Larger shapes read less, smaller ones leave no multiprocessor without work. */
template <int BITS>
static void launch_many(context &ctx, const product_job &job, int n_tiles, int n_parts, int n_groups)
{
    int n_blocks = ctx.properties.multiProcessorCount * 3 / 4;
    auto is_enough = [&](int tiles, int groups) {
        return (n_tiles + tiles - 1) / tiles * ((n_groups + groups - 1) / groups) * n_parts >= n_blocks;
    };
    if (is_enough(4, 16))
        launch_many_of<many_shape<4, 16, 2, 4, 4, BITS>>(ctx, job, n_tiles, n_parts, n_groups);
    else if (is_enough(4, 8))
        launch_many_of<many_shape<4, 8, 2, 2, 8, BITS>>(ctx, job, n_tiles, n_parts, n_groups);
    else
        launch_many_of<many_shape<2, 4, 2, 1, 8, BITS>>(ctx, job, n_tiles, n_parts, n_groups);
}

void launch_product(context &ctx, const product_job &job)
{
    int n_groups = (job.n + job.x.rows_per_group() - 1) / job.x.rows_per_group();
    int n_tiles = 0, n_parts = 0;
    bool is_alike = true;
    for (int m = 0; m < job.n_matrices; m++) {
        n_tiles += job.m[m].n_tiles;
        n_parts = n_parts > job.m[m].n_parts() ? n_parts : job.m[m].n_parts();
        is_alike &= job.m[m].is_alike(job.m[0]);
    }
    int n_items = job.is_gated ? job.m[0].n_tiles : n_tiles;
    if (job.n == 0)
        return;
    /* A block for each tile fills the card sooner than one for four. */
    bool is_small = n_groups <= FEW_GROUPS && n_tiles * n_parts < ctx.properties.multiProcessorCount * 2 / 3;
    if (is_alike && !is_small && job.m[0].bits == 0 && launch_wide(ctx, job, n_tiles, n_parts))
        return;
    if (n_groups <= 1)
        launch_few<1>(ctx, job, n_items, n_parts, n_groups);
    else if (n_groups <= FEW_GROUPS || !is_alike)
        launch_few<FEW_GROUPS>(ctx, job, n_items, n_parts, n_groups);
    else if (job.m[0].bits == 4)
        launch_many<4>(ctx, job, n_tiles, n_parts, n_groups);
    else if (job.m[0].bits == 8)
        launch_many<8>(ctx, job, n_tiles, n_parts, n_groups);
    else
        launch_many<0>(ctx, job, n_tiles, n_parts, n_groups);
}

} // namespace csm_cuda
