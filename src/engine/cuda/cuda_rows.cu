/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_rows.cu - kernels that take activations row by row: sums of parts, activations,
 * norms, planes; keys and values into pages; attention. */
#include "engine/cuda/cuda_launch.cuh"
#include "engine/cuda/cuda_sums.cuh"

namespace csm_cuda {

__device__ static float part_sum(const float *parts, int n_parts, size_t between, size_t at)
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

/* ---- attention ---------------------------------------------------------- */

template <class T>
__device__ static T *page_of(const attend_job &job, const attend_row &row, int page, int kv_head)
{
    return reinterpret_cast<T *>(row.pages[page % row.n_pages]) +
           static_cast<size_t>(job.layer * job.n_kv_heads + kv_head) * 2 * PAGE * padded_head(job.head_dim);
}

/* Key and value of row n and a head of theirs, a thread a pair of dimensions. */
template <class T>
__device__ static void append(const attend_job &job, const attend_row &row, int n, int head)
{
    int d = job.head_dim;
    int slot = row.position % PAGE;
    T *page = page_of<T>(job, row, row.position / PAGE, head);
    size_t between = static_cast<size_t>(job.n) * job.ld;
    size_t key = n * job.ld + static_cast<size_t>(job.n_heads + head) * d;
    size_t value = key + static_cast<size_t>(job.n_kv_heads) * d;
    for (int i = threadIdx.x; i < d / 2; i += blockDim.x) {
        int a, b;
        pair_at(i, d, job.interleaved, &a, &b);
        float x = part_sum(job.qkv, job.n_parts, between, key + a);
        float y = part_sum(job.qkv, job.n_parts, between, key + b);
        turn(angle_of(job.frequencies[i], row.position), &x, &y);
        page[key_at<T>(slot, a)] = kept<T>(x);
        page[key_at<T>(slot, b)] = kept<T>(y);
        T *values = page + PAGE * padded_head(d) + slot * d;
        values[a] = kept<T>(part_sum(job.qkv, job.n_parts, between, value + a));
        values[b] = kept<T>(part_sum(job.qkv, job.n_parts, between, value + b));
    }
}

/* A block a row and head. */
template <class T> __global__ static void append_kernel(const __grid_constant__ attend_job job)
{
    await_before();
    append<T>(job, job.rows[blockIdx.x], blockIdx.x, blockIdx.y);
}

/* A block a row and some heads with the same keys and values; a warp a page and head at a
 * time, heads first, so that a page is read from afar once. Results in shared memory. */
template <int DIMS, class T>
__global__ static void attend_kernel(const __grid_constant__ attend_job job)
{
    extern __shared__ float4 room[];
    float *query = reinterpret_cast<float *>(room); /* [head][padded] */
    int d = job.head_dim, padded = padded_head(d), n_heads = job.heads_at_once;
    int n = blockIdx.x, first_head = blockIdx.y * n_heads, lane = threadIdx.x % 32;
    int kv_head = first_head / (job.n_heads / job.n_kv_heads);
    await_before();
    attend_row row = job.rows[n];
    int first = job.window > 0 && row.position + 1 > job.window ? row.position + 1 - job.window : 0;
    int first_page = first / PAGE, n_pages = row.position / PAGE + 1 - first_page;
    float *highest = query + n_heads * padded, *sums = highest + n_heads * n_pages;
    float *values = sums + n_heads * n_pages; /* [head][page][d] */
    size_t between = static_cast<size_t>(job.n) * job.ld;
    for (int i = threadIdx.x; i < n_heads * (d / 2); i += blockDim.x) {
        int head = i / (d / 2), a, b;
        pair_at(i % (d / 2), d, job.interleaved, &a, &b);
        size_t at = n * job.ld + static_cast<size_t>(first_head + head) * d;
        float x = part_sum(job.qkv, job.n_parts, between, at + a);
        float y = part_sum(job.qkv, job.n_parts, between, at + b);
        turn(angle_of(job.frequencies[i % (d / 2)], row.position), &x, &y);
        query[head * padded + a] = x;
        query[head * padded + b] = y;
    }
    for (int i = threadIdx.x; i < n_heads * (padded - d); i += blockDim.x)
        query[i / (padded - d) * padded + d + i % (padded - d)] = 0.0f;
    if (job.appends)
        append<T>(job, row, n, kv_head);
    __syncthreads();
    for (int task = threadIdx.x / 32; task < n_pages * n_heads; task += blockDim.x / 32) {
        int p = task / n_heads, head = task % n_heads, page = first_page + p;
        int from = page == first_page ? first % PAGE : 0;
        int to = page == row.position / PAGE ? row.position % PAGE + 1 : PAGE;
        float m, s, out[DIMS];
        const T *keys = page_of<T>(job, row, page, kv_head);
        attend_page<DIMS>(query + head * padded, keys, keys + PAGE * padded, d, from, to, job.scale, &m, &s, out);
        if (lane == 0) {
            highest[head * n_pages + p] = m;
            sums[head * n_pages + p] = s;
        }
#pragma unroll
        for (int j = 0; j < DIMS; j++)
            if (lane + 32 * j < d)
                values[(head * n_pages + p) * d + lane + 32 * j] = out[j];
    }
    __syncthreads();
    for (int i = 2 * threadIdx.x; i < n_heads * d; i += 2 * blockDim.x) {
        int head = i / d;
        float out[2];
        for (int e = 0; e < 2; e++) {
            merged all = {-INFINITY, 0.0f, 0.0f};
            for (int p = 0; p < n_pages;) {
                int end = ((first_page + p) / CHUNK_PAGES + 1) * CHUNK_PAGES - first_page;
                end = end < n_pages ? end : n_pages;
                merge_into(&all, merge_pages(highest + head * n_pages, sums + head * n_pages,
                                             values + head * n_pages * d + i % d + e, d, p, end));
                p = end;
            }
            out[e] = all.value / all.sum;
        }
        store_planes(job.to, n, first_head * d + i, out[0], out[1]);
    }
}

/* The same where a lane has one page and one row, as in the depth decoder: all that is read
 * from afar is asked for at once. */
template <int DIMS, class T>
__global__ static void attend_page_kernel(const __grid_constant__ attend_job job)
{
    constexpr int N = piece<T>::N;
    extern __shared__ float4 room[];
    T *page = reinterpret_cast<T *>(room); /* keys, values */
    int d = job.head_dim, half = d / 2, n_heads = job.heads_at_once, n = blockIdx.x, kv_head = blockIdx.y;
    float *query = reinterpret_cast<float *>(page + 2 * PAGE * d); /* [head][d] */
    int lane = threadIdx.x % 32, first_head = kv_head * n_heads;
    await_before();
    attend_row row = job.rows[n];
    T *stored = page_of<T>(job, row, 0, kv_head);
    int slot = row.position;
    for (int i = threadIdx.x; i < 2 * PAGE * d / N; i += blockDim.x) { /* pieces: keys, then values */
        int at = i < PAGE * d / N ? i % PAGE : i * N / d - PAGE;
        if (at < slot)
            copy_16(static_cast<uint32_t>(__cvta_generic_to_shared(page + N * i)), stored + N * i);
    }
    for (int i = threadIdx.x; i < (n_heads + 2) * half; i += blockDim.x) {
        int head = i / half, a, b;
        bool is_value = head > n_heads;
        pair_at(i % half, d, job.interleaved || is_value, &a, &b);
        int column = head < n_heads ? (first_head + head) * d
                                    : (job.n_heads + (is_value ? job.n_kv_heads : 0) + kv_head) * d;
        const float *from = job.qkv + n * job.ld + column;
        float x = from[a], y = from[b];
        if (!is_value)
            turn(angle_of(job.frequencies[i % half], slot), &x, &y);
        if (head < n_heads) {
            query[head * d + a] = x;
            query[head * d + b] = y;
            continue;
        }
        a = is_value ? PAGE * d + slot * d + a : key_at<T>(slot, a);
        b = is_value ? a + 1 : key_at<T>(slot, b);
        page[a] = stored[a] = kept<T>(x);
        page[b] = stored[b] = kept<T>(y);
    }
    await_copies();
    __syncthreads();
    for (int head = threadIdx.x / 32; head < n_heads; head += blockDim.x / 32) {
        float m, sum, out[DIMS];
        attend_page<DIMS>(query + head * d, page, page + PAGE * d, d, 0, slot + 1, job.scale, &m, &sum, out);
#pragma unroll
        for (int j = 0; j < DIMS; j++) {
            float next = __shfl_down_sync(ALL, out[j], 1);
            if (lane + 32 * j < d && lane % 2 == 0)
                store_planes(job.to, n, (first_head + head) * d + lane + 32 * j, out[j] / sum, next / sum);
        }
    }
}

template <int DIMS, class T> static void launch_attend_page(context &ctx, const attend_job &job)
{
    size_t d = static_cast<size_t>(job.head_dim), n_heads = static_cast<size_t>(job.heads_at_once);
    size_t shared = 2 * PAGE * d * sizeof(T) + n_heads * d * sizeof(float);
    check(cudaFuncSetAttribute(attend_page_kernel<DIMS, T>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared)),
          "shared memory of attention");
    launch(ctx, "attention", attend_page_kernel<DIMS, T>, dim3(job.n, job.n_kv_heads), 256, shared, job);
}

