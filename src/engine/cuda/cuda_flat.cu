/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_flat.cu - a block makes ROWS x OUTS values, a thread EACH_ROWS x EACH_OUTS of them.
 * Rows and weights come to shared memory DEPTH columns at a time, some stages ahead. Shapes
 * differ in what they are good for, not in what they give. */
#include "engine/cuda/cuda_flat.h"
#include "engine/cuda/cuda_view.cuh"

namespace csm_cuda {

enum { DEPTH = 32, ROW_FLOATS = DEPTH + 4 /* so that rows meet in no bank */ };

template <int ROWS_, int OUTS_, int EACH_ROWS_, int EACH_OUTS_, int STAGES_, int BLOCKS_>
struct flat_shape {
    static constexpr int ROWS = ROWS_, OUTS = OUTS_, EACH_ROWS = EACH_ROWS_, EACH_OUTS = EACH_OUTS_, STAGES = STAGES_;
    static constexpr int BLOCKS = BLOCKS_; /* that share a multiprocessor */
    static constexpr int ACROSS = OUTS / EACH_OUTS, DOWN = ROWS / EACH_ROWS, THREADS = ACROSS * DOWN;
    static constexpr int X_PIECES = ROWS * DEPTH / 4, W_PIECES = DEPTH * OUTS / 4; /* of 16 bytes */
    static constexpr int X_EACH = (X_PIECES + THREADS - 1) / THREADS, W_EACH = (W_PIECES + THREADS - 1) / THREADS;
    static constexpr int X_FLOATS = ROWS * ROW_FLOATS, STAGE_FLOATS = X_FLOATS + DEPTH * OUTS;
    static_assert(EACH_OUTS % 4 == 0 && THREADS % 32 == 0, "fours of outputs, whole warps");
};

/* n bytes of `size`; the rest are zeros. */
template <int SIZE> __device__ __forceinline__ void copy_some(uint32_t to, const float *from, int n)
{
    if (SIZE == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from), "r"(n) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(to), "l"(from), "r"(n) : "memory");
}

/* IN_FOURS: rows begin at, and have, whole fours of floats. */
template <class S, bool IN_FOURS>
__global__ static void __launch_bounds__(S::THREADS, S::BLOCKS) flat_kernel(const __grid_constant__ flat_job job)
{
    extern __shared__ float4 stages[];
    float *const room = reinterpret_cast<float *>(stages);
    const uint32_t base = static_cast<uint32_t>(__cvta_generic_to_shared(stages));
    const int first_row = blockIdx.x * S::ROWS, first_out = blockIdx.y * S::OUTS, stride = flat_stride(job.outs);
    const int across = threadIdx.x % S::ACROSS, down = threadIdx.x / S::ACROSS;
    const int n_stages = (job.depth + DEPTH - 1) / DEPTH;

    int x[S::X_EACH]; /* where the thread's pieces begin; -1: there is none */
#pragma unroll
    for (int i = 0; i < S::X_EACH; i++) {
        int piece = i * S::THREADS + threadIdx.x, row = first_row + piece / (DEPTH / 4);
        bool has = piece < S::X_PIECES && row < job.rows;
        x[i] = !has ? -1
                    : row / job.each * static_cast<int>(job.between) + row % job.each * job.hop +
                          piece % (DEPTH / 4) * 4;
    }
    await_before();
    auto fetch = [&](int stage) {
        uint32_t to = base + stage % S::STAGES * S::STAGE_FLOATS * 4;
#pragma unroll
        for (int i = 0; i < S::X_EACH; i++) {
            int piece = i * S::THREADS + threadIdx.x, k = stage * DEPTH + piece % (DEPTH / 4) * 4;
            uint32_t at = to + (piece / (DEPTH / 4) * ROW_FLOATS + piece % (DEPTH / 4) * 4) * 4;
            int left = x[i] < 0 ? 0 : job.depth - k;
            const float *from = job.x + (left > 0 ? x[i] + stage * DEPTH : 0);
            if (piece < S::X_PIECES) {
                if (IN_FOURS) {
                    copy_some<16>(at, from, left > 0 ? 16 : 0);
                } else {
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        copy_some<4>(at + 4 * e, left > e ? from + e : job.x, left > e ? 4 : 0);
                }
            }
        }
#pragma unroll
        for (int i = 0; i < S::W_EACH; i++) {
            int piece = i * S::THREADS + threadIdx.x, k = stage * DEPTH + piece / (S::OUTS / 4);
            int out = first_out + piece % (S::OUTS / 4) * 4;
            bool has = k < job.depth && out < stride;
            if (piece < S::W_PIECES)
                copy_some<16>(to + (S::X_FLOATS + piece * 4) * 4,
                              has ? job.weight + static_cast<size_t>(k) * stride + out : job.weight, has ? 16 : 0);
        }
    };

    float sums[S::EACH_ROWS][S::EACH_OUTS] = {};
    for (int i = 0; i < S::STAGES - 1; i++) {
        if (i < n_stages)
            fetch(i);
        asm volatile("cp.async.commit_group;\n" ::: "memory");
    }
#pragma unroll 1
    for (int stage = 0; stage < n_stages; stage++) {
        asm volatile("cp.async.wait_group %0;\n" ::"n"(S::STAGES - 2) : "memory");
        __syncthreads();
        if (stage + S::STAGES - 1 < n_stages)
            fetch(stage + S::STAGES - 1);
        asm volatile("cp.async.commit_group;\n" ::: "memory");
        const float *rows = room + stage % S::STAGES * S::STAGE_FLOATS + down * ROW_FLOATS;
        const float *weights = room + stage % S::STAGES * S::STAGE_FLOATS + S::X_FLOATS + across * 4;
#pragma unroll 2
        for (int k = 0; k < DEPTH; k += 4) {
            float a[S::EACH_ROWS][4];
#pragma unroll
            for (int r = 0; r < S::EACH_ROWS; r++) {
                float4 four = *reinterpret_cast<const float4 *>(rows + r * S::DOWN * ROW_FLOATS + k);
                a[r][0] = four.x;
                a[r][1] = four.y;
                a[r][2] = four.z;
                a[r][3] = four.w;
            }
#pragma unroll
            for (int e = 0; e < 4; e++) {
                float w[S::EACH_OUTS];
#pragma unroll
                for (int o = 0; o < S::EACH_OUTS; o += 4) {
                    float4 four =
                        *reinterpret_cast<const float4 *>(weights + (k + e) * S::OUTS + o * S::ACROSS);
                    w[o] = four.x;
                    w[o + 1] = four.y;
                    w[o + 2] = four.z;
                    w[o + 3] = four.w;
                }
#pragma unroll
                for (int r = 0; r < S::EACH_ROWS; r++)
#pragma unroll
                    for (int o = 0; o < S::EACH_OUTS; o++)
                        sums[r][o] = fmaf(a[r][e], w[o], sums[r][o]);
            }
        }
    }
#pragma unroll
    for (int r = 0; r < S::EACH_ROWS; r++) {
        int row = first_row + down + r * S::DOWN;
#pragma unroll
        for (int o = 0; o < S::EACH_OUTS; o++) {
            int out = first_out + (across + o / 4 * S::ACROSS) * 4 + o % 4;
            if (row < job.rows && out < job.outs)
                job.out[static_cast<size_t>(row) * job.outs + out] =
                    job.bias == nullptr ? sums[r][o] : sums[r][o] + job.bias[out];
        }
    }
}

