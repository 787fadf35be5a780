/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_one.cu - a whole frame of one lane in one launch: the backbone's step, then head,
 * draw and depth decoder of each codebook, one block on each multiprocessor for all of it.
 *
 * A frame reads every weight once, the depth decoder's for each codebook: so memory sets
 * the pace, if it never waits for the steps between. Two things keep it going:
 *
 *   ring     one warp of a block copies the segments that the block will multiply, in
 *            order, as far ahead as shared memory holds, across all steps
 *   words    a step's results are words of value and number of the step, written to where
 *            all blocks can read; who needs one waits for its number. No barrier of all
 *            blocks, no second look for data
 *
 * A block may be at most one layer ahead of another: with each layer it tells how far it
 * is, and waits for all before it writes over what they may still have to read. What it
 * tells is also what makes keys and values, which one block writes, seen by the others.
 *
 * The residual row is in every block: thread t has columns 2 t and 2 t + 1, those + 1024. Sums are those of cuda_sums.cuh, bit for bit. */
#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/cuda/cuda_draw.cuh"
#include "engine/cuda/cuda_one.h"
#include "engine/cuda/cuda_view.cuh"

namespace csm_cuda {

enum {
    WARPS = DRAW_WARPS,       /* that compute */
    COPIER = WARPS,           /* the warp that fills the ring */
    CLERK = WARPS + 1,        /* the warp that tells how far the block is */
    THREADS = DRAW_THREADS,
    ALL_THREADS = THREADS + 64,
    STAGE_BYTES = SEGMENT_STEPS * STEP_WORDS * 4,
    MOST_ROWS = 2,            /* positions 0 and 1 of the depth decoder come together */
    PAIRS = 2,                /* pairs of columns of a thread */
    MOST_WIDTH = PAIRS * 2 * THREADS,
    INPUT_BYTES = 36 * 1024,  /* planes of a part; or, in attention, pages and queries */
    PAGES_AT = 4 * 1024,      /* where in it pages are */
    MOST_LAYERS = 32,
    MOST_HEAD = 128,          /* dimensions of a head of the depth decoder */
    MOST_UNITS = 192,         /* of a block, all kinds */
    SUMS_BYTES = 8 * 1024,    /* of segments: [item][TILE][rows]; or, in attention, queries */
    STAGES = 20,              /* of the ring */
    CHUNK = PAGE * CHUNK_PAGES
};

enum kind { B_QKV, B_O, B_UP, B_DOWN, D_QKV, D_O, D_UP, D_DOWN, FIRST, HEAD, KINDS };

/* A tile's part, which one block multiplies. */
struct unit {
    uint16_t which; /* matrix of the kind */
    uint16_t part;
    uint32_t tile;
};

/* What is alike in all layers of a stack. */
struct stack_shape {
    int n_layers, width, hidden, n_heads, n_kv_heads, head_dim;
    int interleaved;
    float scale;
    matrix qkv[3], o, up, down; /* shapes; tiles are the layer's */
    const float *frequencies;
    float eps;
};

struct layer_data {
    const uint4 *q, *k, *v, *o, *gate, *up, *down;
    const float *attention_norm, *mlp_norm;
};

struct one_program {
    stack_shape b, d;
    layer_data layers[2][MOST_LAYERS];
    const float *b_norm, *d_norm;
    float b_eps, d_eps;
    matrix first_head, projector, head;
    const uint4 *heads[MOST_CODEBOOKS];
    weight_view table;
    const float *projected;
    int n_codebooks, vocab;
    int n_blocks;
    /* Units of block b and kind k: units[b * MOST_UNITS + first[k]] .. first[k + 1]. */
    const unit *units;
    const int *first; /* [n_blocks][KINDS + 1] */
    const int *writes_cache; /* [n_blocks] */
    float *depth_pages; /* one page: [layer][kv head][keys, values] */
    /* Words: */
    uint64_t *qkv[2], *attended[2], *o, *h, *down, *logits, *projected_hidden;
    uint32_t *told; /* [n_blocks]: layers begun */
};

struct one_call {
    const lane_frame *lane;
    int is_fed, position;
    uint32_t epoch; /* number before the first step's */
    uint32_t layer; /* layers told before */
    int32_t *codes;
    float *logits;
};

/* A block's shared memory. What a step looks up lies here, and what changes is in registers:
 * nothing of a thread's may go to local memory, which the ring leaves no cache for. */
struct block_memory {
    one_program p;
    one_call call;
    int first[KINDS + 1];
    unit units[MOST_UNITS];
    draw_room room;
    float chunks[MOST_ROWS][32]; /* of row sums */
    angles b_angles[STAGE_BYTES / 4 / PAGE / 2], d_angles[MOST_ROWS][MOST_HEAD / 2]; /* of the positions at work */
    volatile uint32_t issued;    /* stages that are or will be filled */
    uint64_t full[STAGES], empty[STAGES];
    alignas(128) unsigned char input[INPUT_BYTES];
    alignas(128) float sums[SUMS_BYTES / 4];
    alignas(128) float x[MOST_WIDTH]; /* the residual rows; a thread's columns are its own matter */
    alignas(128) unsigned char ring[STAGES][STAGE_BYTES];
};

static_assert(sizeof(block_memory) <= 227 * 1024, "what a block of compute capability 9.0 has");

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

/* ---- words and copies --------------------------------------------------- */

__device__ __forceinline__ void put_word(uint64_t *to, float v, uint32_t epoch)
{
    uint64_t word = static_cast<uint64_t>(epoch) << 32 | __float_as_uint(v);
    asm volatile("st.relaxed.gpu.global.b64 [%0], %1;\n" ::"l"(to), "l"(word) : "memory");
}

/* N pairs of neighbours, `between` words apart; all asked for before the first is looked at. */
template <int N>
__device__ __forceinline__ void get_pairs(const uint64_t *from, size_t between, uint32_t epoch, float (&a)[N],
                                          float (&b)[N])
{
    uint64_t word[N][2];
    uint32_t late;
    do {
        late = 0;
#pragma unroll
        for (int i = 0; i < N; i++)
            asm volatile("ld.relaxed.gpu.global.v2.b64 {%0, %1}, [%2];\n"
                         : "=l"(word[i][0]), "=l"(word[i][1])
                         : "l"(from + i * between)
                         : "memory");
#pragma unroll
        for (int i = 0; i < N; i++)
            late |= (static_cast<uint32_t>(word[i][0] >> 32) ^ epoch) | (static_cast<uint32_t>(word[i][1] >> 32) ^ epoch);
    } while (late != 0);
#pragma unroll
    for (int i = 0; i < N; i++) {
        a[i] = __uint_as_float(static_cast<uint32_t>(word[i][0]));
        b[i] = __uint_as_float(static_cast<uint32_t>(word[i][1]));
    }
}

__device__ __forceinline__ void get_both(const uint64_t *a, const uint64_t *b, uint32_t epoch, float *x, float *y)
{
    uint64_t v, w;
    do {
        asm volatile("ld.relaxed.gpu.global.b64 %0, [%1];\n" : "=l"(v) : "l"(a) : "memory");
        asm volatile("ld.relaxed.gpu.global.b64 %0, [%1];\n" : "=l"(w) : "l"(b) : "memory");
    } while (static_cast<uint32_t>(v >> 32) != epoch || static_cast<uint32_t>(w >> 32) != epoch);
    *x = __uint_as_float(static_cast<uint32_t>(v));
    *y = __uint_as_float(static_cast<uint32_t>(w));
}

__device__ __forceinline__ uint32_t shared_at(const void *p)
{
    return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

__device__ __forceinline__ void await(uint32_t barrier, uint32_t parity)
{
    uint32_t done;
    do {
        asm volatile("{\n .reg .pred p;\n"
                     " mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
                     " selp.u32 %0, 1, 0, p;\n}\n"
                     : "=r"(done)
                     : "r"(barrier), "r"(parity)
                     : "memory");
    } while (done == 0);
}

__device__ __forceinline__ void arrive(uint32_t barrier)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];\n" ::"r"(barrier) : "memory");
}

