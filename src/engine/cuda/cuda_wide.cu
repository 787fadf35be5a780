/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_wide.cu - products of many rows by wgmma, on cards of compute capability 9.0. A warp of
 * a block copies steps of the matrix and of the input into a ring in shared memory; each of
 * the other warps has a tile, whose words are the A operand in registers as they lie, and four
 * of them together take all columns of the block from shared memory as the B operand.
 *
 * The instruction sums 16 columns and what came before as mma.m16n8k16 does on these cards,
 * bit for bit (test_engine_cuda holds it to that), and segments are summed as in
 * cuda_sums.cuh. */
#include "engine/cuda/cuda_product.cuh"

namespace csm_cuda {

/* GROUPS groups of columns and 4 tiles for each of WARPGROUPS. */
template <int WARPGROUPS_, int GROUPS_, int STAGES_> struct wide_shape {
    static constexpr int WARPGROUPS = WARPGROUPS_, GROUPS = GROUPS_, STAGES = STAGES_;
    static constexpr int WARPS = 4 * WARPGROUPS, TILES = WARPS;
    static constexpr bool MOVES_REGISTERS = WARPGROUPS == 2 && GROUPS >= 16; /* from the copying warps to the others */
    static constexpr int THREADS = WARPS * 32 + (MOVES_REGISTERS ? 128 : 32);
    static constexpr int TILE_BYTES = STAGE_STEPS * STEP_WORDS * 4, GROUP_BYTES = STEP_WORDS * 4; /* of two steps */
    static constexpr int A_BYTES = TILES * TILE_BYTES, B_BYTES = STAGE_STEPS / 2 * GROUPS * GROUP_BYTES;
    static constexpr int STAGE_BYTES = A_BYTES + B_BYTES;
    static constexpr int ROOM = STAGES * STAGE_BYTES + 2 * STAGES * 8;
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

/* ---- instructions ------------------------------------------------------- */

__device__ __forceinline__ uint32_t shared_at(const void *p)
{
    return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

__device__ __forceinline__ void await(uint32_t barrier, uint32_t parity)
{
    asm volatile("{\n .reg .pred p;\n"
                 "again: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n"
                 " @!p bra again;\n}\n" ::"r"(barrier),
                 "r"(parity)
                 : "memory");
}

__device__ __forceinline__ void copy_ahead(uint32_t to, const void *from, uint32_t n_bytes, uint32_t barrier)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];\n" ::"r"(to),
                 "l"(from), "r"(n_bytes), "r"(barrier)
                 : "memory");
}

/* 8 rows of 8 columns are 128 bytes; those of the next 8 steps follow, the next group's are
 * 512 bytes away. */
__device__ __forceinline__ uint64_t operand_at(uint32_t address)
{
    return static_cast<uint64_t>(address >> 4 & 0x3fff) | static_cast<uint64_t>(128 >> 4) << 16 |
           static_cast<uint64_t>(512 >> 4) << 32;
}

#define WIDE_16 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define WIDE_32 WIDE_16 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define WIDE_64                                                                                                        \
    WIDE_32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,"    \
            "%57,%58,%59,%60,%61,%62,%63"
#define WIDE_128                                                                                                       \
    WIDE_64 ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84,%85,%86,%87,%88,"    \
            "%89,%90,%91,%92,%93,%94,%95,%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,"     \
            "%111,%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"
#define GROUP_1(g) "+f"(c[g][0]), "+f"(c[g][1]), "+f"(c[g][2]), "+f"(c[g][3])
#define GROUP_4(g) GROUP_1(g), GROUP_1(g + 1), GROUP_1(g + 2), GROUP_1(g + 3)
#define GROUP_16(g) GROUP_4(g), GROUP_4(g + 4), GROUP_4(g + 8), GROUP_4(g + 12)
#define WIDE_MMA(n, sums, a0, a1, a2, a3, b, ...)                                                                      \
    asm volatile("wgmma.mma_async.sync.aligned.m64n" #n "k16.f32.bf16.bf16 {" sums "}, {" a0 "," a1 "," a2 "," a3      \
                 "}, " b ", 1, 1, 1, 0;\n"                                                                             \
                 : __VA_ARGS__                                                                                         \
                 : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "l"(b_at))

template <int GROUPS> __device__ __forceinline__ void wide_mma(float (&c)[GROUPS][4], const uint4 &a, uint64_t b_at)
{
    if constexpr (GROUPS == 4)
        WIDE_MMA(32, WIDE_16, "%16", "%17", "%18", "%19", "%20", GROUP_4(0));
    else if constexpr (GROUPS == 8)
        WIDE_MMA(64, WIDE_32, "%32", "%33", "%34", "%35", "%36", GROUP_4(0), GROUP_4(4));
    else if constexpr (GROUPS == 16)
        WIDE_MMA(128, WIDE_64, "%64", "%65", "%66", "%67", "%68", GROUP_16(0));
    else
        WIDE_MMA(256, WIDE_128, "%128", "%129", "%130", "%131", "%132", GROUP_16(0), GROUP_16(16));
}

