/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_one.cu - a whole frame of one lane in one launch: the backbone's step, then head,
 * draw and depth decoder of each codebook, one block on a multiprocessor for all of it; some
 * multiprocessors are left to what runs beside it.
 *
 * A frame reads every weight once, the depth decoder's for each codebook: so memory sets
 * the pace, if it never waits for the steps between. Two things keep it going:
 *
 *   ring     one warp of a block copies the segments that the block will multiply, in
 *            order, as far ahead as shared memory holds, across all steps; another asks the
 *            second cache for some more
 *   words    a step's results are words of value and number of the step, written to where
 *            all blocks can read; who needs one waits for its number. No barrier of all
 *            blocks, no second look for data
 *
 * A block may be at most one layer ahead of another: with each layer it tells how far it
 * is, and waits for all before it writes over what they may still have to read. What it
 * tells is also what makes keys and values, which one block writes, seen by the others.
 *
 * The residual row is in every block: thread t has columns 2 t and 2 t + 1, those + 1024. Sums
 * are those of cuda_sums.cuh, bit for bit. */
#include "engine/cuda/cuda_one_attend.cuh"
#include "engine/cuda/cuda_view.cuh"

namespace csm_cuda {

enum { FED_AT_ONCE = 8 }; /* rows of the table */

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

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
template <int ROWS, bool IS_DEPTH, bool CODES>
__device__ __noinline__ uint32_t run_layer(block b, int layer, bool has_parts, int position)
{
    const one_program &p = own().p;
    const stack_shape &s = IS_DEPTH ? p.d : p.b;
    const layer_data &l = p.layers[IS_DEPTH][layer];
    constexpr int BASE = IS_DEPTH ? D_QKV : B_QKV;

    if (IS_DEPTH && ROWS == 1)
        fetch_depth_pages(layer, position);
    if (has_parts)
        add_words<ROWS>(p.down, s.down.n_parts(), s.width, b.epoch);
    b.epoch++;
    norm_input<ROWS>(s.width, l.attention_norm, s.eps, 0, nullptr);
    begin_layer(b);
    b.item = multiply<ROWS, CODES>(b.item, BASE + B_QKV);
    give<ROWS>(b.epoch, BASE + B_QKV, p.qkv[b.layer & 1]);

    b.epoch++;
    if (IS_DEPTH) {
        draw_barrier(); /* queries lie where sums were */
        if (s.head_dim == 128)
            attend_depth<ROWS, 128>(b, layer, position);
        else
            attend_depth<ROWS, 0>(b, layer, position);
    } else {
        b.item = s.head_dim == 64 ? attend_chunks<CODES, 64>(b, layer) : attend_chunks<CODES, 0>(b, layer);
        b.epoch++;
        draw_barrier();
        gather_heads(b);
    }
    await_all();
    b.item = multiply<ROWS, CODES>(b.item, BASE + B_O);
    give<ROWS>(b.epoch, BASE + B_O, p.o);

    add_words<ROWS>(p.o, s.o.n_parts(), s.width, b.epoch);
    b.epoch++;
    norm_input<ROWS>(s.width, l.mlp_norm, s.eps, 0, nullptr);
    b.item = multiply<ROWS, CODES>(b.item, BASE + B_UP);
    give_gated<ROWS>(b.epoch, BASE + B_UP);

    b.epoch++;
    gather_hidden<ROWS>(b.epoch, BASE + B_DOWN);
    draw_barrier();
    b.item = multiply<ROWS, CODES>(b.item, BASE + B_DOWN);
    give<ROWS>(b.epoch, BASE + B_DOWN, p.down);
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
    const lane_frame &lane = own().lane;
    float *kept = own().call.logits + static_cast<size_t>(k) * p.vocab;
    bool is_first = blockIdx.x == 0;
    float row_of[MOST_EACH];
    draw_rows &rows = *reinterpret_cast<draw_rows *>(own().input); /* the head is done with it */
    draw_how how = how_of(lane, k, p.vocab);
    make_noise(rows, p.vocab, how); /* while the logits are on their way */
    get_row(p.logits, p.vocab, epoch, row_of);
    int code = draw_code(
        own().room, rows,
        [&](int j, int i) {
            if (is_first)
                kept[i] = row_of[j];
            return row_of[j];
        },
        p.vocab, how);
    int known = lane.known[k], next = known >= 0 ? known : code;
    if (is_first && threadIdx.x == 0) {
        own().call.codes[k] = code;
        own().call.codes[p.n_codebooks + k] = next;
    }
    return next;
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
        get_pairs<1>(p.logits + p.projected_at + c, 0, epoch, a, w);
        *x = make_float2(a[0], w[0]);
        x[p.d.width / 2] = v;
    }
}