__device__ __forceinline__ void copy_ahead(uint32_t to, const void *from, uint32_t n_bytes,
                                           uint32_t barrier, uint64_t policy)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(barrier), "r"(n_bytes)
                 : "memory");
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
                 "[%0], [%1], %2, [%3], %4;\n" ::"r"(to),
                 "l"(from), "r"(n_bytes), "r"(barrier), "l"(policy)
                 : "memory");
}

/* ---- a block ------------------------------------------------------------ */

extern __shared__ __align__(128) unsigned char arena[];

__device__ __forceinline__ block_memory &own()
{
    return *reinterpret_cast<block_memory *>(arena);
}

/* Where a warp is. */
struct block {
    uint32_t item;  /* stages used before this step */
    uint32_t epoch; /* of this step */
    uint32_t layer; /* layers begun, over all frames */
};

__device__ __forceinline__ uint32_t stage_of(uint32_t item)
{
    return item % STAGES;
}

__device__ __forceinline__ uint32_t turn_of(uint32_t item)
{
    return item / STAGES & 1;
}

/* Until a stage is filled. A barrier tells one turn of its stage from the next, not from the
 * one after: so first until the copy has been asked for. */
__device__ __forceinline__ void await_item(uint32_t item)
{
    while (static_cast<int32_t>(own().issued - item) <= 0)
        continue;
    await(shared_at(&own().full[stage_of(item)]), turn_of(item));
}

__device__ __forceinline__ const uint4 *tiles_of(const layer_data &l, int kind, int which)
{
    switch (kind % 4) {
    case B_QKV:
        return which == 0 ? l.q : which == 1 ? l.k : l.v;
    case B_O:
        return l.o;
    case B_UP:
        return which == 0 ? l.gate : l.up;
    default:
        return l.down;
    }
}

__device__ __forceinline__ const matrix &shape_of(const one_program &p, int kind, int which)
{
    if (kind == FIRST)
        return which == 0 ? p.first_head : p.projector;
    if (kind == HEAD)
        return p.head;
    const stack_shape &s = kind < D_QKV ? p.b : p.d;
    switch (kind % 4) {
    case B_QKV:
        return s.qkv[which];
    case B_O:
        return s.o;
    case B_UP:
        return s.up;
    default:
        return s.down;
    }
}

/* ---- the warp that fills the ring --------------------------------------- */

/* A stage each for the first n lanes of the warp, which all call it. */
__device__ __forceinline__ uint32_t copy_stages(uint32_t item, int n, const void *from, uint32_t n_bytes,
                                                uint64_t policy)
{
    uint32_t lane = threadIdx.x % 32;
    if (lane < n) {
        uint32_t stage = stage_of(item + lane);
        await(shared_at(&own().empty[stage]), turn_of(item + lane) ^ 1);
        copy_ahead(shared_at(own().ring[stage]), from, n_bytes, shared_at(&own().full[stage]), policy);
    }
    __syncwarp();
    if (lane == 0)
        own().issued = item + n;
    return item + n;
}

/* Not inlined: what runs in every step has to stay in the cache of instructions. */
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
        const uint4 *from = tiles + (static_cast<size_t>(of.tile) * m.n_steps + first) * m.n_planes * 32;
#pragma unroll 1
        for (int s = 0; s < n; s += SEGMENT_STEPS) {
            int steps = matrix::min_of(SEGMENT_STEPS, n - s);
#pragma unroll 1
            for (int plane = 0; plane < m.n_planes; plane++) {
                item = copy_stages(item, 1, from, static_cast<uint32_t>(steps) * STEP_WORDS * 4, policy);
                from += steps * 32;
            }
        }
    }
    return item;
}

/* Pages of the backbone's keys and values: units are (chunk, key head), one after the other. */
__device__ __noinline__ uint32_t copy_pages(uint32_t item, int layer, uint64_t policy)
{
    const stack_shape &s = own().p.b;
    int lane = threadIdx.x % 32;
    int n_pages = own().call.position / PAGE + 1, n_chunks = own().call.position / CHUNK + 1;
    uint32_t half = static_cast<uint32_t>(PAGE * padded_head(s.head_dim) * 4);
#pragma unroll 1
    for (int u = blockIdx.x; u < n_chunks * s.n_kv_heads; u += own().p.n_blocks) {
        int first = u / s.n_kv_heads * CHUNK_PAGES, n = matrix::min_of(CHUNK_PAGES, n_pages - first);
        const char *from = nullptr;
        if (lane < 2 * n)
            from = reinterpret_cast<const char *>(own().call.lane->pages[first + lane / 2]) +
                   static_cast<size_t>((layer * s.n_kv_heads + u % s.n_kv_heads) * 2 + lane % 2) * half;
        item = copy_stages(item, 2 * n, from, half, policy);
    }
    return item;
}

__device__ __noinline__ void copier()
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
            item = copy_units(item, step == 0 ? FIRST : HEAD, nullptr, step == 0 ? nullptr : p.heads[step - 1],
                              policy);
        if (i == n)
            break;
        const layer_data *layer = &p.layers[step >= 0][step < 0 ? i : (i - n_fed) % p.d.n_layers];
        for (int kind = B_QKV; kind <= B_DOWN; kind++) {
            item = copy_units(item, (step < 0 ? B_QKV : D_QKV) + kind, layer, nullptr, policy);
            if (step < 0 && kind == B_QKV)
                item = copy_pages(item, i, policy);
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
    int n = (own().call.is_fed ? p.b.n_layers : 0) + (p.n_codebooks - 1) * p.d.n_layers;
    for (int i = 0; i < n; i++) {
        asm volatile("bar.sync 2, %0;\n" ::"n"(THREADS + 32) : "memory");
        b.layer++;
        if (threadIdx.x % 32 == 0)
            asm volatile("fence.acq_rel.gpu;\nst.relaxed.gpu.global.u32 [%0], %1;\n" ::"l"(
                             p.told + blockIdx.x),
                         "r"(b.layer)
                         : "memory");
    }
}