template <int DIMS, class T> static void launch_attend_of(context &ctx, const attend_job &job, size_t shared)
{
    check(cudaFuncSetAttribute(attend_kernel<DIMS, T>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared)),
          "shared memory of attention");
    dim3 grid(job.n, job.n_heads / job.heads_at_once);
    launch(ctx, "attention", attend_kernel<DIMS, T>, grid, 128, shared, job);
}

static size_t attend_bytes(const attend_job &job, int n_heads)
{
    size_t d = static_cast<size_t>(job.head_dim), padded = static_cast<size_t>(padded_head(job.head_dim));
    return static_cast<size_t>(n_heads) * (padded + static_cast<size_t>(job.most_pages) * (d + 2)) *
           sizeof(float);
}

template <class T> static void launch_attend_kept(context &ctx, const attend_job &asked)
{
    attend_job job = asked;
    size_t limit = ctx.properties.sharedMemPerBlockOptin, d = static_cast<size_t>(job.head_dim);
    job.heads_at_once = job.n_heads / job.n_kv_heads;
    if (job.is_one_each && job.most_pages == 1 && job.n_parts == 1 && job.window == 0 && d % 8 == 0 && d <= 128) {
        if (d <= 64)
            launch_attend_page<2, T>(ctx, job);
        else
            launch_attend_page<4, T>(ctx, job);
        return;
    }
    if (attend_bytes(job, job.heads_at_once) > limit)
        job.heads_at_once = 1;
    job.appends = asked.is_one_each && job.heads_at_once == job.n_heads / job.n_kv_heads;
    if (!job.appends)
        launch(ctx, "keys and values", append_kernel<T>, dim3(job.n, job.n_kv_heads), 32, 0, job);
    size_t shared = attend_bytes(job, job.heads_at_once);
    if (shared > limit)
        throw declined(shaped("attention over %d positions, this card has room for %zu",
                              job.most_pages * PAGE, (limit / 4 - d) / (d + 2) * PAGE));
    if (d <= 64)
        launch_attend_of<2, T>(ctx, job, shared);
    else if (d <= 128)
        launch_attend_of<4, T>(ctx, job, shared);
    else
        launch_attend_of<8, T>(ctx, job, shared);
}

void launch_attend(context &ctx, const attend_job &job)
{
    if (job.keeps_half)
        launch_attend_kept<__half>(ctx, job);
    else
        launch_attend_kept<float>(ctx, job);
}

} // namespace csm_cuda