/* ---- the copying warp --------------------------------------------------- */

template <class Shape>
__device__ __forceinline__ void fill_ring(const product_job &job, uint32_t ring, uint32_t full, uint32_t empty,
                                          int n_steps_in_part)
{
    constexpr int GROUPS = Shape::GROUPS;
    const matrix &w = job.m[0];
    int lane = threadIdx.x % 32, part = blockIdx.z, n_groups = job.x.n_groups, first_group = blockIdx.y * GROUPS;
    int here = matrix::min_of(GROUPS, n_groups - first_group), n_planes = w.n_planes;
    int n_stages = n_steps_in_part / STAGE_STEPS * n_planes;

    bool has_tile = false;
    const uint4 *tile = nullptr;
    if (lane < Shape::TILES) {
        block_tile b = tile_of<Shape::TILES>(job, lane);
        has_tile = b.m >= 0;
        if (has_tile)
            tile = job.m[b.m].tiles + job.m[b.m].words_before(b.tile, part * w.part_steps) / 4;
    }
    uint32_t n_tiles = __popc(__ballot_sync(ALL, has_tile));
    uint32_t n_bytes = n_tiles * Shape::TILE_BYTES + STAGE_STEPS / 2 * here * Shape::GROUP_BYTES;
    const uint32_t *input = job.x.words +
                            (static_cast<size_t>(part * w.part_steps / 2) * n_groups + first_group) * STEP_WORDS;

    auto copy_matrix = [&](int place) {
        if (lane == 0)
            asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(full + place * 8),
                         "r"(n_bytes)
                         : "memory");

        __syncwarp();
        if (has_tile)
            copy_ahead(ring + place * Shape::STAGE_BYTES + lane * Shape::TILE_BYTES, tile, Shape::TILE_BYTES,
                      full + place * 8);
        tile += STAGE_STEPS * 32;
    };
    /* The columns that the matrix's next stage takes: a segment's, for each of its planes. */
    int step = 0, first_step = 0, plane = 0;
    auto copy_input = [&](int place) {
        if (lane < STAGE_STEPS / 2)
            copy_ahead(ring + place * Shape::STAGE_BYTES + Shape::A_BYTES + lane * GROUPS * Shape::GROUP_BYTES,
                       input + static_cast<size_t>(step / 2 + lane) * n_groups * STEP_WORDS, here * Shape::GROUP_BYTES,
                       full + place * 8);
        step += STAGE_STEPS;
        if (step == matrix::min_of(first_step + SEGMENT_STEPS, n_steps_in_part)) {
            bool is_last = ++plane == n_planes;
            plane = is_last ? 0 : plane;
            first_step = is_last ? step : first_step;
            step = first_step;
        }
    };

    int first = matrix::min_of(Shape::STAGES, n_stages);
    for (int i = 0; i < first; i++)
        copy_matrix(i);
    await_before();
    for (int i = 0; i < first; i++)
        copy_input(i);
    int place = 0;
    uint32_t turn = 0;
#pragma unroll 1
    for (int i = first; i < n_stages; i++) {
        await(empty + place * 8, turn);
        copy_matrix(place);
        copy_input(place);
        if (++place == Shape::STAGES) {
            place = 0;
            turn ^= 1;
        }
    }
}

/* ---- the others --------------------------------------------------------- */

/* A stage's steps are asked for; its matrix goes to `a`, which is theirs until they are done. */
template <class Shape>
__device__ __forceinline__ void ask(float (&c)[Shape::GROUPS][4], uint4 (&a)[STAGE_STEPS], const unsigned char *memory,
                                    uint32_t full, int place, uint32_t turn)
{
    constexpr int GROUPS = Shape::GROUPS;
    const unsigned char *stage = memory + place * Shape::STAGE_BYTES;
    const uint4 *from =
        reinterpret_cast<const uint4 *>(stage + threadIdx.x / 32 * Shape::TILE_BYTES) + threadIdx.x % 32;
    uint32_t b = shared_at(stage) + Shape::A_BYTES;
    await(full + place * 8, turn);
#pragma unroll
    for (int s = 0; s < STAGE_STEPS; s++)
        a[s] = from[s * 32];
    asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory");
#pragma unroll
    for (int s = 0; s < STAGE_STEPS; s++)
        wide_mma<GROUPS>(c, a[s], operand_at(b + s / 2 * GROUPS * Shape::GROUP_BYTES + s % 2 * 256));
    asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory");
}