/* All blocks have begun this layer. A barrier of the block follows. */
__device__ __forceinline__ void await_all(const block &b)
{
#pragma unroll 1
    for (int i = threadIdx.x; i < own().p.n_blocks; i += THREADS) {
        uint32_t told;
        do {
            asm volatile("ld.acquire.gpu.global.u32 %0, [%1];\n" : "=r"(told) : "l"(own().p.told + i) : "memory");
        } while (static_cast<int32_t>(told - b.layer) < 0);
    }
}

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

/* All units of a kind: segments' sums, of ROWS rows, into `sums`. Gives the next item. */
template <int ROWS> __device__ __noinline__ uint32_t multiply(uint32_t first_item, int kind)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, t = lane % 4;
    bool has_column = lane / 4 < 2 * ROWS;
    int item = 0, n_stages = 0; /* of the kind, so far */
    const uint4 *x = reinterpret_cast<const uint4 *>(own().input) + lane;
#pragma unroll 1
    for (int u = own().first[kind]; u < own().first[kind + 1]; u++) {
        unit of = own().units[u];
        const matrix &m = shape_of(own().p, kind, of.which);
        int n_planes = m.n_planes, left = matrix::min_of(m.part_steps, m.n_steps - of.part * m.part_steps);
#pragma unroll 1
        for (int s = 0; s < left; s += SEGMENT_STEPS, item++, n_stages += n_planes) {
            if (item % WARPS != warp)
                continue;
            int steps = matrix::min_of(SEGMENT_STEPS, left - s);
            float c[4] = {};
#pragma unroll 1
            for (int plane = 0; plane < n_planes; plane++) {
                uint32_t at = first_item + n_stages + plane, stage = stage_of(at);
                await_item(at);
                const uint4 *a = reinterpret_cast<const uint4 *>(own().ring[stage]) + lane;
                const uint4 *xs = x + s / 2 * (8 * ROWS);
#pragma unroll 1
                for (int i = 0; i < steps; i += STEPS_PADDED, a += STEPS_PADDED * 32, xs += 16 * ROWS) {
                    uint4 w0 = a[0], w1 = a[32], w2 = a[64], w3 = a[96], v = make_uint4(0, 0, 0, 0), w = v;
                    if (has_column) {
                        v = xs[0];
                        w = xs[8 * ROWS];
                    }
                    mma(c, w0, v.x, v.y);
                    mma(c, w1, v.z, v.w);
                    mma(c, w2, w.x, w.y);
                    mma(c, w3, w.z, w.w);
                }
                __syncwarp();
                if (lane == 0)
                    arrive(shared_at(&own().empty[stage]));
            }
            if (t < ROWS) {
                float *to = own().sums + (item * TILE + lane / 4) * ROWS + t;
                to[0] = c[0] + c[1];
                to[8 * ROWS] = c[2] + c[3];
            }
        }
    }
    draw_barrier();
    return first_item + n_stages;
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

/* Results of a kind's units, as words: to[(part * ROWS + n) * ld + first row + row]. */
template <int ROWS>
__device__ __noinline__ void give(uint32_t epoch, int kind, uint64_t *to, int ld, int row1, int row2)
{
    int n_units = own().first[kind + 1] - own().first[kind];
#pragma unroll 1
    for (int i = threadIdx.x; i < n_units * TILE * ROWS; i += THREADS) {
        int u = i / (TILE * ROWS), row = i / ROWS % TILE, n = i % ROWS;
        int first = 0;
#pragma unroll 1
        for (int before = 0; before < u; before++) {
            unit of = own().units[own().first[kind] + before];
            first += shape_of(own().p, kind, of.which).part_segments(of.part);
        }
        unit of = own().units[own().first[kind] + u];
        const matrix &m = shape_of(own().p, kind, of.which);
        float v = unit_sum<ROWS>(first, m.part_segments(of.part), row, n);
        int at = static_cast<int>(of.tile) * TILE + row;
        if (at >= m.rows)
            continue;
        if (kind == FIRST && of.which == 1) {
            put_word(own().p.projected_hidden + at, v, epoch);
            continue;
        }
        at += of.which == 0 ? 0 : of.which == 1 ? row1 : row2;
        put_word(to + static_cast<size_t>(of.part * ROWS + n) * ld + at, v, epoch);
    }
}