/* The sum of a table's rows. Its kind and type are known to the compiler, so that nothing is decided between one
 * number and the next, and many are on their way together. */
template <weight_view::kind_of KIND, csm_dtype DTYPE> __device__ __noinline__ void sum_rows(const int *rows)
{
    const one_program &p = own().p;
    weight_view table = p.table;
    table.kind = KIND;
    table.dtype = DTYPE;
    table.transposed = false;
#pragma unroll 1
    for (int c = 2 * threadIdx.x; c < p.b.width; c += 2 * THREADS) {
        float2 sum = make_float2(weight_value(table, rows[0], c), weight_value(table, rows[0], c + 1));
        int j = 1;
#pragma unroll 1
        for (; j + FED_AT_ONCE <= p.n_codebooks; j += FED_AT_ONCE) {
            float2 v[FED_AT_ONCE];
#pragma unroll
            for (int e = 0; e < FED_AT_ONCE; e++)
                v[e] = make_float2(weight_value(table, rows[j + e], c), weight_value(table, rows[j + e], c + 1));
#pragma unroll
            for (int e = 0; e < FED_AT_ONCE; e++)
                sum = make_float2(sum.x + v[e].x, sum.y + v[e].y);
        }
#pragma unroll 1
        for (; j < p.n_codebooks; j++)
            sum = make_float2(sum.x + weight_value(table, rows[j], c), sum.y + weight_value(table, rows[j], c + 1));
        *reinterpret_cast<float2 *>(own().x + c) = sum;
    }
}

/* The frame before as the backbone's next row. */
__device__ __noinline__ void feed()
{
    const one_program &p = own().p;
    const int32_t *before = own().call.fed_before;
    int *rows = reinterpret_cast<int *>(own().sums);
    for (int j = threadIdx.x; j < p.n_codebooks; j += THREADS)
        rows[j] = before == nullptr ? own().lane.feed[j] : j * p.vocab + before[j];
    draw_barrier();
    bool is_float = p.table.kind == weight_view::FLOAT;
    if (p.table.dtype == CSM_DTYPE_BF16)
        is_float ? sum_rows<weight_view::FLOAT, CSM_DTYPE_BF16>(rows)
                 : sum_rows<weight_view::AFFINE, CSM_DTYPE_BF16>(rows);
    else if (p.table.dtype == CSM_DTYPE_F16)
        is_float ? sum_rows<weight_view::FLOAT, CSM_DTYPE_F16>(rows)
                 : sum_rows<weight_view::AFFINE, CSM_DTYPE_F16>(rows);
    else
        is_float ? sum_rows<weight_view::FLOAT, CSM_DTYPE_F32>(rows)
                 : sum_rows<weight_view::AFFINE, CSM_DTYPE_F32>(rows);
}

/* The hidden row that stands, as the input. */
__device__ __noinline__ void take_hidden()
{
    const float *hidden = own().lane.hidden;
#pragma unroll 1
    for (int c = 2 * threadIdx.x; c < own().p.b.width; c += 2 * THREADS)
        store_input(1, 0, c, hidden[c], hidden[c + 1]);
    draw_barrier();
}

template <bool CODES> __device__ __forceinline__ void compute(block &b)
{
    const one_program &p = own().p;
    if (own().call.is_fed) {
        for (int i = threadIdx.x; i < p.b.head_dim / 2; i += THREADS)
            own().b_angles[i] = angle_of(__ldg(p.b.frequencies + i), own().call.position);
        feed();
#pragma unroll 1
        for (int l = 0; l < p.b.n_layers; l++) {
            b.item = run_layer<1, false, CODES>(b, l, l > 0, own().call.position);
            b.epoch += 5;
            b.layer++;
        }
        add_words<1>(p.down, p.b.down.n_parts(), p.b.width, b.epoch);
        norm_input<1>(p.b.width, p.b_norm, p.b_eps, 0, blockIdx.x == 0 ? own().lane.hidden : nullptr);
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
            b.item = k == 1 ? run_layer<2, true, CODES>(b, l, l > 0, 0) : run_layer<1, true, CODES>(b, l, l > 0, k);
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
        b.item = multiply<1, CODES>(b.item, kind);
        give<1>(b.epoch, kind, p.logits);
        draw(b.epoch, k);
    }
}

/* ---- all blocks are there ------------------------------------------------ */

/* The first word on a frame stands. */
__device__ __forceinline__ void settle(uint32_t *roll, uint32_t number, uint32_t is_given_up)
{
    uint32_t before = *static_cast<volatile uint32_t *>(roll + 1);
    if (before / 2 != number)
        atomicCAS(roll + 1, before, 2 * number + is_given_up);
}

