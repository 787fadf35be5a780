/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_product.cu - y = W x in the order of cuda_sums.cuh, by two kernels of equal bits.
 *
 *   few   a block has one tile (a pair of gate and up) and a warp one of its segments:
 *         the matrix goes straight to registers, sums meet in shared memory
 *   many  a block has 4 tiles and 16 groups of columns; steps of both come through
 *         shared memory, ahead by cp.async; a warp keeps its sums in registers */
#include "engine/cuda/cuda_sums.cuh"

namespace csm_cuda {

/* The matrix of an item's tile, and the tile in it. */
__device__ __forceinline__ int matrix_of(const product_job &job, int item)
{
    int m = 0;
    while (m + 1 < job.n_matrices && item >= job.first_tile[m + 1])
        m++;
    return m;
}

__device__ __forceinline__ void store_value(const product_job &job, int m, int part, int row, int n,
                                            float v)
{
    if (row >= job.m[m].rows || n >= job.n)
        return;
    if (job.bias != nullptr)
        v += job.bias[row];
    job.out[(static_cast<size_t>(part) * job.n + n) * job.ld + job.first_row[m] + row] = v;
}

/* ---- few rows ----------------------------------------------------------- */

template <int GROUPS>
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
    constexpr int ROW = 4 * GROUPS;

    if (segment < n_segments) {
        float c[GROUPS][4] = {};
        int first = part * w.part_steps + segment * SEGMENT_STEPS;
        int n_steps = matrix::min_of(SEGMENT_STEPS, w.n_steps - first);
        const uint4 *a = w.tiles +
                         (static_cast<size_t>(tile) * w.n_steps + first) * w.n_planes * 32 + lane;
        const uint4 *b = reinterpret_cast<const uint4 *>(job.x.words) + lane +
                         (static_cast<size_t>(first_group) * w.n_steps + first) / 2 * 32;
        for (int p = 0; p < w.n_planes; p++)
            for (int s = 0; s < n_steps; s += 4) {
                uint4 wa[4];
#pragma unroll
                for (int i = 0; i < 4; i++)
                    wa[i] = __ldg(a + (p * n_steps + s + i) * 32);
#pragma unroll
                for (int g = 0; g < GROUPS; g++) {
                    if (g >= n_groups)
                        break;
                    const uint4 *bg = b + static_cast<size_t>(g) * (w.n_steps / 2) * 32;
                    uint4 b0 = __ldg(bg + s / 2 * 32), b1 = __ldg(bg + (s / 2 + 1) * 32);
                    mma(c[g], wa[0], b0.x, b0.y);
                    mma(c[g], wa[1], b0.z, b0.w);
                    mma(c[g], wa[2], b1.x, b1.y);
                    mma(c[g], wa[3], b1.z, b1.w);
                }
            }
#pragma unroll
        for (int g = 0; g < GROUPS; g++) {
            int n;
            float low, high;
            if (segment_sum(c[g], job.x.slots, &n, &low, &high)) {
                float *to = sums + (warp * TILE + lane / 4) * ROW + 4 * g + n;
                to[0] = low;
                to[8 * ROW] = high;
            }
        }
    }
    __syncthreads();
    /* A thread a pair of rows, so that planes come in pairs. */
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

/* ---- many rows ---------------------------------------------------------- */

enum {
    MANY_WARPS = 8,
    MANY_TILES = 4,    /* of a block */
    MANY_GROUPS = 16,  /* of a block */
    WARP_TILES = 2,
    WARP_GROUPS = 4,
    STAGES = 4,
    STAGE_STEPS = 4,
    A_WORDS = MANY_TILES * STAGE_STEPS * STEP_WORDS,
    B_WORDS = MANY_GROUPS * STAGE_STEPS * STEP_WORDS / 2,
    STAGE_BYTES = (A_WORDS + B_WORDS) * 4
};

__device__ __forceinline__ void copy_16(uint32_t to, const void *from)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\n" ::"r"(to), "l"(from));
}

/* Tile `t` of a block: of the job's matrices one after the other, or gate and up by turns. */
struct block_tile {
    int m, tile;
};

__device__ __forceinline__ block_tile tile_of(const product_job &job, int t)
{
    block_tile b;
    int i = blockIdx.x * MANY_TILES + t;
    if (job.is_gated) {
        b.m = t % 2;
        b.tile = i / 2;
        if (b.tile >= job.m[0].n_tiles)
            b.m = -1;
        return b;
    }
    b.m = matrix_of(job, i);
    b.tile = i - job.first_tile[b.m];
    if (b.tile >= job.m[b.m].n_tiles)
        b.m = -1;
    return b;
}