/* Units come in pairs, gate and up. */
template <int ROWS> __device__ __noinline__ void give_gated(uint32_t epoch, int kind)
{
    int n_pairs = (own().first[kind + 1] - own().first[kind]) / 2;
    const matrix &m = shape_of(own().p, kind, 0);
    int n_segments = m.part_segments(0);
#pragma unroll 1
    for (int i = threadIdx.x; i < n_pairs * TILE * ROWS; i += THREADS) {
        int u = i / (TILE * ROWS), row = i / ROWS % TILE, n = i % ROWS;
        float gate = unit_sum<ROWS>(2 * u * n_segments, n_segments, row, n);
        float up = unit_sum<ROWS>((2 * u + 1) * n_segments, n_segments, row, n);
        int at = static_cast<int>(own().units[own().first[kind] + 2 * u].tile) * TILE + row;
        if (at < m.rows)
            put_word(own().p.h + static_cast<size_t>(n) * m.rows + at, silu(gate) * up, epoch);
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

__device__ __forceinline__ void await_ahead()
{
    asm volatile("cp.async.wait_all;\n" ::: "memory");
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

/* ---- attention ---------------------------------------------------------- */

/* attend_page over a page in shared memory, for dimensions dim and dim + 1 of this lane. */
__device__ __forceinline__ void attend_shared(const float *query, const float *keys, const float *values,
                                              int head_dim, int to, float scale, int dim, float *highest,
                                              float *sum, float2 *out)
{
    int lane = threadIdx.x % 32;
    float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    const float4 *k4 = reinterpret_cast<const float4 *>(keys) + lane;
    const float4 *q4 = reinterpret_cast<const float4 *>(query);
    bool is_in = lane < to;
    if (is_in) {
#pragma unroll 1
        for (int i = 0; i < head_dim / 4; i += 4, k4 += 4 * PAGE, q4 += 4)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                float4 k = k4[e * PAGE], q = q4[e];
                s0 = fmaf(q.x, k.x, s0);
                s1 = fmaf(q.y, k.y, s1);
                s2 = fmaf(q.z, k.z, s2);
                s3 = fmaf(q.w, k.w, s3);
            }
    }
    float score = is_in ? ((s0 + s1) + (s2 + s3)) * scale : -INFINITY;
    *highest = fold_max(score);
    float weight = is_in ? exp2f((score - *highest) * LOG2E) : 0.0f;
    *sum = fold(weight);
    float2 o = make_float2(0.0f, 0.0f);
    bool has_dim = dim < head_dim;
#pragma unroll 2
    for (int p = 0; p < to; p++) {
        float w = __shfl_sync(ALL, weight, p);
        if (has_dim) {
            float2 v = *reinterpret_cast<const float2 *>(values + p * head_dim + dim);
            o.x = fmaf(w, v.x, o.x);
            o.y = fmaf(w, v.y, o.y);
        }
    }
    *out = o;
}

/* The backbone's chunks: results of a chunk and head as words, [chunk][head][head_dim + 2]. */
__device__ __noinline__ uint32_t attend_chunks(block b, int layer)
{
    const stack_shape &s = own().p.b;
    int d = s.head_dim, group = s.n_heads / s.n_kv_heads, position = own().call.position;
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
            uint32_t at = b.item + 2 * (pages - 1), k_stage = stage_of(at), v_stage = stage_of(at + 1);
            await_item(at);
            await_item(at + 1);
            float *keys = reinterpret_cast<float *>(own().ring[k_stage]);
            float *vals = reinterpret_cast<float *>(own().ring[v_stage]);
            int slot = position % PAGE;
            float *page = own().call.lane->pages[position / PAGE] +
                          static_cast<size_t>(layer * s.n_kv_heads + kv_head) * 2 * PAGE * padded_head(d);
#pragma unroll 1
            for (int i = threadIdx.x; i < d; i += THREADS) {
                keys[key_at(slot, i)] = page[key_at(slot, i)] = fresh[i];
                vals[slot * d + i] = page[PAGE * padded_head(d) + slot * d + i] = fresh[d + i];
            }
            asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
            draw_barrier();
        }
#pragma unroll 1
        for (int task = warp; task < pages * group; task += WARPS) {
            int page = task / group, head = task % group;
            uint32_t at = b.item + 2 * page, k_stage = stage_of(at), v_stage = stage_of(at + 1);
            await_item(at);
            await_item(at + 1);
            int to = is_last && page == pages - 1 ? position % PAGE + 1 : PAGE;
            float m, sum;
            float2 o;
            attend_shared(query + head * d, reinterpret_cast<float *>(own().ring[k_stage]),
                          reinterpret_cast<float *>(own().ring[v_stage]), d, to, s.scale,
                          2 * lane, &m, &sum, &o);
            int row = head * CHUNK_PAGES + page;
            if (lane == 0) {
                highest[row] = m;
                sums[row] = sum;
            }
            if (2 * lane < d)
                *reinterpret_cast<float2 *>(values + row * d + 2 * lane) = o;
        }
        draw_barrier();
#pragma unroll 1
        for (int i = threadIdx.x; i < 2 * pages; i += THREADS)
            arrive(shared_at(&own().empty[stage_of(b.item + i)]));
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

/* The depth decoder's attention, of the heads that this block's part takes; every block of a
 * part makes it again. Positions are few: one page, which is brought here. */
template <int ROWS> __device__ __noinline__ void attend_depth(block b, int layer, int position)
{
    const stack_shape &s = own().p.d;
    if (own().first[D_O] == own().first[D_O + 1])
        return;
    int d = s.head_dim, group = s.n_heads / s.n_kv_heads, parity = b.layer & 1;
    int part = own().units[own().first[D_O]].part, first = part * s.o.part_steps * STEP;
    int n = matrix::min_of(s.o.part_steps * STEP, s.n_heads * d - first);
    int first_kv = first / (group * d), n_kv = n / (group * d);
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float *pages = reinterpret_cast<float *>(own().input + PAGES_AT); /* [kv head][keys, values] */
    float *query = own().sums;                                        /* [row][n] */
    size_t page_floats = static_cast<size_t>(2) * PAGE * d;
    float *cache = own().p.depth_pages + (static_cast<size_t>(layer) * s.n_kv_heads + first_kv) * page_floats;
    const uint64_t *qkv = own().p.qkv[parity];
    int ld = (s.n_heads + 2 * s.n_kv_heads) * d;

    /* What came before these rows. */
    uint32_t half = static_cast<uint32_t>(d) / 2, by_half = 65536 / half + 1, by_quads = 65536 / (half / 2) + 1;
#pragma unroll 1
    for (int kv = 0; kv < n_kv; kv++)
#pragma unroll 1
        for (uint32_t i = threadIdx.x; i < PAGE * half; i += THREADS) {
            bool is_value = i >= PAGE * half / 2;
            uint32_t slot = is_value ? (i - PAGE * half / 2) * by_quads >> 16 : i % PAGE;
            size_t at = kv * page_floats + 4 * i;
            if (slot < position)
                asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\n" ::"r"(shared_at(pages + at)),
                             "l"(cache + at)
                             : "memory");
        }
    /* Queries, keys, values of the rows: a thread a pair of one head's dimensions. */
    uint32_t n_heads = n * by_half >> 17, each = (n_heads + 2 * n_kv) * half;
#pragma unroll 1
    for (int r = 0; r < ROWS; r++)
#pragma unroll 1
        for (uint32_t i = threadIdx.x; i < each; i += THREADS) {
            uint32_t head = i * by_half >> 16, pair = i - head * half;
            bool is_query = head < n_heads, is_value = head >= n_heads + n_kv;
            int kv = head - n_heads - (is_value ? n_kv : 0), slot = position + r, at, bt;
            const uint64_t *row = qkv + r * ld + (is_query ? first + head * d
                                                  : (s.n_heads + (is_value ? s.n_kv_heads : 0) + first_kv + kv) * d);
            pair_at(pair, d, s.interleaved != 0 || is_value, &at, &bt);
            float x, y;
            get_both(row + at, row + bt, b.epoch - 1, &x, &y);
            if (!is_value)
                turn(own().d_angles[r][pair], &x, &y);
            if (is_query) {
                query[r * n + head * d + at] = x;
                query[r * n + head * d + bt] = y;
                continue;
            }
            at = is_value ? PAGE * d + slot * d + at : key_at(slot, at);
            bt = is_value ? at + 1 : key_at(slot, bt);
            float *page = pages + kv * page_floats, *kept = cache + kv * page_floats;
            page[at] = x;
            page[bt] = y;
            if (own().p.writes_cache[blockIdx.x] != 0) {
                kept[at] = x;
                kept[bt] = y;
            }
        }
    await_ahead();
    draw_barrier();
    int two = d > 64; /* stretches of 64 dimensions: one or two */
#pragma unroll 1
    for (int r = 0; r < ROWS; r++)
#pragma unroll 1
        for (int task = warp; task < n_heads << two; task += WARPS) {
            int dim = (task & two) * 64 + 2 * lane, head = task >> two;
            const float *page = pages + (n_kv == 1 ? 0 : head / group) * page_floats;
            float m, sum;
            float2 o;
            attend_shared(query + r * n + head * d, page, page + PAGE * d, d, position + r + 1, s.scale, dim, &m,
                          &sum, &o);
            if (dim < d)
                store_input(ROWS, r, head * d + dim, o.x / sum, o.y / sum);
        }
}

/* ---- layers ------------------------------------------------------------- */

/* A part of what gate and up gave, as the input. */
template <int ROWS> __device__ __noinline__ void gather_hidden(uint32_t epoch, int kind)
{
    if (own().first[kind] == own().first[kind + 1])
        return;
    const stack_shape &s = kind < D_QKV ? own().p.b : own().p.d;
    int part = own().units[own().first[kind]].part, first = part * s.down.part_steps * STEP;
    int n = matrix::min_of(s.down.part_steps * STEP, s.hidden - first);
    constexpr int EACH = 2, STRIDE = 2 * THREADS;
#pragma unroll 1
    for (int r = 0; r < ROWS; r++) {
        const uint64_t *from = own().p.h + static_cast<size_t>(r) * s.hidden + first;
        int i = 2 * threadIdx.x;
#pragma unroll 1
        for (; i + (EACH - 1) * STRIDE < n; i += EACH * STRIDE) {
            float x[EACH], y[EACH];
            get_pairs<EACH>(from + i, STRIDE, epoch - 1, x, y);
#pragma unroll
            for (int j = 0; j < EACH; j++)
                store_input(ROWS, r, i + j * STRIDE, x[j], y[j]);
        }
#pragma unroll 1
        for (; i < n; i += STRIDE) {
            float x[1], y[1];
            get_pairs<1>(from + i, 0, epoch - 1, x, y);
            store_input(ROWS, r, i, x[0], y[0]);
        }
    }
}

/* n_parts: of the layer before, to be added first. */
template <int ROWS, bool IS_DEPTH>
__device__ __noinline__ uint32_t run_layer(block b, int layer, bool has_parts, int position)
{
    const one_program &p = own().p;
    const stack_shape &s = IS_DEPTH ? p.d : p.b;
    const layer_data &l = p.layers[IS_DEPTH][layer];
    constexpr int BASE = IS_DEPTH ? D_QKV : B_QKV;
    int q_rows = s.n_heads * s.head_dim, kv_rows = s.n_kv_heads * s.head_dim;

    if (has_parts)
        add_words<ROWS>(p.down, s.down.n_parts(), s.width, b.epoch);
    b.epoch++;
    norm_input<ROWS>(s.width, l.attention_norm, s.eps, 0, nullptr);
    begin_layer(b);
    b.item = multiply<ROWS>(b.item, BASE + B_QKV);
    give<ROWS>(b.epoch, BASE + B_QKV, p.qkv[b.layer & 1], q_rows + 2 * kv_rows, q_rows, q_rows + kv_rows);

    b.epoch++;
    if (IS_DEPTH) {
        draw_barrier(); /* queries lie where sums were */
        attend_depth<ROWS>(b, layer, position);
    } else {
        b.item = attend_chunks(b, layer);
        b.epoch++;
        draw_barrier();
        gather_heads(b);
    }
    await_all(b);
    draw_barrier();
    b.item = multiply<ROWS>(b.item, BASE + B_O);
    give<ROWS>(b.epoch, BASE + B_O, p.o, s.width, 0, 0);

    add_words<ROWS>(p.o, s.o.n_parts(), s.width, b.epoch);
    b.epoch++;
    norm_input<ROWS>(s.width, l.mlp_norm, s.eps, 0, nullptr);
    b.item = multiply<ROWS>(b.item, BASE + B_UP);
    give_gated<ROWS>(b.epoch, BASE + B_UP);

    b.epoch++;
    gather_hidden<ROWS>(b.epoch, BASE + B_DOWN);
    draw_barrier();
    b.item = multiply<ROWS>(b.item, BASE + B_DOWN);
    give<ROWS>(b.epoch, BASE + B_DOWN, p.down, s.width, 0, 0);
    return b.item;
}

/* This thread's logits. */
__device__ __forceinline__ void get_row(const uint64_t *words, int vocab, uint32_t epoch, float (&row)[MOST_EACH])
{
    uint64_t word[MOST_EACH];
    bool is_here;
    do {
        is_here = true;
#pragma unroll
        for (int j = 0; j < MOST_EACH; j++) {
            int i = threadIdx.x + j * THREADS;
            if (i < vocab)
                asm volatile("ld.relaxed.gpu.global.b64 %0, [%1];\n" : "=l"(word[j]) : "l"(words + i) : "memory");
        }
#pragma unroll
        for (int j = 0; j < MOST_EACH; j++)
            if (static_cast<int>(threadIdx.x) + j * THREADS < vocab) {
                is_here &= static_cast<uint32_t>(word[j] >> 32) == epoch;
                row[j] = __uint_as_float(static_cast<uint32_t>(word[j]));
            }
    } while (!is_here);
}

/* The codebook's draw, made by every block from the words of its logits. */
__device__ __noinline__ int draw_words(uint32_t epoch, int k)
{
    const one_program &p = own().p;
    const lane_frame &lane = *own().call.lane;
    float *kept = own().call.logits + static_cast<size_t>(k) * p.vocab;
    bool is_first = blockIdx.x == 0;
    float row_of[MOST_EACH];
    get_row(p.logits, p.vocab, epoch, row_of);
    int code = draw_code(
        own().room, *reinterpret_cast<draw_rows *>(own().input), /* the head is done with it */
        [&](int j, int i) {
            if (is_first)
                kept[i] = row_of[j];
            return row_of[j];
        },
        p.vocab, how_of(lane, k, p.vocab));
    if (is_first && threadIdx.x == 0)
        own().call.codes[k] = code;
    int known = lane.known[k];
    return known >= 0 ? known : code;
}

/* The same, and the depth decoder's next rows into x. */
__device__ __noinline__ void draw(uint32_t epoch, int k)
{
    const one_program &p = own().p;
    int code = draw_words(epoch, k);
    if (k + 1 == p.n_codebooks)
        return;
    const float *from = p.projected + (static_cast<size_t>(k) * p.vocab + code) * p.d.width;
#pragma unroll
    for (int i = 0; i < PAIRS; i++) {
        int c = column_of(i);
        if (c >= p.d.width)
            continue;
        float2 *x = reinterpret_cast<float2 *>(own().x + c);
        float2 v = __ldg(reinterpret_cast<const float2 *>(from + c));
        if (k > 0) {
            *x = v;
            continue;
        }
        float a[1], w[1]; /* position 0 is the hidden row's */
        get_pairs<1>(p.projected_hidden + c, 0, epoch, a, w);
        *x = make_float2(a[0], w[0]);
        x[p.d.width / 2] = v;
    }
}

/* The frame before as the backbone's next row. */
__device__ __noinline__ void feed()
{
    const one_program &p = own().p;
#pragma unroll 1
    for (int c = 2 * threadIdx.x; c < p.b.width; c += 2 * THREADS) {
        float2 sum = make_float2(0, 0);
#pragma unroll 1
        for (int j = 0; j < p.n_codebooks; j++) {
            int row = own().call.lane->feed[j];
            float u = weight_value(p.table, row, c), v = weight_value(p.table, row, c + 1);
            sum = j == 0 ? make_float2(u, v) : make_float2(sum.x + u, sum.y + v);
        }
        *reinterpret_cast<float2 *>(own().x + c) = sum;
    }
}

/* The hidden row that stands, as the input. */
__device__ __noinline__ void take_hidden()
{
    const float *hidden = own().call.lane->hidden;
#pragma unroll 1
    for (int c = 2 * threadIdx.x; c < own().p.b.width; c += 2 * THREADS)
        store_input(1, 0, c, hidden[c], hidden[c + 1]);
    draw_barrier();
}

__device__ __forceinline__ void compute(block &b)
{
    const one_program &p = own().p;
    if (own().call.is_fed) {
        for (int i = threadIdx.x; i < p.b.head_dim / 2; i += THREADS)
            own().b_angles[i] = angle_of(__ldg(p.b.frequencies + i), own().call.position);
        feed();
#pragma unroll 1
        for (int l = 0; l < p.b.n_layers; l++) {
            b.item = run_layer<1, false>(b, l, l > 0, own().call.position);
            b.epoch += 5;
            b.layer++;
        }
        add_words<1>(p.down, p.b.down.n_parts(), p.b.width, b.epoch);
        norm_input<1>(p.b.width, p.b_norm, p.b_eps, 0, blockIdx.x == 0 ? own().call.lane->hidden : nullptr);
    } else {
        take_hidden();
    }
    for (int k = 0; k < p.n_codebooks; k++) {
        if (k > 0)
            for (int i = threadIdx.x; i < p.d.head_dim / 2 * (k == 1 ? 2 : 1); i += THREADS) {
                int r = i / (p.d.head_dim / 2), j = i % (p.d.head_dim / 2);
                own().d_angles[r][j] = angle_of(__ldg(p.d.frequencies + j), k == 1 ? r : k);
            }
#pragma unroll 1
        for (int l = 0; k > 0 && l < p.d.n_layers; l++) {
            b.item = k == 1 ? run_layer<2, true>(b, l, l > 0, 0) : run_layer<1, true>(b, l, l > 0, k);
            b.epoch += 4;
            b.layer++;
        }
        int n_parts = p.d.down.n_parts();
        if (k == 1) {
            add_words<2>(p.down, n_parts, p.d.width, b.epoch);
            norm_input<2>(p.d.width, p.d_norm, p.d_eps, 1, nullptr);
        } else if (k > 1) {
            add_words<1>(p.down, n_parts, p.d.width, b.epoch);
            norm_input<1>(p.d.width, p.d_norm, p.d_eps, 0, nullptr);
        }
        b.epoch++;
        int kind = k == 0 ? FIRST : HEAD;
        b.item = multiply<1>(b.item, kind);
        give<1>(b.epoch, kind, p.logits, p.vocab, 0, 0);
        draw(b.epoch, k);
    }
}

#endif

__global__ static void __launch_bounds__(ALL_THREADS, 1)
    one_kernel(const __grid_constant__ one_call call, const one_program *program)
{
#if __CUDA_ARCH__ >= 900
    for (int i = threadIdx.x; i < static_cast<int>(sizeof(one_program) / 4); i += ALL_THREADS)
        reinterpret_cast<uint32_t *>(&own().p)[i] = reinterpret_cast<const uint32_t *>(program)[i];
    for (int i = threadIdx.x; i <= KINDS; i += ALL_THREADS)
        own().first[i] = program->first[blockIdx.x * (KINDS + 1) + i];
    for (int i = threadIdx.x; i < MOST_UNITS; i += ALL_THREADS)
        own().units[i] = program->units[static_cast<size_t>(blockIdx.x) * MOST_UNITS + i];
    if (threadIdx.x == 0) {
        own().call = call;
        own().issued = 0;
        for (int i = 0; i < STAGES; i++) {
            asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;\n" ::"r"(shared_at(&own().full[i])));
            asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;\n" ::"r"(shared_at(&own().empty[i])));
        }
        asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async.shared::cta;\n" ::: "memory");
    }
    block b = {};
    b.epoch = call.epoch;
    b.layer = call.layer;
    __syncthreads();
    int warp = threadIdx.x / 32;
    if (warp == COPIER) {
        copier();
    } else if (warp == CLERK) {
        clerk(b);
    } else {
        compute(b);
    }
#endif
}

/* ---- the program -------------------------------------------------------- */

struct one_frame {
    one_program host;
    memory program, units, first, writes, pages, words, told;
    uint32_t epoch = 0, layer = 0;
};

/* Who multiplies what: a block has units of one part of a kind, so that it needs one part of
 * the input; the least busy takes the next. */
struct planner {
    int n_blocks;
    std::vector<std::vector<unit>> units[KINDS];
    std::vector<size_t> bytes;

    explicit planner(int n) : n_blocks(n), bytes(static_cast<size_t>(n), 0)
    {
        for (auto &kind : units)
            kind.resize(static_cast<size_t>(n));
    }

    void deal(int kind, const std::vector<const matrix *> &matrices, bool is_gated)
    {
        int n_parts = matrices[0]->n_parts();
        std::vector<size_t> items(static_cast<size_t>(n_blocks), 0);
        for (int part = 0; part < n_parts; part++)
            for (size_t w = 0; w < (is_gated ? 1 : matrices.size()); w++)
                for (int tile = 0; tile < matrices[w]->n_tiles; tile++) {
                    int best = -1;
                    for (int b = part % n_blocks; b < n_blocks; b += n_parts) {
                        size_t i = static_cast<size_t>(b);
                        if (best < 0 || items[i] < items[static_cast<size_t>(best)] ||
                            (items[i] == items[static_cast<size_t>(best)] &&
                             bytes[i] < bytes[static_cast<size_t>(best)]))
                            best = b;
                    }
                    size_t i = static_cast<size_t>(best), n = is_gated ? 2 : 1;
                    for (size_t g = 0; g < n; g++)
                        units[kind][i].push_back({static_cast<uint16_t>(is_gated ? g : w),
                                                  static_cast<uint16_t>(part), static_cast<uint32_t>(tile)});
                    items[i] += n * static_cast<size_t>(matrices[w]->part_segments(part));
                    bytes[i] += n * static_cast<size_t>(matrices[w]->part_segments(part)) *
                                static_cast<size_t>(matrices[w]->n_planes);
                }
    }
};

static bool is_like(const matrix &a, const matrix &b)
{
    return a.rows == b.rows && a.n_steps == b.n_steps && a.n_planes == b.n_planes && a.part_steps == b.part_steps;
}

static bool fits(const matrix &m, size_t cols)
{
    return static_cast<size_t>(m.n_steps) * STEP == cols && m.n_planes <= 2;
}

static bool has_parts(const matrix &m)
{
    return m.n_parts() == 1 || m.n_parts() == 2 || m.n_parts() == 4;
}

/* A stack of layers alike that this kernel can run; fills shape and layers. */
static bool take_stack(context &ctx, const csm_attention *attention, const csm_mlp *mlp, size_t n_layers,
                       bool is_depth, stack_shape &s, layer_data *layers)
{
    if (n_layers < 2 || n_layers > MOST_LAYERS)
        return false;
    const csm_attention &a = attention[0];
    const csm_mlp &m = mlp[0];
    s = {};
    s.n_layers = static_cast<int>(n_layers);
    s.width = static_cast<int>(a.width);
    s.hidden = static_cast<int>(m.hidden);
    s.n_heads = static_cast<int>(a.n_heads);
    s.n_kv_heads = static_cast<int>(a.n_kv_heads);
    s.head_dim = static_cast<int>(a.head_dim);
    s.interleaved = a.rope.interleaved;
    s.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(a.head_dim)));
    s.frequencies = frequencies_of(ctx, a.rope, a.head_dim);
    s.eps = a.norm.eps;
    s.qkv[0] = a.q->matrix;
    s.qkv[1] = a.k->matrix;
    s.qkv[2] = a.v->matrix;
    s.o = a.o->matrix;
    s.up = m.up->matrix;
    s.down = m.down->matrix;
    bool is_good = a.width * (is_depth ? MOST_ROWS : 1) <= MOST_WIDTH && a.width % 64 == 0 && m.hidden % TILE == 0 && a.head_dim % 16 == 0 &&
                   a.window == 0 && fits(s.qkv[0], a.width) && fits(s.qkv[1], a.width) &&
                   fits(s.qkv[2], a.width) && fits(s.o, a.n_heads * a.head_dim) && fits(s.up, a.width) &&
                   fits(s.down, m.hidden) && has_parts(s.o) && has_parts(s.down) && s.up.n_parts() == 1 && s.qkv[0].n_parts() == 1 &&
                   (s.o.part_steps * STEP % (a.n_heads / a.n_kv_heads * a.head_dim) == 0 || s.o.n_parts() == 1);
    for (size_t l = 0; is_good && l < n_layers; l++) {
        const csm_attention &b = attention[l];
        const csm_mlp &n = mlp[l];
        is_good = is_like(b.q->matrix, s.qkv[0]) && is_like(b.k->matrix, s.qkv[1]) &&
                  is_like(b.v->matrix, s.qkv[2]) && is_like(b.o->matrix, s.o) &&
                  is_like(n.gate->matrix, s.up) && is_like(n.up->matrix, s.up) &&
                  is_like(n.down->matrix, s.down) && b.layer_scale == nullptr && n.layer_scale == nullptr &&
                  b.norm.kind == csm_norm::CSM_NORM_RMS && n.norm.kind == csm_norm::CSM_NORM_RMS &&
                  b.norm.eps == s.eps && n.norm.eps == s.eps;
        layers[l] = {b.q->matrix.tiles, b.k->matrix.tiles, b.v->matrix.tiles, b.o->matrix.tiles,
                     n.gate->matrix.tiles, n.up->matrix.tiles, n.down->matrix.tiles,
                     vector_form(b.norm.scale, b.width), vector_form(n.norm.scale, n.width)};
    }
    return is_good;
}