/* This warp is done with a stage. */
__device__ __forceinline__ void release(uint32_t empty, int place)
{
    if (threadIdx.x % 32 == 0)
        asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];\n" ::"r"(empty + place * 8) : "memory");
}

template <class Shape>
__device__ __forceinline__ void multiply(const product_job &job, unsigned char *memory, uint32_t full, uint32_t empty,
                                         int n_steps_in_part)
{
    constexpr int GROUPS = Shape::GROUPS;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, n_planes = job.m[0].n_planes;
    float c[GROUPS][4], low[GROUPS], high[GROUPS];
#pragma unroll
    for (int g = 0; g < GROUPS; g++)
        low[g] = high[g] = 0.0f;
    int place = 0, last = 0; /* last: a stage that is not released yet */
    uint32_t turn = 0;
    auto next = [&] {
        last = place;
        if (++place == Shape::STAGES) {
            place = 0;
            turn ^= 1;
        }
    };
#pragma unroll 1
    for (int first = 0; first < n_steps_in_part; first += SEGMENT_STEPS) {
        int n = matrix::min_of(SEGMENT_STEPS, n_steps_in_part - first) / STAGE_STEPS * n_planes;
        uint4 a0[STAGE_STEPS], a1[STAGE_STEPS];
#pragma unroll
        for (int g = 0; g < GROUPS; g++)
            c[g][0] = c[g][1] = c[g][2] = c[g][3] = 0.0f;
        ask<Shape>(c, a0, memory, full, place, turn);
        next();
        /* One stage more is asked for before the last is waited for, where there are registers for two. */
        auto go_on = [&](uint4(&a)[STAGE_STEPS]) {
            int before = last;
            if constexpr (GROUPS == 32) {
                asm volatile("wgmma.wait_group.sync.aligned 0;\n" ::: "memory");
                release(empty, before);
                ask<Shape>(c, a0, memory, full, place, turn);
            } else {
                ask<Shape>(c, a, memory, full, place, turn);
                asm volatile("wgmma.wait_group.sync.aligned 1;\n" ::: "memory");
                release(empty, before);
            }
            next();
        };
#pragma unroll 1
        for (int i = 1; i + 1 < n; i += 2) {
            go_on(a1);
            go_on(a0);
        }
        if (n % 2 == 0)
            go_on(a1);
        asm volatile("wgmma.wait_group.sync.aligned 0;\n" ::: "memory");
        release(empty, last);
#pragma unroll
        for (int g = 0; g < GROUPS; g++) {
            float l = c[g][0] + c[g][1], h = c[g][2] + c[g][3];
            low[g] = first == 0 ? l : low[g] + l;
            high[g] = first == 0 ? h : high[g] + h;
        }
    }

    int first_n = blockIdx.y * GROUPS * 4 + lane % 4; /* of group g: 4 g later */
    block_tile b = tile_of<Shape::TILES>(job, warp);
    if (!job.is_gated) {
        int row = b.tile * TILE + lane / 4;
        bool has_low = b.m >= 0 && row < job.m[b.m].rows, has_high = b.m >= 0 && row + 8 < job.m[b.m].rows;
        float *out = job.out + (static_cast<size_t>(blockIdx.z) * job.n + first_n) * job.ld +
                     (b.m >= 0 ? job.first_row[b.m] : 0) + row;
        float bias_low = job.bias != nullptr && has_low ? job.bias[row] : 0.0f;
        float bias_high = job.bias != nullptr && has_high ? job.bias[row + 8] : 0.0f;
#pragma unroll
        for (int g = 0; g < GROUPS; g++, out += 4 * job.ld) {
            if (first_n + 4 * g >= job.n)
                break;
            if (has_low)
                out[0] = job.bias != nullptr ? low[g] + bias_low : low[g];
            if (has_high)
                out[8] = job.bias != nullptr ? high[g] + bias_high : high[g];
        }
        return;
    }
    /* A warp of gate and the next one, of up, give each other half of what they have; the ring is done with. */
    bool is_up = warp % 2 != 0;
    float *room = reinterpret_cast<float *>(memory) + warp / 2 * 2 * GROUPS * 32 + lane;
    asm volatile("bar.sync 1, %0;\n" ::"n"(Shape::WARPS * 32) : "memory");
#pragma unroll
    for (int g = 0; g < GROUPS; g++)
        room[(is_up * GROUPS + g) * 32] = is_up ? low[g] : high[g];
    asm volatile("bar.sync 1, %0;\n" ::"n"(Shape::WARPS * 32) : "memory");
    int k = b.tile * TILE + lane / 4 + is_up * 8;
    uint32_t *words = plane_words(job.out_planes, first_n, k);
#pragma unroll
    for (int g = 0; g < GROUPS; g++) {
        float theirs = room[(!is_up * GROUPS + g) * 32];
        float v = silu(is_up ? theirs : low[g]) * (is_up ? high[g] : theirs), w = __shfl_down_sync(ALL, v, 4);
        if (b.m >= 0 && first_n + 4 * g < job.n && lane / 4 % 2 == 0) {
            words[g * STEP_WORDS] = pair_of(v, w);
            words[g * STEP_WORDS + 4] = pair_of(v - rounded(v), w - rounded(w));
        }
    }
}