__global__ static void __launch_bounds__(MANY_WARPS * 32, 2)
    many_kernel(const __grid_constant__ product_job job)
{
    extern __shared__ uint4 stages[];
    const matrix &w = job.m[0]; /* all have its steps and planes */
    int part = blockIdx.z, n_steps_in_part = matrix::min_of(w.part_steps, w.n_steps - part * w.part_steps);
    int per = job.x.rows_per_group(), n_groups = (job.n + per - 1) / per;
    int first_group = blockIdx.y * MANY_GROUPS, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int warp_tile = warp / 4 * WARP_TILES, warp_group = warp % 4 * WARP_GROUPS;

    /* What each thread copies of a stage: 2 and 4 pieces of 16 bytes. */
    const uint4 *from_a[2], *from_b[4];
    uint32_t base = static_cast<uint32_t>(__cvta_generic_to_shared(stages));
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int at = i * 256 + threadIdx.x; /* [tile][step][lane] */
        block_tile b = tile_of(job, at / 128);
        from_a[i] = b.m < 0 ? nullptr
                            : job.m[b.m].tiles + (static_cast<size_t>(b.tile) * w.n_steps +
                                                  part * w.part_steps) * w.n_planes * 32 + at % 128;
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int at = i * 256 + threadIdx.x; /* [group][two steps][lane] */
        int g = first_group + at / 64;
        from_b[i] = g >= n_groups ? nullptr
                                  : reinterpret_cast<const uint4 *>(job.x.words) +
                                        (static_cast<size_t>(g) * w.n_steps + part * w.part_steps) /
                                            2 * 32 + at % 64;
    }
    int n_planes = w.n_planes, n_stages = n_steps_in_part / STAGE_STEPS * n_planes;
    /* Stage i in the matrix's order is columns from this step of the part on. */
    auto column_step = [&](int i) {
        int whole = SEGMENT_STEPS / STAGE_STEPS * n_planes, segment = i / whole;
        int left = n_steps_in_part - segment * SEGMENT_STEPS;
        int stages_of = matrix::min_of(SEGMENT_STEPS, left) / STAGE_STEPS;
        return segment * SEGMENT_STEPS + i % whole % stages_of * STAGE_STEPS;
    };
    auto copy_stage = [&](int i) {
        uint32_t to = base + i % STAGES * STAGE_BYTES + threadIdx.x * 16;
#pragma unroll
        for (int j = 0; j < 2; j++)
            if (from_a[j] != nullptr)
                copy_16(to + j * 4096, from_a[j] + static_cast<size_t>(i) * STAGE_STEPS * 32);
        int step = column_step(i);
#pragma unroll
        for (int j = 0; j < 4; j++)
            if (from_b[j] != nullptr)
                copy_16(to + A_WORDS * 4 + j * 4096, from_b[j] + step / 2 * 32);
    };

    float c[WARP_TILES][WARP_GROUPS][4] = {}, low[WARP_TILES][WARP_GROUPS], high[WARP_TILES][WARP_GROUPS];
    for (int i = 0; i < STAGES - 1; i++) {
        if (i < n_stages)
            copy_stage(i);
        asm volatile("cp.async.commit_group;\n");
    }
    int in_segment = 0, segment = 0, n_in = 0;
    for (int i = 0; i < n_stages; i++) {
        asm volatile("cp.async.wait_group %0;\n" ::"n"(STAGES - 2));
        __syncthreads();
        if (i + STAGES - 1 < n_stages)
            copy_stage(i + STAGES - 1);
        asm volatile("cp.async.commit_group;\n");
        const uint4 *a = stages + i % STAGES * (STAGE_BYTES / 16) + warp_tile * 128 + lane;
        const uint4 *b = stages + i % STAGES * (STAGE_BYTES / 16) + A_WORDS / 4 + warp_group * 64 + lane;
#pragma unroll
        for (int s = 0; s < STAGE_STEPS; s += 2) {
            uint4 wa[WARP_TILES][2], xb[WARP_GROUPS];
#pragma unroll
            for (int t = 0; t < WARP_TILES; t++) {
                wa[t][0] = a[t * 128 + s * 32];
                wa[t][1] = a[t * 128 + s * 32 + 32];
            }
#pragma unroll
            for (int g = 0; g < WARP_GROUPS; g++)
                xb[g] = b[g * 64 + s / 2 * 32];
#pragma unroll
            for (int t = 0; t < WARP_TILES; t++)
#pragma unroll
                for (int g = 0; g < WARP_GROUPS; g++)
                    mma(c[t][g], wa[t][0], xb[g].x, xb[g].y);
#pragma unroll
            for (int t = 0; t < WARP_TILES; t++)
#pragma unroll
                for (int g = 0; g < WARP_GROUPS; g++)
                    mma(c[t][g], wa[t][1], xb[g].z, xb[g].w);
        }
        if (in_segment == 0)
            n_in = matrix::min_of(SEGMENT_STEPS, n_steps_in_part - segment * SEGMENT_STEPS) /
                   STAGE_STEPS * n_planes;
        if (++in_segment == n_in) {
#pragma unroll
            for (int t = 0; t < WARP_TILES; t++)
#pragma unroll
                for (int g = 0; g < WARP_GROUPS; g++) {
                    int n;
                    float l, h;
                    segment_sum(c[t][g], job.x.slots, &n, &l, &h);
                    low[t][g] = segment == 0 ? l : low[t][g] + l;
                    high[t][g] = segment == 0 ? h : high[t][g] + h;
                    c[t][g][0] = c[t][g][1] = c[t][g][2] = c[t][g][3] = 0.0f;
                }
            in_segment = 0;
            segment++;
        }
    }
    int column = job.x.slots == 2 ? lane % 4 : lane % 4 / 2;
    bool has = job.x.slots == 2 || lane % 2 == 0;