static size_t part_input_bytes(const matrix &m, int rows)
{
    return static_cast<size_t>(m.part_steps < m.n_steps ? m.part_steps : m.n_steps) * STEP * 4 *
           static_cast<size_t>(rows);
}

static bool take_shapes(context &ctx, const csm_frame_parts &p, const float *projected, one_program &o)
{
    if (ctx.properties.major < 9 || !take_stack(ctx, p.step.attention, p.step.mlp, p.step.n_layers, false, o.b, o.layers[0]) ||
        !take_stack(ctx, p.attention, p.mlp, p.n_layers, true, o.d, o.layers[1]))
        return false;
    o.first_head = p.first_head->matrix;
    o.projector = p.projector->matrix;
    o.head = p.heads[0]->matrix;
    bool is_good = fits(o.first_head, p.step.attention[0].width) && fits(o.projector, p.step.attention[0].width) &&
                   fits(o.head, p.attention[0].width) && o.first_head.n_parts() == 1 &&
                   o.projector.n_parts() == 1 && o.head.n_parts() == 1 && p.n_codebooks <= PAGE;
    for (size_t k = 0; is_good && k + 1 < p.n_codebooks; k++) {
        is_good = is_like(p.heads[k]->matrix, o.head);
        o.heads[k] = p.heads[k]->matrix.tiles;
    }
    /* Room in a block: of pages in a stage and in the input, of planes, of queries. */
    size_t d = static_cast<size_t>(o.d.head_dim), db = static_cast<size_t>(o.b.head_dim);
    size_t group = static_cast<size_t>(o.d.n_heads / o.d.n_kv_heads) * d;
    size_t o_part = static_cast<size_t>(matrix::min_of(o.d.o.part_steps, o.d.o.n_steps)) * STEP;
    size_t group_b = static_cast<size_t>(o.b.n_heads / o.b.n_kv_heads);
    is_good = is_good && PAGE * db * 4 <= STAGE_BYTES && db <= 64 && o_part % group == 0 &&
              PAGES_AT + o_part / group * 2 * PAGE * d * 4 <= INPUT_BYTES &&
              o_part * 4 * MOST_ROWS <= PAGES_AT && part_input_bytes(o.d.down, MOST_ROWS) <= INPUT_BYTES &&
              part_input_bytes(o.b.down, 1) <= INPUT_BYTES && part_input_bytes(o.b.o, 1) <= INPUT_BYTES &&
              d <= MOST_HEAD && (group_b * db + 2 * db + group_b * CHUNK_PAGES * (db + 2)) * 4 <= INPUT_BYTES;
    o.b_norm = vector_form(p.step.norm.scale, p.step.attention[0].width);
    o.d_norm = vector_form(p.norm.scale, p.attention[0].width);
    o.b_eps = p.step.norm.eps;
    o.d_eps = p.norm.eps;
    o.projected = projected;
    o.n_codebooks = static_cast<int>(p.n_codebooks);
    o.vocab = static_cast<int>(p.vocab);
    o.n_blocks = ctx.properties.multiProcessorCount;
    return is_good;
}

