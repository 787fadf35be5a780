/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_rows.cu - kernels that take activations row by row: sums of parts, activations,
 * norms, planes; keys and values into pages; attention. */
#include "engine/cuda/cuda_sums.cuh"

namespace csm_cuda {

__device__ static float part_sum(const float *parts, int n_parts, size_t between, size_t at)
{
    float t = parts[at];
    for (int p = 1; p < n_parts; p++)
        t += parts[p * between + at];
    return t;
}

/* A block a row, which lies in shared memory. */
__global__ static void rows_kernel(const __grid_constant__ rows_job job)
{
    extern __shared__ float row[]; /* [width], then sums */
    float *sums = row + job.width;
    int n = blockIdx.x;
    size_t between = job.between_parts != 0 ? job.between_parts : static_cast<size_t>(job.n) * job.ld_parts;
    for (int c = threadIdx.x; c < job.width; c += blockDim.x) {
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
            v = job.x == nullptr ? t
                : job.layer_scale == nullptr ? v + t : fmaf(job.layer_scale[c], t, v);
        }
        row[c] = v;
        if (job.keeps_x)
            job.x[n * job.ld + c] = v;
    }
    __syncthreads();
    float shift = 0.0f, factor = 1.0f;
    if (job.norm == rows_job::LAYER)
        shift = row_sum<false>(row, job.width, 0.0f, sums) / static_cast<float>(job.width);
    if (job.norm != rows_job::PLAIN) {
        float squares = row_sum<true>(row, job.width, shift, sums);
        factor = 1.0f / sqrtf(squares / static_cast<float>(job.width) + job.eps);
    }
    auto normed = [&](int c) {
        if (c >= job.width)
            return 0.0f;
        if (job.norm == rows_job::PLAIN)
            return row[c];
        float v = (row[c] - shift) * factor * job.norm_scale[c];
        return job.norm_bias == nullptr ? v : v + job.norm_bias[c];
    };
    if (job.out != nullptr)
        for (int c = threadIdx.x; c < job.width; c += blockDim.x)
            job.out[static_cast<size_t>(n) * job.width + c] = normed(c);
    if (job.to.words != nullptr)
        for (int c = 2 * threadIdx.x; c < job.to.n_steps * STEP; c += 2 * blockDim.x)
            store_planes(job.to, n, c, normed(c), normed(c + 1));
}

void launch_rows(context &ctx, const rows_job &job)
{
    if (job.n == 0)
        return;
    size_t shared = (static_cast<size_t>(job.width) + job.width / 64 + 2) * sizeof(float);
    if (shared > ctx.properties.sharedMemPerBlockOptin)
        throw declined(shaped("a row of %d values", job.width));
    if (shared > 48 * 1024)
        check(cudaFuncSetAttribute(rows_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(shared)),
              "shared memory of a row");
    int threads = job.width >= 1024 ? 512 : 256;
    rows_kernel<<<job.n, threads, shared, ctx.stream>>>(job);
    check(cudaGetLastError(), "rows of activations");
}

__global__ static void add_kernel(float *x, const float *y, size_t n)
{
    size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < n)
        x[i] += y[i];
}

void launch_add(context &ctx, float *x, const float *y, size_t n)
{
    if (n != 0)
        add_kernel<<<static_cast<unsigned>((n + 255) / 256), 256, 0, ctx.stream>>>(x, y, n);
    check(cudaGetLastError(), "a sum of rows");
}

/* ---- attention ---------------------------------------------------------- */

__device__ static float *page_of(const attend_job &job, const attend_row &row, int page, int kv_head)
{
    return row.pages[page % row.n_pages] +
           static_cast<size_t>(job.layer * job.n_kv_heads + kv_head) * 2 * PAGE * padded_head(job.head_dim);
}