template <class S, bool IN_FOURS> static void launch_of(context &ctx, const flat_job &job)
{
    int shared = S::STAGES * S::STAGE_FLOATS * static_cast<int>(sizeof(float));
    check(cudaFuncSetAttribute(flat_kernel<S, IN_FOURS>, cudaFuncAttributeMaxDynamicSharedMemorySize, shared),
          "shared memory of a convolution");
    dim3 grid(static_cast<unsigned>((job.rows + S::ROWS - 1) / S::ROWS),
              static_cast<unsigned>((job.outs + S::OUTS - 1) / S::OUTS));
    launch(ctx, "a convolution", flat_kernel<S, IN_FOURS>, grid, S::THREADS, static_cast<size_t>(shared), job);
}

template <class S> static void launch_as(context &ctx, const flat_job &job)
{
    if (job.depth % 4 == 0 && job.hop % 4 == 0 && job.between % 4 == 0)
        launch_of<S, true>(ctx, job);
    else
        launch_of<S, false>(ctx, job);
}

/* Larger shapes read less, smaller ones leave no multiprocessor without work. */
void launch_flat(context &ctx, const flat_job &job)
{
    size_t n = (static_cast<size_t>(job.rows) + job.each - 1) / job.each * job.between;
    if (n > INT32_MAX - 2 * DEPTH)
        throw declined(shaped("a convolution over %zu values", n));
    int n_blocks = ctx.properties.multiProcessorCount * 3 / 4;
    auto is_enough = [&](int rows, int outs) {
        return (job.rows + rows - 1) / rows * ((job.outs + outs - 1) / outs) >= n_blocks;
    };
    if (job.outs <= 4)
        launch_as<flat_shape<256, 4, 2, 4, 2, 2>>(ctx, job);
    else if (job.outs > 64 && is_enough(128, 128))
        launch_as<flat_shape<128, 128, 8, 8, 2, 2>>(ctx, job);
    else if (job.outs > 32 && is_enough(128, 64))
        launch_as<flat_shape<128, 64, 8, 8, 2, 3>>(ctx, job);
    else if (job.outs <= 32 && is_enough(256, 32))
        launch_as<flat_shape<256, 32, 8, 8, 2, 2>>(ctx, job);
    else if (job.outs > 32 && is_enough(64, 64))
        launch_as<flat_shape<64, 64, 4, 8, 3, 4>>(ctx, job);
    else if (job.rows > 16 && is_enough(64, 32))
        launch_as<flat_shape<64, 32, 4, 4, 4, 4>>(ctx, job);
    else
        launch_as<flat_shape<16, 32, 1, 4, 6, 4>>(ctx, job);
}

/* ---- weights ------------------------------------------------------------- */

__global__ static void flatten_kernel(weight_view from, int stride, float *to)
{
    size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    int out = static_cast<int>(i % stride);
    size_t k = i / stride;
    if (k < static_cast<size_t>(from.cols))
        to[i] = out < from.rows ? weight_value(from, out, k) : 0.0f;
}

void flatten(context &ctx, const weight_view &from, memory &to)
{
    int stride = flat_stride(from.rows);
    size_t n = static_cast<size_t>(from.cols) * static_cast<size_t>(stride);
    to.reserve(n * sizeof(float));
    flatten_kernel<<<static_cast<unsigned>((n + 255) / 256), 256, 0, ctx.stream>>>(from, stride, to.as<float>());
    check(cudaGetLastError(), "a convolution's weights");
}

} // namespace csm_cuda