static void give_up(one_frame *one)
{
    delete one;
}

std::unique_ptr<one_frame, void (*)(one_frame *)> make_one(context &ctx, const csm_frame_parts &p,
                                                           const float *projected)
{
    std::unique_ptr<one_frame, void (*)(one_frame *)> one(new one_frame, give_up), none(nullptr, give_up);
    one_program &o = one->host;
    o = {};
    if (!take_shapes(ctx, p, projected, o))
        return none;
    o.table = table_form(ctx, *const_cast<csm_weight *>(p.step.codes));

    planner plan(o.n_blocks);
    for (int depth = 0; depth < 2; depth++) {
        const stack_shape &s = depth ? o.d : o.b;
        int base = depth ? D_QKV : B_QKV;
        std::fill(plan.bytes.begin(), plan.bytes.end(), 0);
        plan.deal(base + B_UP, {&s.up, &s.up}, true);
        plan.deal(base + B_DOWN, {&s.down}, false);
        plan.deal(base + B_QKV, {&s.qkv[0], &s.qkv[1], &s.qkv[2]}, false);
        plan.deal(base + B_O, {&s.o}, false);
    }
    plan.deal(FIRST, {&o.first_head, &o.projector}, false);
    plan.deal(HEAD, {&o.head}, false);

    std::vector<unit> units(static_cast<size_t>(o.n_blocks) * MOST_UNITS);
    std::vector<int> first(static_cast<size_t>(o.n_blocks) * (KINDS + 1)), writes(static_cast<size_t>(o.n_blocks), 0);
    std::vector<bool> has_writer(static_cast<size_t>(o.d.o.n_parts()), false);
    size_t most_sums = 0;
    for (int b = 0; b < o.n_blocks; b++) {
        size_t at = 0, block = static_cast<size_t>(b);
        for (int kind = 0; kind < KINDS; kind++) {
            first[block * (KINDS + 1) + static_cast<size_t>(kind)] = static_cast<int>(at);
            size_t items = 0;
            for (const unit &u : plan.units[kind][block]) {
                if (at == MOST_UNITS)
                    return none;
                units[block * MOST_UNITS + at++] = u;
                const matrix &m = kind == FIRST ? (u.which == 0 ? o.first_head : o.projector)
                                  : kind == HEAD ? o.head
                                  : kind % 4 == B_QKV ? (kind < D_QKV ? o.b : o.d).qkv[u.which]
                                  : kind % 4 == B_O   ? (kind < D_QKV ? o.b : o.d).o
                                  : kind % 4 == B_UP  ? (kind < D_QKV ? o.b : o.d).up
                                                      : (kind < D_QKV ? o.b : o.d).down;
                items += static_cast<size_t>(m.part_segments(u.part));
            }
            bool is_two = kind >= D_QKV && kind <= D_DOWN;
            most_sums = std::max(most_sums, items * TILE * (is_two ? MOST_ROWS : 1));
        }
        first[block * (KINDS + 1) + KINDS] = static_cast<int>(at);
        const auto &outputs = plan.units[D_O][block];
        if (!outputs.empty() && !has_writer[outputs[0].part]) {
            has_writer[outputs[0].part] = true;
            writes[block] = 1;
        }
    }
    /* The depth decoder's queries lie there, too. */
    size_t o_part = static_cast<size_t>(matrix::min_of(o.d.o.part_steps, o.d.o.n_steps)) * STEP;
    most_sums = std::max(most_sums, o_part * MOST_ROWS);
    if (most_sums * sizeof(float) > SUMS_BYTES || sizeof(block_memory) > ctx.properties.sharedMemPerBlockOptin)
        return none;

    /* Words, each kind of them from a line on. */
    size_t width = static_cast<size_t>(std::max(o.b.width, o.d.width)), hidden = static_cast<size_t>(std::max(o.b.hidden, o.d.hidden));
    auto qkv_of = [](const stack_shape &s) { return static_cast<size_t>((s.n_heads + 2 * s.n_kv_heads) * s.head_dim); };
    size_t sizes[] = {std::max(qkv_of(o.b), MOST_ROWS * qkv_of(o.d)),
                      std::max(qkv_of(o.b), MOST_ROWS * qkv_of(o.d)),
                      static_cast<size_t>(MOST_ONE_POSITIONS / CHUNK * o.b.n_heads * (o.b.head_dim + 2)),
                      static_cast<size_t>(MOST_ONE_POSITIONS / CHUNK * o.b.n_heads * (o.b.head_dim + 2)),
                      width * MOST_ROWS * static_cast<size_t>(std::max(o.b.o.n_parts(), o.d.o.n_parts())),
                      hidden * MOST_ROWS,
                      width * MOST_ROWS * static_cast<size_t>(std::max(o.b.down.n_parts(), o.d.down.n_parts())),
                      static_cast<size_t>(o.vocab), static_cast<size_t>(o.d.width)};
    uint64_t **to[] = {&o.qkv[0], &o.qkv[1], &o.attended[0], &o.attended[1], &o.o, &o.h, &o.down, &o.logits, &o.projected_hidden};
    size_t n_words = 0;
    for (size_t size : sizes)
        n_words += (size + 15) / 16 * 16;
    one->words.reserve(n_words * sizeof(uint64_t));
    check(cudaMemsetAsync(one->words.as<void>(), 0, n_words * sizeof(uint64_t), ctx.stream), "a frame's words");
    size_t at = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        *to[i] = one->words.as<uint64_t>() + at;
        at += (sizes[i] + 15) / 16 * 16;
    }
    size_t page = static_cast<size_t>(o.d.n_layers * o.d.n_kv_heads) * 2 * PAGE * static_cast<size_t>(o.d.head_dim);
    one->pages.reserve(page * sizeof(float));
    check(cudaMemsetAsync(one->pages.as<void>(), 0, page * sizeof(float), ctx.stream), "a frame's pages");
    one->told.reserve(static_cast<size_t>(o.n_blocks) * sizeof(uint32_t));
    check(cudaMemsetAsync(one->told.as<void>(), 0, one->told.size(), ctx.stream), "a frame's blocks");
    auto put = [&](memory &m, const void *from, size_t n_bytes) {
        m.reserve(n_bytes);
        check(cudaMemcpyAsync(m.as<void>(), from, n_bytes, cudaMemcpyHostToDevice, ctx.stream), "a frame's program");
    };
    put(one->units, units.data(), units.size() * sizeof(unit));
    put(one->first, first.data(), first.size() * sizeof(int));
    put(one->writes, writes.data(), writes.size() * sizeof(int));
    o.units = one->units.as<unit>();
    o.first = one->first.as<int>();
    o.writes_cache = one->writes.as<int>();
    o.depth_pages = one->pages.as<float>();
    o.told = one->told.as<uint32_t>();
    put(one->program, &o, sizeof o);
    check(cudaStreamSynchronize(ctx.stream), "a frame's program");
    check(cudaFuncSetAttribute(one_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(sizeof(block_memory))),
          "shared memory of a frame");
    return one;
}

void run_one(context &ctx, one_frame &one, const lane_frame *lane, bool is_fed, int position, int32_t *codes,
             float *logits)
{
    const one_program &o = one.host;
    one_call call = {lane, is_fed, position, one.epoch, one.layer, codes, logits};
    const one_program *program = one.program.as<one_program>();
    void *arguments[] = {&call, &program};
    check(cudaLaunchCooperativeKernel(reinterpret_cast<const void *>(one_kernel), dim3(static_cast<unsigned>(o.n_blocks)),
                                      dim3(ALL_THREADS), arguments, sizeof(block_memory), ctx.stream),
          "a frame");
    /* More than a frame has steps, so that no number comes twice. */
    one.epoch += static_cast<uint32_t>(8 * (o.b.n_layers + (o.n_codebooks + 1) * (o.d.n_layers + 1)));
    one.layer += static_cast<uint32_t>((is_fed ? o.b.n_layers : 0) + (o.n_codebooks - 1) * o.d.n_layers);
}

} // namespace csm_cuda
