/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_one_attend.cuh - a block's part of attention: chunks of the backbone's pages, or all of the
 * depth decoder's few positions */
#ifndef CSM_CUDA_ONE_ATTEND_CUH
#define CSM_CUDA_ONE_ATTEND_CUH

#include "engine/cuda/cuda_one_product.cuh"

namespace csm_cuda {

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

/* ---- attention ---------------------------------------------------------- */

/* The backbone's chunks: results of a chunk and head as words, [chunk][head][head_dim + 2]. */
template <bool CODES, int D> __device__ __noinline__ uint32_t attend_chunks(block b, int layer)
{
    const stack_shape &s = own().p.b;
    int d = D > 0 ? D : s.head_dim, group = s.n_heads / s.n_kv_heads, position = own().call.position;
    int n_pages = position / PAGE + 1, n_chunks = position / CHUNK + 1, parity = b.layer & 1;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float *query = reinterpret_cast<float *>(own().input); /* [group][d] */
    float *fresh = query + group * d;                  /* key, value */
    float *highest = fresh + 2 * d, *sums = highest + group * CHUNK_PAGES;
    float *values = sums + group * CHUNK_PAGES; /* [head][page][d] */
    const uint64_t *qkv = own().p.qkv[parity];
#pragma unroll 1
    for (int u = blockIdx.x; u < n_chunks * s.n_kv_heads; u += own().p.n_blocks) {
        int chunk = u / s.n_kv_heads, kv_head = u % s.n_kv_heads;
        int pages = matrix::min_of(CHUNK_PAGES, n_pages - chunk * CHUNK_PAGES);
        bool is_last = chunk == n_chunks - 1;
        draw_barrier();
        uint32_t half = static_cast<uint32_t>(d) / 2, by_half = 65536 / half + 1;
#pragma unroll 1
        for (uint32_t i = threadIdx.x; i < (group + (is_last ? 2 : 0)) * half; i += THREADS) {
            int head = i * by_half >> 16, pair = i - head * half, at, bt;
            bool is_value = head > group;
            int row = head < group ? kv_head * group + head
                                   : s.n_heads + (is_value ? s.n_kv_heads : 0) + kv_head;
            pair_at(pair, d, s.interleaved != 0 || is_value, &at, &bt);
            float x, y;
            get_both(qkv + row * d + at, qkv + row * d + bt, b.epoch - 1, &x, &y);
            if (!is_value)
                turn(own().b_angles[pair], &x, &y);
            query[head * d + at] = x; /* the fresh key and value follow the queries */
            query[head * d + bt] = y;
        }
        draw_barrier();
        /* Ring stages of the unit: keys and values of each page. */
        if (is_last) { /* the new position takes its place in the page, here and for good */
            uint32_t at = b.item + 2 * (pages - 1);
            await_item<CODES>(at);
            await_item<CODES>(at + 1);
            __half *keys = in_stage<CODES, __half>(at), *vals = in_stage<CODES, __half>(at + 1);
            int slot = position % PAGE;
            __half *page = own().last_page + static_cast<size_t>(layer * s.n_kv_heads + kv_head) * 2 * PAGE * d;
#pragma unroll 1
            for (int i = threadIdx.x; i < d; i += THREADS) {
                int k = key_at<__half>(slot, i), v = slot * d + i;
                keys[k] = page[k] = kept<__half>(fresh[i]);
                vals[v] = page[PAGE * d + v] = kept<__half>(fresh[d + i]);
            }
            asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
            draw_barrier();
        }
#pragma unroll 1
        for (int task = warp; task < pages * group; task += WARPS) {
            int page = task / group, head = task % group;
            uint32_t at = b.item + 2 * page;
            await_item<CODES>(at);
            await_item<CODES>(at + 1);
            int to = is_last && page == pages - 1 ? position % PAGE + 1 : PAGE;
            float m, sum, out[2];
            attend_page<2>(query + head * d, in_stage<CODES, __half>(at), in_stage<CODES, __half>(at + 1), d, 0, to,
                           s.scale, &m, &sum, out);
            int row = head * CHUNK_PAGES + page;
            if (lane == 0) {
                highest[row] = m;
                sums[row] = sum;
            }
#pragma unroll
            for (int j = 0; j < 2; j++)
                if (lane + 32 * j < d)
                    values[row * d + lane + 32 * j] = out[j];
        }
        draw_barrier();
#pragma unroll 1
        for (int i = threadIdx.x; i < 2 * pages; i += THREADS)
            give_back<CODES>(b.item + i, ring_shape<CODES>::SHARES);
        b.item += 2 * pages;
#pragma unroll 1
        for (int i = threadIdx.x; i < group * d; i += THREADS) {
            int head = i / d, row = head * CHUNK_PAGES;
            merged all = merge_pages(highest + row, sums + row, values + row * d + i % d, d, 0, pages);
            uint64_t *to = own().p.attended[parity] +
                           static_cast<size_t>(chunk * s.n_heads + kv_head * group + head) * (d + 2);
            put_word(to + i % d, all.value, b.epoch);
            if (i % d == 0) {
                put_word(to + d, all.highest, b.epoch);
                put_word(to + d + 1, all.sum, b.epoch);
            }
        }
    }
    return b.item;
}

/* N chunks' results for dimensions dim and dim + 1. */
template <int N>
__device__ __forceinline__ void take_chunks(const uint64_t *from, int dim, int d, size_t between, uint32_t epoch,
                                            merged *x, merged *y)
{
    float v[N], w[N], m[N], sum[N];
    get_pairs<N>(from + dim, between, epoch, v, w);
    get_pairs<N>(from + d, between, epoch, m, sum);
#pragma unroll
    for (int j = 0; j < N; j++) {
        merge_into(x, {m[j], sum[j], v[j]});
        merge_into(y, {m[j], sum[j], w[j]});
    }
}

/* What this block's part of the backbone's output matrix takes: its heads, all chunks merged. */
__device__ __noinline__ void gather_heads(block b)
{
    const stack_shape &s = own().p.b;
    int d = s.head_dim, n_chunks = own().call.position / CHUNK + 1;
    const uint64_t *b_attended = own().p.attended[b.layer & 1];
    if (own().first[B_O] == own().first[B_O + 1])
        return;
    int part = own().units[own().first[B_O]].part, first = part * s.o.part_steps * STEP;
    int n = matrix::min_of(s.o.part_steps * STEP, s.n_heads * d - first);
#pragma unroll 1
    for (int i = 2 * threadIdx.x; i < n; i += 2 * THREADS) {
        int head = (first + i) / d, dim = (first + i) % d;
        merged x = {-INFINITY, 0.0f, 0.0f}, y = x;
        size_t between = static_cast<size_t>(s.n_heads) * (d + 2);
        const uint64_t *from = b_attended + static_cast<size_t>(head) * (d + 2);
        int chunk = 0;
#pragma unroll 1
        for (; chunk + 4 <= n_chunks; chunk += 4, from += 4 * between)
            take_chunks<4>(from, dim, d, between, b.epoch - 1, &x, &y);
#pragma unroll 1
        for (; chunk < n_chunks; chunk++, from += between)
            take_chunks<1>(from, dim, d, between, b.epoch - 1, &x, &y);
        store_input(1, 0, i, x.value / x.sum, y.value / y.sum);
    }
}

/* Of the depth decoder's pages, what came before the row at `position`: asked for as the layer begins, since nothing
 * needs the room before attention does. */
__device__ __noinline__ void fetch_depth_pages(int layer, int position)
{
    const stack_shape &s = own().p.d;
    const head_part part = own().heads;
    constexpr int N = piece<__half>::N;
    int d = s.head_dim, page = 2 * PAGE * d;
    __half *pages = reinterpret_cast<__half *>(own().input + PAGES_AT);
    const __half *cache = own().p.depth_pages + (layer * s.n_kv_heads + part.first_kv) * page;
#pragma unroll 1
    for (int kv = 0; kv < part.n_kv; kv++)
#pragma unroll 1
        for (int i = threadIdx.x; i < page / N; i += THREADS) { /* keys, then values */
            int slot = i < page / N / 2 ? i % PAGE : i * N / d - PAGE;
            if (slot < position)
                copy_16(shared_at(pages + kv * page + N * i), cache + kv * page + N * i);
        }
}

/* The depth decoder's attention, of the heads that this block's part takes; every block of a part makes it again.
 * Positions are few: one page. Scores come first, four lanes a position: each has one of its four sums, for which a
 * query lies by fours, dimension i at i % 4 * (d / 4 + 4) + i / 4, so that they meet in no bank. Then a warp has 32
 * dimensions of a head's values. */
template <int ROWS, int D> __device__ __noinline__ void attend_depth(block b, int layer, int position)
{
    const stack_shape &s = own().p.d;
    const head_part part = own().heads;
    if (part.n == 0)
        return;
    int d = D > 0 ? D : s.head_dim, warp = threadIdx.x / 32, lane = threadIdx.x % 32, half = d / 2;
    int by_four = d / 4 + QUERY_GAP, page_size = 2 * PAGE * d, group = part.n_heads / part.n_kv;
    __half *pages = reinterpret_cast<__half *>(own().input + PAGES_AT); /* [kv head][keys, values] */
    float *query = own().sums;                                        /* [row][head][4 * by_four] */
    float *scores = query + ROWS * part.n_heads * 4 * by_four;        /* [row][head][PAGE] */
    __half *cache = own().p.depth_pages + (layer * s.n_kv_heads + part.first_kv) * page_size;
    const uint64_t *qkv = own().p.qkv[b.layer & 1];

    /* Queries, keys, values of the rows: a thread a pair of one head's dimensions. */
    int each = (part.n_heads + 2 * part.n_kv) * half;
#pragma unroll 1
    for (int i = threadIdx.x; i < ROWS * each; i += THREADS) {
        int r = ROWS > 1 && i >= each, head = (i - r * each) / half, pair = (i - r * each) % half;
        bool is_query = head < part.n_heads, is_value = head >= part.n_heads + part.n_kv;
        int kv = head - part.n_heads - (is_value ? part.n_kv : 0), slot = position + r, at, bt;
        int row = is_query ? part.first + head * d
                           : (s.n_heads + (is_value ? s.n_kv_heads : 0) + part.first_kv + kv) * d;
        pair_at(pair, d, s.interleaved != 0 || is_value, &at, &bt);
        const uint64_t *from = qkv + r * (s.n_heads + 2 * s.n_kv_heads) * d + row;
        float x, y;
        get_both(from + at, from + bt, b.epoch - 1, &x, &y);
        if (!is_value)
            turn(own().d_angles[r][pair], &x, &y);
        if (is_query) {
            float *to = query + (r * part.n_heads + head) * 4 * by_four;
            to[at % 4 * by_four + at / 4] = x;
            to[bt % 4 * by_four + bt / 4] = y;
            continue;
        }
        at = kv * page_size + (is_value ? PAGE * d + slot * d + at : key_at<__half>(slot, at));
        bt = is_value ? at + 1 : kv * page_size + key_at<__half>(slot, bt);
        __half first = kept<__half>(x), second = kept<__half>(y);
        pages[at] = first;
        pages[bt] = second;
        if (part.writes_cache != 0) {
            cache[at] = first;
            cache[bt] = second;
        }
    }
    await_copies();
    draw_barrier();
    constexpr int SLOTS = 32 / 4; /* of a warp */
#pragma unroll 1
    for (int task = warp; task < ROWS * part.n_heads * (PAGE / SLOTS); task += WARPS) {
        int row = task / (PAGE / SLOTS), slot = task % (PAGE / SLOTS) * SLOTS + lane / 4, head = row % part.n_heads;
        if (slot - lane / 4 > position + ROWS - 1)
            continue;
        const float4 *q = reinterpret_cast<const float4 *>(query + row * 4 * by_four + lane % 4 * by_four);
        const __half *k = pages + (part.n_kv > 1 ? head / group * page_size : 0) + key_at<__half>(slot, lane % 4);
        float sum = 0.0f;
#pragma unroll 4
        for (int i = 0; i < d / 16; i++, k += 16 * PAGE) {
            float4 four = q[i];
            sum = fmaf(four.x, number(k[0]), sum);
            sum = fmaf(four.y, number(k[4]), sum);
            sum = fmaf(four.z, number(k[8 * PAGE]), sum);
            sum = fmaf(four.w, number(k[8 * PAGE + 4]), sum);
        }
        sum += __shfl_xor_sync(ALL, sum, 1); /* (s0 + s1) + (s2 + s3) */
        sum += __shfl_xor_sync(ALL, sum, 2);
        if (lane % 4 == 0)
            scores[row * PAGE + slot] = sum * s.scale;
    }
    draw_barrier();
    int stretches = (d + 31) / 32;
#pragma unroll 1
    for (int task = warp; task < ROWS * part.n_heads * stretches; task += WARPS) {
        int row = task / stretches, dim = task % stretches * 32 + lane, head = row % part.n_heads;
        int r = row / part.n_heads, to = position + r + 1;
        float sum, out, highest;
        float weight = page_weight(lane < to, lane < to ? scores[row * PAGE + lane] : 0.0f, &highest, &sum);
        const __half *v = pages + (part.n_kv > 1 ? head / group * page_size : 0) + PAGE * d;
        weigh_values<1>(weight, v, d, dim, 0, to, &out);
        float next = __shfl_down_sync(ALL, out, 1);
        if (dim < d && lane % 2 == 0)
            store_input(ROWS, r, head * d + dim, out / sum, next / sum);
    }
}

#endif

} // namespace csm_cuda
#endif