/* By one thread of each block, before it writes anything: true if all blocks have a place at
 * the same time. Something else on the card may hold a place for a while; another such frame
 * would hold it for ever, since each would wait for the other: then both are given up. (A
 * cooperative launch would see to it, but lets nothing else run beside it.) */
__device__ __noinline__ bool are_all_there(const one_call &call, const one_program *program)
{
    uint32_t *roll = program->roll, n_blocks = static_cast<uint32_t>(program->n_blocks), settled;
    uint64_t from, now;
    asm volatile("mov.u64 %0, %globaltimer;\n" : "=l"(from));
    if (atomicAdd(roll, 1) + 1 == call.number * n_blocks)
        settle(roll, call.number, 0);
    while ((settled = *static_cast<volatile uint32_t *>(roll + 1)) / 2 != call.number) {
        asm volatile("mov.u64 %0, %globaltimer;\n" : "=l"(now));
        if (now - from > ROLL_NS)
            settle(roll, call.number, 1);
    }
    if (blockIdx.x == 0)
        call.codes[2 * program->n_codebooks] = settled & 1;
    return (settled & 1) == 0;
}

#endif

template <bool CODES>
__global__ static void __launch_bounds__(ALL_THREADS, 1)
    one_kernel(const __grid_constant__ one_call call, const one_program *program)
{
#if __CUDA_ARCH__ >= 900
    for (int i = threadIdx.x; i < static_cast<int>(sizeof(one_program) / 4); i += ALL_THREADS)
        reinterpret_cast<uint32_t *>(&own().p)[i] = reinterpret_cast<const uint32_t *>(program)[i];
    for (int i = threadIdx.x; i <= KINDS; i += ALL_THREADS)
        own().first[i] = program->first[blockIdx.x * (KINDS + 1) + i];
    for (int i = threadIdx.x; i < KINDS; i += ALL_THREADS)
        own().work[i] = program->work[blockIdx.x * KINDS + i];
    for (int i = threadIdx.x; i < MOST_UNITS; i += ALL_THREADS)
        own().units[i] = program->units[static_cast<size_t>(blockIdx.x) * MOST_UNITS + i];
    for (int i = threadIdx.x; i < static_cast<int>(sizeof(lane_frame) / 4); i += ALL_THREADS)
        reinterpret_cast<uint32_t *>(&own().lane)[i] = reinterpret_cast<const uint32_t *>(call.lane)[i];
    if (threadIdx.x == 0) {
        own().last_page = call.is_fed ? reinterpret_cast<__half *>(call.lane->pages[call.position / PAGE]) : nullptr;
        own().heads = program->heads_of[blockIdx.x];
        own().call = call;
        own().issued = 0;
        for (int i = 0; i < ring_shape<CODES>::STAGES; i++) {
            asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;\n" ::"r"(shared_at(&own().full[i])));
            asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(shared_at(&own().empty[i])),
                         "r"(ring_shape<CODES>::SHARES));
        }
        asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async.shared::cta;\n" ::: "memory");
        own().is_on = are_all_there(call, program);
    }
    block b = {};
    b.epoch = call.epoch;
    b.layer = call.layer;
    __syncthreads();
    if (!own().is_on)
        return;
    int warp = threadIdx.x / 32;
    if (warp == COPIER || warp == SCOUT) {
        copier<CODES>();
    } else if (warp == CLERK) {
        clerk(b);
    } else {
        compute<CODES>(b);
    }
#endif
}

/* ---- a launch ------------------------------------------------------------ */

void ready_one_kernel()
{
    for (auto kernel : {one_kernel<false>, one_kernel<true>})
        check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(sizeof(block_memory))),
              "shared memory of a frame");
}

void run_one(context &ctx, one_frame &one, const lane_frame *lane, const int32_t *fed_before, bool is_fed,
             int position, int32_t *codes, float *logits)
{
    const one_program &o = one.host;
    one_call call = {lane, fed_before, is_fed, position, one.epoch, one.layer, ++one.number, codes, logits};
    const one_program *program = one.program.as<one_program>();
    void *arguments[] = {&call, &program};
    const void *kernel = reinterpret_cast<const void *>(o.has_codes ? one_kernel<true> : one_kernel<false>);
    check(cudaLaunchKernel(kernel, dim3(static_cast<unsigned>(o.n_blocks)),
                           dim3(ALL_THREADS), arguments, sizeof(block_memory), ctx.stream),
          "a frame");
    /* More than a frame has steps, so that no number comes twice. */
    one.epoch += static_cast<uint32_t>(8 * (o.b.n_layers + (o.n_codebooks + 1) * (o.d.n_layers + 1)));
    one.layer += static_cast<uint32_t>((is_fed ? o.b.n_layers : 0) + (o.n_codebooks - 1) * o.d.n_layers);
}

} // namespace csm_cuda