#pragma unroll
    for (int g = 0; g < WARP_GROUPS; g++) {
        int n = (first_group + warp_group + g) * per + column;
        if (job.is_gated) { /* the warp's two tiles are gate and up; rows r and r + 1 meet by a shuffle */
            block_tile b = tile_of(job, warp_tile);
            float l = silu(low[0][g]) * low[1][g], h = silu(high[0][g]) * high[1][g];
            float next_l = __shfl_down_sync(ALL, l, 4), next_h = __shfl_down_sync(ALL, h, 4);
            if (b.m >= 0 && has && n < job.n && lane / 4 % 2 == 0) {
                store_planes(job.out_planes, n, b.tile * TILE + lane / 4, l, next_l);
                store_planes(job.out_planes, n, b.tile * TILE + lane / 4 + 8, h, next_h);
            }
            continue;
        }
#pragma unroll
        for (int t = 0; t < WARP_TILES; t++) {
            block_tile b = tile_of(job, warp_tile + t);
            if (b.m >= 0 && has) {
                store_value(job, b.m, part, b.tile * TILE + lane / 4, n, low[t][g]);
                store_value(job, b.m, part, b.tile * TILE + lane / 4 + 8, n, high[t][g]);
            }
        }
    }
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
    few_kernel<GROUPS><<<grid, 32 * warps, shared, ctx.stream>>>(job);
}

void launch_product(context &ctx, const product_job &job)
{
    int n_groups = (job.n + job.x.rows_per_group() - 1) / job.x.rows_per_group();
    int n_tiles = 0, n_parts = 0;
    bool is_alike = true;
    for (int m = 0; m < job.n_matrices; m++) {
        n_tiles += job.m[m].n_tiles;
        n_parts = n_parts > job.m[m].n_parts() ? n_parts : job.m[m].n_parts();
        is_alike &= job.m[m].n_planes == job.m[0].n_planes && job.m[m].part_steps == job.m[0].part_steps;
    }
    int n_items = job.is_gated ? job.m[0].n_tiles : n_tiles;
    if (job.n == 0)
        return;
    if (n_groups <= 1)
        launch_few<1>(ctx, job, n_items, n_parts, n_groups);
    else if (n_groups <= FEW_GROUPS || !is_alike)
        launch_few<FEW_GROUPS>(ctx, job, n_items, n_parts, n_groups);
    else {
        int shared = STAGES * STAGE_BYTES;
        check(cudaFuncSetAttribute(many_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared),
              "shared memory of a product");
        dim3 grid((n_tiles + MANY_TILES - 1) / MANY_TILES, (n_groups + MANY_GROUPS - 1) / MANY_GROUPS,
                  n_parts);
        many_kernel<<<grid, MANY_WARPS * 32, shared, ctx.stream>>>(job);
    }
    check(cudaGetLastError(), "a product");
}

} // namespace csm_cuda