#endif

template <class Shape>
__global__ static void __launch_bounds__(Shape::THREADS, 1) wide_kernel(const __grid_constant__ product_job job)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    extern __shared__ __align__(128) unsigned char memory[];
    const matrix &w = job.m[0]; /* all have its steps and planes */
    int n_steps = matrix::min_of(w.part_steps, w.n_steps - static_cast<int>(blockIdx.z) * w.part_steps);
    uint32_t full = shared_at(memory + Shape::STAGES * Shape::STAGE_BYTES), empty = full + Shape::STAGES * 8;
    let_next();
    if (threadIdx.x == 0) {
        for (int i = 0; i < Shape::STAGES; i++) {
            asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;\n" ::"r"(full + i * 8));
            asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(empty + i * 8),
                         "r"(Shape::WARPS));
        }
        asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async.shared::cta;\n" ::: "memory");
    }
    __syncthreads();
    if (threadIdx.x >= Shape::WARPS * 32) {
        if constexpr (Shape::MOVES_REGISTERS)
            asm volatile("setmaxnreg.dec.sync.aligned.u32 56;\n");
        if (threadIdx.x < Shape::WARPS * 32 + 32)
            fill_ring<Shape>(job, shared_at(memory), full, empty, n_steps);
    } else {
        if constexpr (Shape::MOVES_REGISTERS)
            asm volatile("setmaxnreg.inc.sync.aligned.u32 224;\n");
        multiply<Shape>(job, memory, full, empty, n_steps);
    }
#endif
}

/* ---- which -------------------------------------------------------------- */

template <class Shape>
static void launch_wide_of(context &ctx, const product_job &job, int n_tiles, int n_parts)
{
    check(cudaFuncSetAttribute(wide_kernel<Shape>, cudaFuncAttributeMaxDynamicSharedMemorySize, Shape::ROOM),
          "shared memory of a product");
    dim3 grid((n_tiles + Shape::TILES - 1) / Shape::TILES, (job.x.n_groups + Shape::GROUPS - 1) / Shape::GROUPS,
              n_parts);
    launch(ctx, "a product", wide_kernel<Shape>, grid, Shape::THREADS, Shape::ROOM, job);
}

bool launch_wide(context &ctx, const product_job &job, int n_tiles, int n_parts)
{
#ifdef CSM_CUDA_HAS_WGMMA
    if (ctx.properties.major != 9 || job.x.slots != 2 || (job.is_gated && job.out_planes.slots != 2))
        return false;
    /* Larger shapes read less, smaller ones leave no multiprocessor without work: as measured (docs/ENGINES.md). */
    int n_processors = ctx.properties.multiProcessorCount, n_groups = job.x.n_groups;
    auto blocks = [&](int tiles, int groups) {
        return (n_tiles + tiles - 1) / tiles * ((n_groups + groups - 1) / groups) * n_parts;
    };
    if (n_groups > 16 && blocks(8, 32) >= n_processors * 2 / 3)
        launch_wide_of<wide_shape<2, 32, 4>>(ctx, job, n_tiles, n_parts);
    else if (n_groups > 8 && blocks(8, 16) >= n_processors * 2 / 3)
        launch_wide_of<wide_shape<2, 16, 6>>(ctx, job, n_tiles, n_parts);
    else if (n_groups > 8 && blocks(4, 16) >= n_processors * 2 / 3)
        launch_wide_of<wide_shape<1, 16, 8>>(ctx, job, n_tiles, n_parts);
    else if (n_groups > 4 && blocks(4, 8) >= n_processors / 3)
        launch_wide_of<wide_shape<1, 8, 12>>(ctx, job, n_tiles, n_parts);
    else
        launch_wide_of<wide_shape<1, 4, 8>>(ctx, job, n_tiles, n_parts);
    return true;
#else
    (void)ctx;
    (void)job;
    (void)n_tiles;
    (void)n_parts;
    return false;
#endif
}

} // namespace csm_cuda
