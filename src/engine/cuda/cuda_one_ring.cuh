/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_one_ring.cuh - the warps of a block that compute nothing: copier and scout, which bring what
 * will be multiplied, and the clerk, which tells the other blocks how far this one is */
#ifndef CSM_CUDA_ONE_RING_CUH
#define CSM_CUDA_ONE_RING_CUH

#include "engine/cuda/cuda_one_block.cuh"

namespace csm_cuda {

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

/* ---- the warp that fills the ring --------------------------------------- */

/* A stage each for the first n lanes of the warp, which all call it. The scout goes the same
 * way, some stages ahead, and only has them brought to the second cache. */
template <bool CODES>
__device__ __forceinline__ uint32_t copy_stages(uint32_t item, int n, const void *from, uint32_t n_bytes,
                                                uint64_t policy)
{
    uint32_t lane = threadIdx.x % 32;
    if (threadIdx.x / 32 == SCOUT) {
        while (static_cast<int32_t>(item + n - own().issued) > SCOUT_STAGES)
            __nanosleep(100);
        if (lane < n && static_cast<int32_t>(item - own().issued) >= 0)
            asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;\n" ::"l"(from), "r"(n_bytes) : "memory");
        return item + n;
    }
    if (lane < n) {
        uint32_t stage = stage_of<CODES>(item + lane);
        await(shared_at(&own().empty[stage]), turn_of<CODES>(item + lane) ^ 1);
        copy_ahead(shared_at(in_stage<CODES, unsigned char>(item + lane)), from, n_bytes,
                   shared_at(&own().full[stage]), policy);
    }
    __syncwarp();
    if (lane == 0)
        own().issued = item + n;
    return item + n;
}

/* Not inlined: what runs in every step has to stay in the cache of instructions. */
template <bool CODES>
__device__ __noinline__ uint32_t copy_units(uint32_t item, int kind, const layer_data *layer, const uint4 *head,
                                            uint64_t policy)
{
#pragma unroll 1
    for (int u = own().first[kind]; u < own().first[kind + 1]; u++) {
        unit of = own().units[u];
        const matrix &m = shape_of(own().p, kind, of.which);
        const uint4 *tiles = kind == HEAD ? head : kind == FIRST ? m.tiles
                                                                 : tiles_of(*layer, kind, of.which);
        int first = of.part * m.part_steps, n = matrix::min_of(m.part_steps, m.n_steps - first);
        const uint4 *from = tiles + (CODES ? m.words_before(static_cast<int>(of.tile), first) / 4
                                           : (static_cast<size_t>(of.tile) * m.n_steps + first) * m.n_planes * 32);
        int each = CODES && m.bits != 0 ? SEGMENT_STEPS << own().work[kind].by_stage : SEGMENT_STEPS;
#pragma unroll 1
        for (int s = 0; s < n; s += each) {
            int steps = matrix::min_of(each, n - s);
#pragma unroll 1
            for (int plane = 0; plane < m.n_planes; plane++) {
                int pieces = CODES && m.bits != 0 ? steps / STEPS_PADDED * (m.words_of_four() / 4) : steps * 32;
                item = copy_stages<CODES>(item, 1, from, static_cast<uint32_t>(pieces) * 16, policy);
                from += pieces;
            }
        }
    }
    return item;
}

/* Pages of the backbone's keys and values: units are (chunk, key head), one after the other. */
template <bool CODES>
__device__ __noinline__ uint32_t copy_pages(uint32_t item, int layer, uint64_t policy)
{
    const stack_shape &s = own().p.b;
    int lane = threadIdx.x % 32;
    int n_pages = own().call.position / PAGE + 1, n_chunks = own().call.position / CHUNK + 1;
    uint32_t half = static_cast<uint32_t>(PAGE * s.head_dim) * 2;
#pragma unroll 1
    for (int u = blockIdx.x; u < n_chunks * s.n_kv_heads; u += own().p.n_blocks) {
        int first = u / s.n_kv_heads * CHUNK_PAGES, n = matrix::min_of(CHUNK_PAGES, n_pages - first);
        const char *from = nullptr;
        if (lane < 2 * n)
            from = reinterpret_cast<const char *>(own().lane.pages[first + lane / 2]) +
                   static_cast<size_t>((layer * s.n_kv_heads + u % s.n_kv_heads) * 2 + lane % 2) * half;
        item = copy_stages<CODES>(item, 2 * n, from, half, policy);
    }
    return item;
}

/* Of the copier and the scout. */
template <bool CODES> __device__ __noinline__ void copier()
{
    uint64_t policy;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;\n" : "=l"(policy));
    const one_program &p = own().p;
    uint32_t item = 0;
    int n_fed = own().call.is_fed ? p.b.n_layers : 0, n = n_fed + (p.n_codebooks - 1) * p.d.n_layers;
    for (int i = 0; i <= n; i++) {
        int step = i < n_fed ? -1 : (i - n_fed) / p.d.n_layers; /* depth steps before this layer */
        bool begins = i >= n_fed && (i - n_fed) % p.d.n_layers == 0;
        if (begins) /* the head of what came before */
            item = copy_units<CODES>(item, step == 0 ? FIRST : HEAD, nullptr, step == 0 ? nullptr : p.heads[step - 1],
                              policy);
        if (i == n)
            break;
        const layer_data *layer = &p.layers[step >= 0][step < 0 ? i : (i - n_fed) % p.d.n_layers];
        for (int kind = B_QKV; kind <= B_DOWN; kind++) {
            item = copy_units<CODES>(item, (step < 0 ? B_QKV : D_QKV) + kind, layer, nullptr, policy);
            if (step < 0 && kind == B_QKV)
                item = copy_pages<CODES>(item, i, policy);
        }
    }
}

/* ---- how far a block is ------------------------------------------------- */

/* Compute warps have begun a layer: they have read all that the one before it gave. The
 * clerk waits for them, they do not wait for it. */
__device__ __forceinline__ void begin_layer(block &b)
{
    b.layer++;
    asm volatile("bar.arrive 2, %0;\n" ::"n"(THREADS + 32) : "memory");
}

__device__ __noinline__ void clerk(block b)
{
    const one_program &p = own().p;
    int lane = threadIdx.x % 32, n = (own().call.is_fed ? p.b.n_layers : 0) + (p.n_codebooks - 1) * p.d.n_layers;
    for (int i = 0; i < n; i++) {
        asm volatile("bar.sync 2, %0;\n" ::"n"(THREADS + 32) : "memory");
        b.layer++;
        if (lane == 0)
            asm volatile("fence.acq_rel.gpu;\nst.relaxed.gpu.global.u32 [%0], %1;\n" ::"l"(
                             p.told + blockIdx.x),
                         "r"(b.layer)
                         : "memory");
#pragma unroll 1
        for (int other = lane; other < p.n_blocks; other += 32) {
            uint32_t told;
            do {
                asm volatile("ld.acquire.gpu.global.u32 %0, [%1];\n" : "=r"(told) : "l"(p.told + other) : "memory");
            } while (static_cast<int32_t>(told - b.layer) < 0);
        }
        asm volatile("bar.arrive 3, %0;\n" ::"n"(THREADS + 32) : "memory");
    }
}

/* A barrier of the compute warps that all blocks have begun this layer before. */
__device__ __forceinline__ void await_all()
{
    asm volatile("bar.sync 3, %0;\n" ::"n"(THREADS + 32) : "memory");
}

#endif

} // namespace csm_cuda
#endif