/* A block a row and head of keys and values, a thread a pair of dimensions. */
__global__ static void append_kernel(const __grid_constant__ attend_job job)
{
    int n = blockIdx.x, head = blockIdx.y, d = job.head_dim;
    attend_row row = job.rows[n];
    int slot = row.position % PAGE;
    float *page = page_of(job, row, row.position / PAGE, head);
    size_t between = static_cast<size_t>(job.n) * job.ld;
    size_t key = n * job.ld + static_cast<size_t>(job.n_heads + head) * d;
    size_t value = key + static_cast<size_t>(job.n_kv_heads) * d;
    for (int i = threadIdx.x; i < d / 2; i += blockDim.x) {
        int a, b;
        pair_at(i, d, job.interleaved, &a, &b);
        float x = part_sum(job.qkv, job.n_parts, between, key + a);
        float y = part_sum(job.qkv, job.n_parts, between, key + b);
        turn(angle_of(job.frequencies[i], row.position), &x, &y);
        page[key_at(slot, a)] = x;
        page[key_at(slot, b)] = y;
        float *values = page + PAGE * padded_head(d) + slot * d;
        values[a] = part_sum(job.qkv, job.n_parts, between, value + a);
        values[b] = part_sum(job.qkv, job.n_parts, between, value + b);
    }
}

void launch_append(context &ctx, const attend_job &job)
{
    dim3 grid(job.n, job.n_kv_heads);
    append_kernel<<<grid, 32, 0, ctx.stream>>>(job);
    check(cudaGetLastError(), "keys and values");
}

/* A block a row and some heads with the same keys and values; a warp a page and head at a
 * time, heads first, so that a page is read from afar once. Results in shared memory. */
template <int DIMS>
__global__ static void attend_kernel(const __grid_constant__ attend_job job)
{
    extern __shared__ float4 room[];
    float *query = reinterpret_cast<float *>(room); /* [head][padded] */
    int d = job.head_dim, padded = padded_head(d), n_heads = job.heads_at_once;
    int n = blockIdx.x, first_head = blockIdx.y * n_heads, lane = threadIdx.x % 32;
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
    __syncthreads();
    int kv_head = first_head / (job.n_heads / job.n_kv_heads);
    for (int task = threadIdx.x / 32; task < n_pages * n_heads; task += blockDim.x / 32) {
        int p = task / n_heads, head = task % n_heads, page = first_page + p;
        int from = page == first_page ? first % PAGE : 0;
        int to = page == row.position / PAGE ? row.position % PAGE + 1 : PAGE;
        float m, s, out[DIMS];
        attend_page<DIMS>(query + head * padded, page_of(job, row, page, kv_head), d, from, to, job.scale,
                          &m, &s, out);
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

template <int DIMS> static void launch_attend_of(context &ctx, const attend_job &job, size_t shared)
{
    check(cudaFuncSetAttribute(attend_kernel<DIMS>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared)),
          "shared memory of attention");
    dim3 grid(job.n, job.n_heads / job.heads_at_once);
    attend_kernel<DIMS><<<grid, 128, shared, ctx.stream>>>(job);
}

static size_t attend_bytes(const attend_job &job, int n_heads)
{
    size_t d = static_cast<size_t>(job.head_dim), padded = static_cast<size_t>(padded_head(job.head_dim));
    return static_cast<size_t>(n_heads) * (padded + static_cast<size_t>(job.most_pages) * (d + 2)) *
           sizeof(float);
}

void launch_attend(context &ctx, const attend_job &asked)
{
    attend_job job = asked;
    size_t limit = ctx.properties.sharedMemPerBlockOptin, d = static_cast<size_t>(job.head_dim);
    job.heads_at_once = job.n_heads / job.n_kv_heads;
    if (attend_bytes(job, job.heads_at_once) > limit)
        job.heads_at_once = 1;
    size_t shared = attend_bytes(job, job.heads_at_once);
    if (shared > limit)
        throw declined(shaped("attention over %d positions, this card has room for %zu",
                              job.most_pages * PAGE, (limit / 4 - d) / (d + 2) * PAGE));
    if (d <= 64)
        launch_attend_of<2>(ctx, job, shared);
    else if (d <= 128)
        launch_attend_of<4>(ctx, job, shared);
    else
        launch_attend_of<8>(ctx, job, shared);
    check(cudaGetLastError(), "attention");
}

} // namespace csm_cuda
