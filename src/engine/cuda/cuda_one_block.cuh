/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_one_block.cuh - what a block of the one launch knows and shares: the program, the call, its
 * shared memory; words from block to block, copies into the ring */
#ifndef CSM_CUDA_ONE_BLOCK_CUH
#define CSM_CUDA_ONE_BLOCK_CUH

#include "engine/cuda/cuda_draw.cuh"
#include "engine/cuda/cuda_one.h"
#include "engine/cuda/cuda_sums.cuh"

namespace csm_cuda {

enum {
    WARPS = DRAW_WARPS,       /* that compute */
    COPIER = WARPS,           /* the warp that fills the ring */
    CLERK = WARPS + 1,        /* the warp that tells how far the block is, and hears of the others */
    SCOUT = WARPS + 2,        /* the warp that asks the second cache for what the ring has no room for */
    THREADS = DRAW_THREADS,
    ALL_THREADS = THREADS + 96,
    SEGMENT_BYTES = SEGMENT_STEPS * STEP_WORDS * 4, /* of a plane */
    RING_BYTES = 20 * SEGMENT_BYTES,
    MOST_ROWS = 2,            /* positions 0 and 1 of the depth decoder come together */
    PAIRS = 2,                /* pairs of columns of a thread */
    MOST_WIDTH = PAIRS * 2 * THREADS,
    INPUT_BYTES = 36 * 1024,  /* planes of a part; or, in attention, pages and queries */
    PAGES_AT = 4 * 1024,      /* where in it pages are */
    MOST_LAYERS = 32,
    MOST_HEAD = 128,          /* dimensions of a head of the depth decoder */
    QUERY_GAP = 4,            /* floats between the fours of a query */
    MOST_UNITS = 192,         /* of a block, all kinds */
    SUMS_BYTES = 8 * 1024,    /* of segments: [item][TILE][rows]; or, in attention, queries */
    MOST_STAGES = 20,         /* of the ring */
    SCOUT_STAGES = 20,        /* that the scout is ahead of the copier */
    CHUNK = PAGE * CHUNK_PAGES,
    LEFT_OUT = 32, /* one in so many multiprocessors is left to what runs beside: the codec */
    ROLL_NS = 5000000
};

/* The ring's stages. One has a segment of a plane, or keys or values of a page; or, where there are codes, up to
 * SHARES segments of a unit, so that a turn of all warps holds no more than a few stages. A stage is free when all its
 * shares have been given back. */
template <bool CODES> struct ring_shape {
    static constexpr int STAGE_BYTES = CODES ? SEGMENT_BYTES + SEGMENT_BYTES / 4 : SEGMENT_BYTES;
    static constexpr int STAGES = RING_BYTES / STAGE_BYTES, SHARES = CODES ? 4 : 1;
    static_assert(STAGES <= MOST_STAGES && STAGES * STAGE_BYTES == RING_BYTES, "the ring is all stages");
};

enum kind { B_QKV, B_O, B_UP, B_DOWN, D_QKV, D_O, D_UP, D_DOWN, FIRST, HEAD, KINDS };

/* A tile's part, which one block multiplies. */
struct unit {
    uint16_t which; /* matrix of the kind */
    uint16_t part;
    uint32_t tile;
    uint32_t row;    /* of the kind's outputs, where the tile's rows begin */
    uint32_t n_rows; /* of the tile */
};

/* A block's units of one kind: all of one part, so alike. An item is a segment of a unit. */
struct kind_work {
    int n_items, n_segments, n_planes, n_steps;
    int bits, n_scales; /* as of a matrix */
    int by_stage;       /* log2 of the segments of codes that a stage has at most */
    int unit_stages, n_stages; /* of a unit of codes; of all */
    int pieces;         /* 16 bytes each, of a segment of codes */
    uint32_t by_segments; /* an item times this >> 16 is its unit */
    uint32_t ld;          /* rows of the kind's outputs */
};

/* Heads that a block's part of the depth decoder's output matrix takes. */
struct head_part {
    int first, n; /* columns */
    int n_heads, first_kv, n_kv;
    int writes_cache; /* one block of those with this part keeps what is new */
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
    int has_codes; /* some of its matrices are */
    int projected_at; /* the projected hidden row, in logits */
    int n_blocks;
    /* Units of block b and kind k: units[b * MOST_UNITS + first[k]] .. first[k + 1]. */
    const unit *units;
    const int *first; /* [n_blocks][KINDS + 1] */
    const kind_work *work; /* [n_blocks][KINDS] */
    const head_part *heads_of; /* [n_blocks] */
    __half *depth_pages; /* one page: [layer][kv head][keys, values] */
    /* Words: */
    uint64_t *qkv[2], *attended[2], *o, *h, *down, *logits; /* then the projected hidden row */
    uint32_t *told; /* [n_blocks]: layers begun */
    uint32_t *roll; /* blocks that have come, in all frames; 2 * the last frame that was settled, + 1 if it was
                     * given up */
};

struct one_call {
    const lane_frame *lane;
    const int32_t *fed_before; /* codes; NULL: the lane's feed */
    int is_fed, position;
    uint32_t epoch; /* number before the first step's */
    uint32_t layer; /* layers told before */
    uint32_t number; /* of the frame, from 1 */
    int32_t *codes; /* as drawn, then as gone on with; then whether the frame was given up */
    float *logits;
};

/* A block's shared memory. What a step looks up lies here, and what changes is in registers:
 * nothing of a thread's may go to local memory, which the ring leaves no cache for. */
struct block_memory {
    one_program p;
    one_call call;
    lane_frame lane; /* call.lane, here */
    __half *last_page; /* of the position that is fed */
    int first[KINDS + 1];
    kind_work work[KINDS];
    head_part heads;
    unit units[MOST_UNITS];
    draw_room room;
    float chunks[MOST_ROWS][32]; /* of row sums */
    angles b_angles[SEGMENT_BYTES / 4 / PAGE / 2], d_angles[MOST_ROWS][MOST_HEAD / 2]; /* of the positions at work */
    volatile uint32_t issued;    /* stages that are or will be filled */
    bool is_on;
    uint64_t full[MOST_STAGES], empty[MOST_STAGES];
    alignas(128) unsigned char input[INPUT_BYTES];
    alignas(128) float sums[SUMS_BYTES / 4];
    alignas(128) float x[MOST_WIDTH]; /* the residual rows; a thread's columns are its own matter */
    alignas(128) unsigned char ring[RING_BYTES];
};

static_assert(sizeof(block_memory) <= 227 * 1024, "what a block of compute capability 9.0 has");

/* A model made ready, here and on the card. Numbers go on from frame to frame. */
struct one_frame {
    one_program host;
    memory program, units, first, work, heads, pages, words, told;
    uint32_t epoch = 0, layer = 0, number = 0;
};

/* Before the first launch: lets the kernel have a block's memory. */
void ready_one_kernel();

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
            late |= (static_cast<uint32_t>(word[i][0] >> 32) ^ epoch) |
                    (static_cast<uint32_t>(word[i][1] >> 32) ^ epoch);
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

__device__ __forceinline__ void arrive(uint32_t barrier, int n)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0], %1;\n" ::"r"(barrier), "r"(n) : "memory");
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

template <bool CODES> __device__ __forceinline__ uint32_t stage_of(uint32_t item)
{
    return item % ring_shape<CODES>::STAGES;
}

template <bool CODES> __device__ __forceinline__ uint32_t turn_of(uint32_t item)
{
    return item / ring_shape<CODES>::STAGES & 1;
}

/* What stage `item` has. */
template <bool CODES, class T> __device__ __forceinline__ T *in_stage(uint32_t item)
{
    return reinterpret_cast<T *>(own().ring + stage_of<CODES>(item) * ring_shape<CODES>::STAGE_BYTES);
}

/* n of a stage's shares are done with. */
template <bool CODES> __device__ __forceinline__ void give_back(uint32_t item, int n)
{
    arrive(shared_at(&own().empty[stage_of<CODES>(item)]), n);
}

/* Until a stage is filled. A barrier tells one turn of its stage from the next, not from the
 * one after: so first until the copy has been asked for. */
template <bool CODES> __device__ __forceinline__ void await_item(uint32_t item)
{
    while (static_cast<int32_t>(own().issued - item) <= 0)
        continue;
    await(shared_at(&own().full[stage_of<CODES>(item)]), turn_of<CODES>(item));
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

#endif

} // namespace csm_cuda
#endif
