/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_rows.cu - kernels that take activations row by row: sums of parts, activations,
 * norms, planes. */
#include "engine/cuda/cuda_launch.cuh"
#include "engine/cuda/cuda_sums.cuh"

namespace csm_cuda {

/* v of row n and column c. */
__device__ static float value_of(const rows_job &job, int n, int c)
{
    size_t between = job.between_parts != 0 ? job.between_parts : static_cast<size_t>(job.n) * job.ld_parts;
    float v = job.x == nullptr ? 0.0f : job.x[n * job.ld + c];
    if (job.n_parts > 0) {
        size_t at = n * job.ld_parts + c;
        float t = part_sum(job.parts, job.n_parts, between, at);
        if (job.activation == rows_job::GATED)
            t = silu(t) * part_sum(job.parts_up, job.n_parts, between, at);
        if (job.activation == rows_job::GELU)
            t = gelu(t);
        if (job.bias != nullptr)
            t += job.bias[c];
        v = job.x == nullptr ? t : job.layer_scale == nullptr ? v + t : fmaf(job.layer_scale[c], t, v);
    }
    return v;
}

/* Of columns c and c + 1, as far as there are; kept if they are to be. */
__device__ static float2 values_of(const rows_job &job, int n, int c)
{
    float2 v = make_float2(0.0f, 0.0f);
    if (c < job.width)
        v.x = value_of(job, n, c);
    if (c + 1 < job.width)
        v.y = value_of(job, n, c + 1);
    if (job.keeps_x && c < job.width)
        job.x[n * job.ld + c] = v.x;
    if (job.keeps_x && c + 1 < job.width)
        job.x[n * job.ld + c + 1] = v.y;
    return v;
}

/* Without a norm: a thread a pair of columns. */
__global__ static void plain_rows_kernel(const __grid_constant__ rows_job job)
{
    await_before();
    int n_pairs = (job.to.words != nullptr ? job.to.n_steps * STEP : job.width + 1) / 2;
    int i = blockIdx.x * blockDim.x + threadIdx.x, n = i / n_pairs, c = i % n_pairs * 2;
    if (n >= job.n)
        return;
    float2 v = values_of(job, n, c);
    if (job.out != nullptr && c < job.width)
        job.out[static_cast<size_t>(n) * job.width + c] = v.x;
    if (job.out != nullptr && c + 1 < job.width)
        job.out[static_cast<size_t>(n) * job.width + c + 1] = v.y;
    if (job.to.words != nullptr)
        store_planes(job.to, n, c, v.x, v.y);
}

/* The sum over the block of what each warp has of its stretches of 64 columns, in `sums`. */
__device__ __forceinline__ float sum_of(const float *sums, int n)
{
    float total = 0.0f;
    int lane = threadIdx.x % 32;
    __syncthreads();
    for (int c = 0; c < n; c += 32)
        total += fold(c + lane < n ? sums[c + lane] : 0.0f);
    return total;
}

/* With one: a block a row. A thread has the same pairs of columns in every step, in shared memory; a
 * warp's are the stretches that a row sum is made of. */
__global__ static void rows_kernel(const __grid_constant__ rows_job job)
{
    extern __shared__ float2 row[]; /* [n_stretches * 32], then sums, twice */
    int n = blockIdx.x, n_stretches = (job.width + 63) / 64, own = 2 * threadIdx.x, all = 2 * blockDim.x;
    float *sums = reinterpret_cast<float *>(row + n_stretches * 32);
    auto scale_of = [&](int c) {
        return make_float2(c < job.width ? job.norm_scale[c] : 0.0f, c + 1 < job.width ? job.norm_scale[c + 1] : 0.0f);
    };
    float2 first_scale = scale_of(own); /* a weight */
    await_before();
    bool is_layer = job.norm == rows_job::LAYER;
    for (int c = own; c < 64 * n_stretches; c += all) {
        float2 v = values_of(job, n, c);
        row[c / 2] = v;
        float sum = fold(is_layer ? v.x + v.y : fmaf(v.y, v.y, v.x * v.x));
        if (threadIdx.x % 32 == 0)
            sums[c / 64] = sum;
    }
    float shift = 0.0f, squares = sum_of(sums, n_stretches);
    if (is_layer) {
        shift = squares / static_cast<float>(job.width);
        sums += n_stretches;
        for (int c = own; c < 64 * n_stretches; c += all) {
            float2 v = row[c / 2];
            float a = c < job.width ? v.x - shift : 0.0f, b = c + 1 < job.width ? v.y - shift : 0.0f;
            float sum = fold(fmaf(b, b, a * a));
            if (threadIdx.x % 32 == 0)
                sums[c / 64] = sum;
        }
        squares = sum_of(sums, n_stretches);
    }
    float factor = 1.0f / sqrtf(squares / static_cast<float>(job.width) + job.eps);
    int n_columns = job.to.words != nullptr ? job.to.n_steps * STEP : job.width;
    for (int c = own; c < n_columns; c += all) {
        float2 v = make_float2(0.0f, 0.0f);
        if (c < job.width) {
            float2 scale = c == own ? first_scale : scale_of(c);
            v = row[c / 2];
            v = make_float2((v.x - shift) * factor * scale.x, (v.y - shift) * factor * scale.y);
            if (job.norm_bias != nullptr)
                v.x += job.norm_bias[c];
            if (job.norm_bias != nullptr && c + 1 < job.width)
                v.y += job.norm_bias[c + 1];
            if (c + 1 >= job.width)
                v.y = 0.0f;
        }
        if (job.out != nullptr && c < job.width)
            job.out[static_cast<size_t>(n) * job.width + c] = v.x;
        if (job.out != nullptr && c + 1 < job.width)
            job.out[static_cast<size_t>(n) * job.width + c + 1] = v.y;
        if (job.to.words != nullptr)
            store_planes(job.to, n, c, v.x, v.y);
    }
}

void launch_rows(context &ctx, const rows_job &job)
{
    if (job.n == 0)
        return;
    if (job.norm == rows_job::PLAIN) {
        size_t n_pairs = static_cast<size_t>(job.to.words != nullptr ? job.to.n_steps * STEP : job.width + 1) / 2;
        size_t n_blocks = (static_cast<size_t>(job.n) * n_pairs + 255) / 256;
        if (n_blocks > INT32_MAX / 256)
            throw declined(shaped("%d rows of %d values", job.n, job.width));
        launch(ctx, "rows of activations", plain_rows_kernel, dim3(static_cast<unsigned>(n_blocks)), 256, 0, job);
        return;
    }
    size_t n_stretches = (static_cast<size_t>(job.width) + 63) / 64, shared = n_stretches * (64 + 2) * sizeof(float);
    if (shared > ctx.properties.sharedMemPerBlockOptin)
        throw declined(shaped("a row of %d values", job.width));
    if (shared > 48 * 1024)
        check(cudaFuncSetAttribute(rows_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(shared)),
              "shared memory of a row");
    int threads = job.width >= 1024 ? 512 : 256;
    launch(ctx, "rows of activations", rows_kernel, dim3(job.n), threads, shared, job);
}

/* Four values a thread. */
__global__ static void add_kernel(float *x, const float *y, size_t n)
{
    size_t i = 4 * (static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x);
    if (i + 4 <= n) {
        float4 a = *reinterpret_cast<const float4 *>(x + i), b = *reinterpret_cast<const float4 *>(y + i);
        *reinterpret_cast<float4 *>(x + i) = make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
        return;
    }
    for (; i < n; i++)
        x[i] += y[i];
}

void launch_add(context &ctx, float *x, const float *y, size_t n)
{
    if (n != 0)
        add_kernel<<<static_cast<unsigned>((n + 1023) / 1024), 256, 0, ctx.stream>>>(x, y, n);
    check(cudaGetLastError(), "a sum of rows");
}

} // namespace csm_cuda
