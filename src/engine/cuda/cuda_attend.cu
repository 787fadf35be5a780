/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_attend.cu - attention of many rows: keys and values into their pages, then queries to
 * results. The order of every sum is cuda_sums.cuh's, whichever kernel makes it. */
#include "engine/cuda/cuda_launch.cuh"
#include "engine/cuda/cuda_sums.cuh"

namespace csm_cuda {

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

/* Queries of row n for heads [first, first + n_heads), turned by their position: [head][padded]. */
__device__ static void load_queries(const attend_job &job, const attend_row &row, int n, int first, int n_heads,
                                    float *query)
{
    int d = job.head_dim, padded = padded_head(d);
    size_t between = static_cast<size_t>(job.n) * job.ld;
    for (int i = threadIdx.x; i < n_heads * (d / 2); i += blockDim.x) {
        int head = i / (d / 2), a, b;
        pair_at(i % (d / 2), d, job.interleaved, &a, &b);
        size_t at = n * job.ld + static_cast<size_t>(first + head) * d;
        float x = part_sum(job.qkv, job.n_parts, between, at + a);
        float y = part_sum(job.qkv, job.n_parts, between, at + b);
        turn(angle_of(job.frequencies[i % (d / 2)], row.position), &x, &y);
        query[head * padded + a] = x;
        query[head * padded + b] = y;
    }
    for (int i = threadIdx.x; i < n_heads * (padded - d); i += blockDim.x)
        query[i / (padded - d) * padded + d + i % (padded - d)] = 0.0f;
}

/* What was found in each page of a row, [head][page], and the weighted values, [head][page][d]. */
struct page_results {
    float *highest, *sums, *values;
};

/* Pages from first_page on, merged, to the planes of heads from `first` on. */
__device__ static void give_results(const attend_job &job, const page_results &from, int n, int first, int n_heads,
                                    int first_page, int n_pages)
{
    int d = job.head_dim;
    for (int i = 2 * threadIdx.x; i < n_heads * d; i += 2 * blockDim.x) {
        int head = i / d;
        float out[2];
        for (int e = 0; e < 2; e++) {
            merged all = {-INFINITY, 0.0f, 0.0f};
            for (int p = 0; p < n_pages;) {
                int end = ((first_page + p) / CHUNK_PAGES + 1) * CHUNK_PAGES - first_page;
                end = end < n_pages ? end : n_pages;
                merge_into(&all, merge_pages(from.highest + head * n_pages, from.sums + head * n_pages,
                                             from.values + head * n_pages * d + i % d + e, d, p, end));
                p = end;
            }
            out[e] = all.value / all.sum;
        }
        store_planes(job.to, n, first * d + i, out[0], out[1]);
    }
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
    page_results found;
    found.highest = query + n_heads * padded;
    found.sums = found.highest + n_heads * n_pages;
    found.values = found.sums + n_heads * n_pages;
    load_queries(job, row, n, first_head, n_heads, query);
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
            found.highest[head * n_pages + p] = m;
            found.sums[head * n_pages + p] = s;
        }
#pragma unroll
        for (int j = 0; j < DIMS; j++)
            if (lane + 32 * j < d)
                found.values[(head * n_pages + p) * d + lane + 32 * j] = out[j];
    }
    __syncthreads();
    give_results(job, found, n, first_head, n_heads, first_page, n_pages);
}

/* What a warp finds in the first `to` slots of a page for HEADS heads together, as attend_page does for one: each key
 * and each value is read once. Lane l has dimensions 64 j + 2 l and the one after it. `weights`: the warp's own. */
template <int HEADS, int PAIRS, class T>
__device__ __forceinline__ void attend_page_together(const float *query, const T *keys, const T *values,
                                                     float (*weights)[HEADS], int to, float scale,
                                                     float (&highest)[HEADS], float (&sum)[HEADS],
                                                     float2 (&out)[HEADS][PAIRS])
{
    constexpr int N = piece<T>::N, D = 64 * PAIRS;
    int lane = threadIdx.x % 32;
    const float4 *q4 = reinterpret_cast<const float4 *>(query);
    /* Slots whose values are asked for early. */
    constexpr int AHEAD = 64 / static_cast<int>(sizeof(neighbours<T>)) / PAIRS;
    neighbours<T> v[AHEAD][PAIRS];
    auto load = [&](int p, neighbours<T> (&pairs)[PAIRS]) {
#pragma unroll
        for (int j = 0; j < PAIRS; j++)
            pairs[j] = *reinterpret_cast<const neighbours<T> *>(values + p * D + 64 * j + 2 * lane);
    };
#pragma unroll
    for (int p = 0; p < AHEAD; p++)
        load(p, v[p]);
    float4 s[HEADS];
#pragma unroll
    for (int h = 0; h < HEADS; h++)
        s[h] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll(64 / N)
    for (int i = 0; i < D / N; i++) {
        float4 k[N / 4];
        take_piece(keys + (i * PAGE + lane) * N, k);
#pragma unroll
        for (int h = 0; h < HEADS; h++)
#pragma unroll
            for (int e = 0; e < N / 4; e++) {
                float4 q = q4[h * (D / 4) + i * (N / 4) + e];
                s[h].x = fmaf(q.x, k[e].x, s[h].x);
                s[h].y = fmaf(q.y, k[e].y, s[h].y);
                s[h].z = fmaf(q.z, k[e].z, s[h].z);
                s[h].w = fmaf(q.w, k[e].w, s[h].w);
            }
    }
    __syncwarp(); /* the weights of the page before have been read */
#pragma unroll
    for (int h = 0; h < HEADS; h++) {
        weights[lane][h] =
            page_weight(lane < to, ((s[h].x + s[h].y) + (s[h].z + s[h].w)) * scale, &highest[h], &sum[h]);
#pragma unroll
        for (int j = 0; j < PAIRS; j++)
            out[h][j] = make_float2(0.0f, 0.0f);
    }
    __syncwarp();
    auto add = [&](int p, const neighbours<T> (&pairs)[PAIRS]) {
#pragma unroll
        for (int j = 0; j < PAIRS; j++) {
            float2 v = numbers(pairs[j]);
#pragma unroll
            for (int h = 0; h < HEADS; h++) {
                float w = weights[p][h];
                out[h][j].x = fmaf(w, v.x, out[h][j].x);
                out[h][j].y = fmaf(w, v.y, out[h][j].y);
            }
        }
    };
    if (to == PAGE) {
#pragma unroll
        for (int p = 0; p < PAGE; p++) {
            add(p, v[p % AHEAD]);
            if (p + AHEAD < PAGE)
                load(p + AHEAD, v[p % AHEAD]);
        }
    } else {
        for (int p = 0; p < to; p++) {
            load(p, v[0]);
            add(p, v[0]);
        }
    }
}

/* As attend_kernel, without a window, where HEADS heads of 64 PAIRS dimensions share keys and values: a warp a page. */
template <int HEADS, int PAIRS, class T>
__global__ static void __launch_bounds__(256, 2) attend_together_kernel(const __grid_constant__ attend_job job)
{
    constexpr int D = 64 * PAIRS;
    extern __shared__ float4 room[];
    float *query = reinterpret_cast<float *>(room); /* [head][D] */
    auto weights = reinterpret_cast<float(*)[PAGE][HEADS]>(query + HEADS * D); /* of each warp */
    int n = blockIdx.x, kv_head = blockIdx.y, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int n_warps = blockDim.x / 32;
    await_before();
    attend_row row = job.rows[n];
    int n_pages = row.position / PAGE + 1;
    page_results found;
    found.highest = &weights[n_warps][0][0];
    found.sums = found.highest + HEADS * n_pages;
    found.values = found.sums + HEADS * n_pages;
    load_queries(job, row, n, kv_head * HEADS, HEADS, query);
    if (job.appends)
        append<T>(job, row, n, kv_head);
    __syncthreads();
    for (int page = warp; page < n_pages; page += n_warps) {
        int to = page == n_pages - 1 ? row.position % PAGE + 1 : PAGE;
        float m[HEADS], s[HEADS];
        float2 out[HEADS][PAIRS];
        const T *keys = page_of<T>(job, row, page, kv_head);
        attend_page_together<HEADS, PAIRS>(query, keys, keys + PAGE * D, weights[warp], to, job.scale, m, s, out);
#pragma unroll
        for (int h = 0; h < HEADS; h++) {
            if (lane == 0) {
                found.highest[h * n_pages + page] = m[h];
                found.sums[h * n_pages + page] = s[h];
            }
#pragma unroll
            for (int j = 0; j < PAIRS; j++)
                *reinterpret_cast<float2 *>(&found.values[(h * n_pages + page) * D + 64 * j + 2 * lane]) = out[h][j];
        }
    }
    __syncthreads();
    give_results(job, found, n, kv_head * HEADS, HEADS, 0, n_pages);
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

template <int HEADS, int PAIRS> static size_t together_bytes(const attend_job &job, int n_warps)
{
    size_t floats = HEADS * 64 * PAIRS + static_cast<size_t>(n_warps) * PAGE * HEADS +
                    static_cast<size_t>(job.most_pages) * HEADS * (64 * PAIRS + 2);
    return floats * sizeof(float);
}

/* Where there are few rows, each has twice as many warps. */
template <int HEADS, int PAIRS, class T> static void launch_together(context &ctx, const attend_job &job)
{
    bool are_few = job.n * job.n_kv_heads < 8 * ctx.properties.multiProcessorCount;
    int n_warps = are_few && job.most_pages > 4 ? 8 : 4;
    size_t shared = together_bytes<HEADS, PAIRS>(job, n_warps);
    check(cudaFuncSetAttribute(attend_together_kernel<HEADS, PAIRS, T>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared)),
          "shared memory of attention");
    launch(ctx, "attention", attend_together_kernel<HEADS, PAIRS, T>, dim3(job.n, job.n_kv_heads), 32 * n_warps, shared,
           job);
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
    bool is_together = job.window == 0 && job.heads_at_once == 4 && d == 64 && together_bytes<4, 1>(job, 8) <= limit;
    if (!is_together && attend_bytes(job, job.heads_at_once) > limit)
        job.heads_at_once = 1;
    job.appends = asked.is_one_each && job.heads_at_once == job.n_heads / job.n_kv_heads;
    if (!job.appends)
        launch(ctx, "keys and values", append_kernel<T>, dim3(job.n, job.n_kv_heads), 32, 0, job);
    if (is_together) {
        launch_together<4, 1, T>(ctx, job);
        return;
    }
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
