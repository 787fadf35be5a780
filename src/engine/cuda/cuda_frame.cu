/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_frame.cu - frames of many lanes: the kernels of the blocks, one after the other,
 * and the draws between them; nothing is read back before the end. What differs from
 * frame to frame is data on the card, so that a sequence is recorded as a graph when it is
 * asked for again and replayed from then on.
 *
 * Codes and logits go to the host while later ones are computed, in pieces of some codebooks: the
 * caller repeats the draws of those meanwhile. So does the noise of the lanes' next frames come.
 *
 * The depth decoder's inputs are codes' rows through the projector: those of all codes are
 * made once, by the same product, so that a step begins with a copy. */
#include <atomic>
#include <cstring>
#include <thread>

#include "engine/cuda/cuda_draw.cuh"
#include "engine/cuda/cuda_frame.h"
#include "engine/cuda/cuda_launch.cuh"
#include "engine/cuda/cuda_one.h"
#include "engine/cuda/cuda_view.cuh"

extern "C" {
#include "base/threads.h"
}

namespace csm_cuda {

/* Which sequence of kernels: what is in their arguments. */
struct frame_key {
    const csm_weight *model = nullptr;
    size_t n = 0, n_fed = 0, most_pages = 0;
    bool operator==(const frame_key &o) const
    {
        return model == o.model && n == o.n && n_fed == o.n_fed && most_pages == o.most_pages;
    }
};

struct frame_graph {
    frame_key key;
    cudaGraphExec_t graph = nullptr; /* NULL: seen once */
    uint64_t used = 0;
};

struct frame_state {
    /* Of the model that the first frame was of. */
    const csm_weight *model = nullptr;
    memory projected; /* [n_codebooks * vocab, depth width] */
    std::unique_ptr<one_frame, void (*)(one_frame *)> one{nullptr, nullptr};
    std::unique_ptr<alone_state, void (*)(alone_state *)> alone{nullptr, nullptr}; /* with `one` */
    memory idle_hidden, idle_table; /* of lanes that are nobody's */
    std::unique_ptr<page> idle_page;
    size_t room = 0;  /* lanes that all that follows has room for */
    memory lanes, x, hidden, depth_x, planes_a, planes_b, qkv, parts, depth_pages, depth_table;
    memory backbone_rows, depth_rows, codes, logits, noise;
    /* Noise of frames to come goes to the card while it computes: of frame n, in turn. */
    memory early_noise[2];
    cudaStream_t copies = nullptr;
    cudaEvent_t told = nullptr;
    memory is_there; /* a word that is not 0: sent behind each piece */
    cudaStream_t results = nullptr;
    cudaEvent_t drawn = nullptr, sent = nullptr;
    uint64_t n_many = 0; /* frames of many so far */
    lane_frame *host_lanes = nullptr; /* pinned, as are: */
    int32_t *host_codes = nullptr;
    float *host_logits = nullptr, *host_noise = nullptr;
    attend_row *host_rows = nullptr;
    volatile int32_t *host_arrived = nullptr; /* [MOST_CODEBOOKS]: not 0 where a piece ends that is there */
    size_t depth_rows_of = 0;         /* lanes that depth_rows is for */
    csm_threads *copiers = nullptr;   /* that hand many lanes' logits out */
    std::vector<frame_graph> graphs;
    uint64_t n_frames = 0;
    ~frame_state()
    {
        forget_graphs();
        free_host();
        csm_threads_free(copiers);
        for (cudaEvent_t event : {told, drawn, sent})
            if (event != nullptr)
                cudaEventDestroy(event);
        for (cudaStream_t stream : {copies, results})
            if (stream != nullptr)
                cudaStreamDestroy(stream);
    }
    void forget_graphs()
    {
        for (frame_graph &g : graphs)
            if (g.graph != nullptr)
                cudaGraphExecDestroy(g.graph);
        graphs.clear();
    }
    void free_host()
    {
        cudaFreeHost(host_lanes);
        cudaFreeHost(host_codes);
        cudaFreeHost(host_logits);
        cudaFreeHost(host_noise);
        cudaFreeHost(host_rows);
        cudaFreeHost(const_cast<int32_t *>(host_arrived));
        host_arrived = nullptr;
        host_noise = nullptr;
        host_lanes = nullptr;
        host_codes = nullptr;
        host_logits = nullptr;
        host_rows = nullptr;
    }
};

context::context() = default;

context::~context()
{
    frame.reset();
    if (stream != nullptr)
        cudaStreamDestroy(stream);
}

/* ---- kernels ------------------------------------------------------------ */

/* A block a lane and stretch of columns: what was fed goes to the lane's hidden row, and all
 * hidden rows come together. */
__global__ static void hidden_kernel(const lane_frame *lanes, const float *fed, float *all, int width)
{
    await_before();
    const lane_frame &lane = lanes[blockIdx.y];
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= width)
        return;
    if (lane.fed >= 0)
        lane.hidden[c] = fed[static_cast<size_t>(lane.fed) * width + c];
    all[static_cast<size_t>(blockIdx.y) * width + c] = lane.hidden[c];
}

__global__ static void feed_kernel(const lane_frame *lanes, weight_view table, int n_ids, float *out)
{
    await_before();
    const lane_frame &lane = lanes[blockIdx.y];
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (lane.fed < 0 || c >= table.cols)
        return;
    float sum = 0.0f;
    for (int j = 0; j < n_ids; j++) {
        float v = weight_value(table, lane.feed[j], c);
        sum = j == 0 ? v : sum + v;
    }
    out[static_cast<size_t>(lane.fed) * table.cols + c] = sum;
}

struct draw_job {
    const lane_frame *lanes;
    const float *logits; /* [n, n_codebooks, vocab] */
    int32_t *codes;      /* [n, n_codebooks] */
    int k, n_codebooks, vocab;
    const float *projected;
    float *next; /* the depth decoder's next rows: row_stride apart */
    size_t row_stride;
    int width;
};

__global__ static void __launch_bounds__(DRAW_THREADS) draw_kernel(draw_job job)
{
    __shared__ draw_room room;
    __shared__ draw_rows rows;
    await_before();
    const lane_frame &lane = job.lanes[blockIdx.x];
    const float *row = job.logits + (static_cast<size_t>(blockIdx.x) * job.n_codebooks + job.k) * job.vocab;
    draw_how how = how_of(lane, job.k, job.vocab);
    make_noise(rows, job.vocab, how);
    int code = draw_code(room, rows, [&](int, int i) { return row[i]; }, job.vocab, how);
    int known = lane.known[job.k];
    if (threadIdx.x == 0)
        job.codes[blockIdx.x * job.n_codebooks + job.k] = code;
    if (job.next == nullptr)
        return;
    code = known >= 0 ? known : code;
    const float *from = job.projected + (static_cast<size_t>(job.k) * job.vocab + code) * job.width;
    for (int c = threadIdx.x; c < job.width; c += DRAW_THREADS)
        job.next[blockIdx.x * job.row_stride + c] = from[c];
}

/* ---- what is made once -------------------------------------------------- */

static csm_weight &own(const csm_weight *weight)
{
    return *const_cast<csm_weight *>(weight); /* forms are caches of what the weight is */
}

static void prepare_stack(context &ctx, const csm_attention *attention, const csm_mlp *mlp, size_t n)
{
    for (size_t l = 0; l < n; l++) {
        for (csm_weight *w : {attention[l].q, attention[l].k, attention[l].v, attention[l].o,
                              mlp[l].gate, mlp[l].up, mlp[l].down}) {
            if (w == nullptr)
                throw declined("a layer without a gate in a frame");
            product_form(ctx, *w);
        }
        if (attention[l].q->matrix.n_parts() != 1 || mlp[l].up->matrix.n_parts() != 1)
            throw declined(shaped("a frame of a model %zu wide, expected at most %d",
                                  attention[l].width, WHOLE_STEPS * STEP));
        set_output_parts(attention[l]);
    }
}

/* Rows of the table through the projector, as `linear` makes them. */
static void project(context &ctx, const csm_frame_parts &p, memory &out)
{
    size_t n = p.n_codebooks * p.vocab, depth_width = p.projector->rows;
    enum { AT_ONCE = 4096 };
    std::vector<int32_t> ids(AT_ONCE);
    csm_value rows, projected;
    out.reserve(n * depth_width * sizeof(float));
    for (size_t first = 0; first < n; first += AT_ONCE) {
        size_t most = AT_ONCE, count = n - first < most ? n - first : most;
        for (size_t i = 0; i < count; i++)
            ids[i] = static_cast<int32_t>(first + i);
        embed(ctx, own(p.codes), ids.data(), count, 1, rows);
        linear(ctx, own(p.projector), nullptr, rows, projected);
        check(cudaMemcpyAsync(out.as<float>() + first * depth_width, projected.data(),
                              count * depth_width * sizeof(float), cudaMemcpyDeviceToDevice, ctx.stream),
              "projected codes");
    }
    check(cudaStreamSynchronize(ctx.stream), "projected codes");
}

static void prepare_model(context &ctx, const csm_frame_parts &p, frame_state &f)
{
    if (f.model == p.first_head)
        return;
    if (p.n_codebooks < 2 || p.n_codebooks > MOST_CODEBOOKS || p.vocab > MOST_VOCAB)
        throw declined(shaped("frames of %zu codebooks of %zu, expected at most %d of %d",
                              p.n_codebooks, p.vocab, MOST_CODEBOOKS, MOST_VOCAB));
    f.forget_graphs();
    f.room = 0;
    prepare_stack(ctx, p.step.attention, p.step.mlp, p.step.n_layers);
    prepare_stack(ctx, p.attention, p.mlp, p.n_layers);
    product_form(ctx, own(p.first_head));
    for (size_t k = 0; k + 1 < p.n_codebooks; k++)
        product_form(ctx, own(p.heads[k]));
    table_form(ctx, own(p.step.codes));
    project(ctx, p, f.projected);
    f.alone.reset();
    f.one = make_one(ctx, p, f.projected.as<float>());
    if (f.one != nullptr)
        f.alone = make_alone(p);
    f.model = p.first_head;
}

template <class T> static void pinned(T *&to, size_t n)
{
    check(cudaMallocHost(reinterpret_cast<void **>(&to), n * sizeof(T)), "pinned memory");
}

/* Room for n lanes. */
static void prepare_room(context &ctx, const csm_frame_parts &p, size_t n, frame_state &f)
{
    if (n <= f.room)
        return;
    size_t wanted = n;
    for (n = 1; n < wanted;)
        n *= 2;
    check(cudaStreamSynchronize(ctx.stream), "a frame's room");
    f.forget_graphs();
    f.free_host();
    f.room = 0;
    size_t width = p.step.attention[0].width, depth = p.attention[0].width, k = p.n_codebooks;
    f.lanes.reserve(n * sizeof(lane_frame));
    f.x.reserve(n * width * sizeof(float));
    f.hidden.reserve(2 * n * width * sizeof(float));
    f.depth_x.reserve(2 * n * depth * sizeof(float));
    f.codes.reserve(n * k * sizeof(int32_t));
    f.logits.reserve(n * k * p.vocab * sizeof(float));
    f.noise.reserve(n * k * p.vocab * sizeof(float));
    for (memory &early : f.early_noise)
        early.reserve(n * k * p.vocab * sizeof(float));
    if (f.copies == nullptr) {
        for (cudaStream_t *stream : {&f.copies, &f.results})
            check(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking), "a stream");
        for (cudaEvent_t *event : {&f.told, &f.drawn, &f.sent})
            check(cudaEventCreateWithFlags(event, cudaEventDisableTiming), "an event");
        f.is_there.reserve(sizeof(int32_t));
        check(cudaMemset(f.is_there.as<void>(), 1, sizeof(int32_t)), "a word");
    }
    f.n_many++; /* what was there early has gone */
    pinned(f.host_lanes, n);
    pinned(f.host_codes, n * k);
    pinned(f.host_logits, n * k * p.vocab);
    pinned(f.host_noise, n * k * p.vocab);
    int32_t *arrived;
    pinned(arrived, MOST_CODEBOOKS);
    f.host_arrived = arrived;
    pinned(f.host_rows, n);
    f.backbone_rows.reserve(n * sizeof(attend_row));
    f.depth_rows.reserve(n * (k + 1) * sizeof(attend_row));

    /* The depth decoder's keys and values: as many pages a lane as a frame has positions. */
    const csm_attention &a = p.attention[0];
    size_t pages = (k + PAGE - 1) / PAGE;
    size_t floats = kept_floats(ctx, a, p.n_layers, PAGE);
    f.depth_pages.reserve(n * pages * floats * sizeof(float));
    check(cudaMemsetAsync(f.depth_pages.as<float>(), 0, f.depth_pages.size(), ctx.stream), "pages");
    f.depth_table.reserve(n * pages * sizeof(float *));
    std::vector<float *> table(n * pages);
    for (size_t i = 0; i < table.size(); i++)
        table[i] = f.depth_pages.as<float>() + i * floats;
    check(cudaMemcpyAsync(f.depth_table.as<float *>(), table.data(), table.size() * sizeof(float *),
                          cudaMemcpyHostToDevice, ctx.stream),
          "pages");
    f.room = n;
}

/* Rows of the depth decoder's attention in step k: 2 n of positions 0 and 1, then n of 2..;
 * of n lanes. */
static void tell_depth_rows(context &ctx, const csm_frame_parts &p, size_t n, frame_state &f)
{
    size_t pages = (p.n_codebooks + PAGE - 1) / PAGE;
    std::vector<attend_row> rows;
    for (size_t i = 0; i < n; i++)
        for (int position = 0; position < 2; position++)
            rows.push_back({f.depth_table.as<float *>() + i * pages, static_cast<int>(pages), position});
    for (size_t k = 2; k < p.n_codebooks; k++)
        for (size_t i = 0; i < n; i++)
            rows.push_back({f.depth_table.as<float *>() + i * pages, static_cast<int>(pages),
                            static_cast<int>(k)});
    check(cudaMemcpyAsync(f.depth_rows.as<attend_row>(), rows.data(), rows.size() * sizeof(attend_row),
                          cudaMemcpyHostToDevice, ctx.stream),
          "rows of attention");
}

/* ---- the sequence ------------------------------------------------------- */

/* Rows through one layer: x has parts of the layer before to be added, if n_parts. */
struct layer_rows {
    const attend_row *rows;
    int n;
    float *x;
    int most_pages;
    bool is_one_each; /* of a lane */
    bool keeps_half;  /* its lane's pages */
    int n_parts;      /* in f.parts */
};

static rows_job norm_rows(const layer_rows &r, const csm_norm &norm, size_t width, frame_state &f)
{
    rows_job job = plain_rows(r.x, static_cast<size_t>(r.n), width);
    job.parts = f.parts.as<float>();
    job.n_parts = r.n_parts;
    job.ld_parts = width;
    job.keeps_x = r.n_parts > 0;
    set_norm(job, norm, width);
    return job;
}

static void run_layer(context &ctx, const csm_attention &a, const csm_mlp &m, size_t layer,
                      const float *frequencies, layer_rows &r, frame_state &f)
{
    size_t n = static_cast<size_t>(r.n), q_width = a.n_heads * a.head_dim;
    const matrix &q = a.q->matrix, &o = a.o->matrix, &down = m.down->matrix;
    int planes_in = 0;
    for (const csm_weight *w : {a.q, a.k, a.v})
        planes_in = w->matrix.n_planes > planes_in ? w->matrix.n_planes : planes_in;

    rows_job in = norm_rows(r, a.norm, a.width, f);
    in.to = room_for_planes(ctx, f.planes_a, n, a.width, slots_of(planes_in));
    launch_rows(ctx, in);
    attend_job attend = attention_of(a, layer, frequencies);
    product_job product;
    product.x = in.to;
    product.n = r.n;
    product.ld = attend.ld;
    for (const csm_weight *w : {a.q, a.k, a.v})
        add_matrix(product, w->matrix);
    product.out = room_for_parts(f.qkv, q, n, attend.ld);
    launch_product(ctx, product);

    attend.rows = r.rows;
    attend.n = r.n;
    attend.qkv = product.out;
    attend.n_parts = 1;
    attend.most_pages = r.most_pages;
    attend.to = room_for_planes(ctx, f.planes_b, n, q_width, slots_of(o.n_planes));
    attend.is_one_each = r.is_one_each;
    attend.keeps_half = r.keeps_half;
    launch_attend(ctx, attend);
    launch_product(ctx, one_product(o, attend.to, n, room_for_parts(f.parts, o, n, a.width)));
    r.n_parts = o.n_parts();

    int planes_up = m.gate->matrix.n_planes > m.up->matrix.n_planes ? m.gate->matrix.n_planes
                                                                    : m.up->matrix.n_planes;
    rows_job middle = norm_rows(r, m.norm, m.width, f);
    middle.to = room_for_planes(ctx, f.planes_a, n, m.width, slots_of(planes_up));
    launch_rows(ctx, middle);
    product_job gated;
    gated.x = middle.to;
    gated.n = r.n;
    add_matrix(gated, m.gate->matrix);
    add_matrix(gated, m.up->matrix);
    gated.is_gated = true;
    gated.out_planes = room_for_planes(ctx, f.planes_b, n, m.hidden, slots_of(down.n_planes));
    launch_product(ctx, gated);
    launch_product(ctx, one_product(down, gated.out_planes, n, room_for_parts(f.parts, down, n, m.width)));
    r.n_parts = down.n_parts();
}

static void run_step(context &ctx, const csm_frame_parts &p, const frame_key &key, frame_state &f)
{
    size_t width = p.step.attention[0].width;
    if (key.n_fed > 0) {
        weight_view table = table_form(ctx, own(p.step.codes));
        dim3 grid(static_cast<unsigned>((width + 127) / 128), static_cast<unsigned>(key.n));
        launch(ctx, "a frame's feed", feed_kernel, grid, 128, 0, f.lanes.as<lane_frame>(), table,
               static_cast<int>(p.n_codebooks), f.x.as<float>());
        layer_rows r = {f.backbone_rows.as<attend_row>(), static_cast<int>(key.n_fed),
                        f.x.as<float>(), static_cast<int>(key.most_pages), true, keeps_half(ctx, p.step.attention[0]), 0};
        for (size_t l = 0; l < p.step.n_layers; l++)
            run_layer(ctx, p.step.attention[l], p.step.mlp[l], l,
                      frequencies_of(ctx, p.step.attention[l].rope, p.step.attention[l].head_dim), r, f);
        rows_job last = norm_rows(r, p.step.norm, width, f);
        last.out = f.hidden.as<float>();
        launch_rows(ctx, last);
    }
    dim3 grid(static_cast<unsigned>((width + 127) / 128), static_cast<unsigned>(key.n));
    launch(ctx, "hidden rows", hidden_kernel, grid, 128, 0, f.lanes.as<lane_frame>(), f.hidden.as<float>(),
           f.hidden.as<float>() + f.room * width, static_cast<int>(width));
}

static void run_draw(context &ctx, const csm_frame_parts &p, const frame_key &key, size_t k,
                     frame_state &f)
{
    size_t depth = p.attention[0].width;
    draw_job job = {};
    job.lanes = f.lanes.as<lane_frame>();
    job.logits = f.logits.as<float>();
    job.codes = f.codes.as<int32_t>();
    job.k = static_cast<int>(k);
    job.n_codebooks = static_cast<int>(p.n_codebooks);
    job.vocab = static_cast<int>(p.vocab);
    job.projected = f.projected.as<float>();
    job.width = static_cast<int>(depth);
    if (k + 1 < p.n_codebooks) {
        job.next = f.depth_x.as<float>() + (k == 0 ? depth : 0);
        job.row_stride = k == 0 ? 2 * depth : depth;
    }
    launch(ctx, "a draw", draw_kernel, dim3(static_cast<unsigned>(key.n)), DRAW_THREADS, 0, job);
}

/* Whether codebooks of n lanes go to the host once k has been drawn. Of many lanes they go in fours,
 * and the last one goes alone: so little is left to be done after the card. */
static bool ends_piece(const csm_frame_parts &p, size_t n, size_t k)
{
    const size_t many = 8, piece = 4, last = p.n_codebooks - 1;
    return k == last || (n >= many && ((k + 1) % piece == 0 || k + 1 == last));
}

/* Codebook k has been drawn: those that wait to be sent go to the host, beside what comes after. */
static void send_codes(context &ctx, const csm_frame_parts &p, const frame_key &key, size_t k, frame_state &f)
{
    size_t first = k, row = p.n_codebooks * p.vocab * sizeof(float);
    if (!ends_piece(p, key.n, k))
        return;
    while (first > 0 && !ends_piece(p, key.n, first - 1))
        first--;
    check(cudaEventRecord(f.drawn, ctx.stream), "a frame's codes");
    check(cudaStreamWaitEvent(f.results, f.drawn, 0), "a frame's codes");
    check(cudaMemcpyAsync(f.host_codes, f.codes.as<int32_t>(), key.n * p.n_codebooks * sizeof(int32_t),
                          cudaMemcpyDeviceToHost, f.results),
          "a frame's codes");
    check(cudaMemcpy2DAsync(f.host_logits + first * p.vocab, row, f.logits.as<float>() + first * p.vocab, row,
                            (k + 1 - first) * p.vocab * sizeof(float), key.n, cudaMemcpyDeviceToHost, f.results),
          "a frame's logits");
    check(cudaMemcpyAsync(const_cast<int32_t *>(&f.host_arrived[k]), f.is_there.as<int32_t>(),
                          sizeof(int32_t), cudaMemcpyDeviceToHost, f.results),
          "a frame's codes");
    if (k + 1 < p.n_codebooks)
        return;
    check(cudaEventRecord(f.sent, f.results), "a frame's codes");
    check(cudaStreamWaitEvent(ctx.stream, f.sent, 0), "a frame's codes");
}

/* Logits of codebook k of rows that `in` makes ready. */
static void run_head(context &ctx, const csm_frame_parts &p, const frame_key &key, size_t k,
                     rows_job in, frame_state &f)
{
    const matrix &m = k == 0 ? p.first_head->matrix : p.heads[k - 1]->matrix;
    in.to = room_for_planes(ctx, f.planes_a, key.n, static_cast<size_t>(in.width), slots_of(m.n_planes));
    launch_rows(ctx, in);
    product_job job = one_product(m, in.to, key.n, f.logits.as<float>() + k * p.vocab);
    job.ld = p.n_codebooks * p.vocab;
    launch_product(ctx, job);
    run_draw(ctx, p, key, k, f);
    send_codes(ctx, p, key, k, f);
}

static void run_frame(context &ctx, const csm_frame_parts &p, const frame_key &key, frame_state &f)
{
    size_t width = p.step.attention[0].width, depth = p.attention[0].width, n = key.n;
    run_step(ctx, p, key, f);
    const float *hidden = f.hidden.as<float>() + f.room * width;
    rows_job in = plain_rows(hidden, n, width);
    run_head(ctx, p, key, 0, in, f);
    const matrix &projector = p.projector->matrix;
    in.to = room_for_planes(ctx, f.planes_b, n, width, slots_of(projector.n_planes));
    launch_rows(ctx, in);
    product_job first = one_product(projector, in.to, n, f.depth_x.as<float>());
    first.ld = 2 * depth;
    launch_product(ctx, first);

    const attend_row *rows = f.depth_rows.as<attend_row>();
    for (size_t k = 1; k < p.n_codebooks; k++) {
        size_t per_lane = k == 1 ? 2 : 1;
        layer_rows r = {rows, static_cast<int>(per_lane * n), f.depth_x.as<float>(),
                        static_cast<int>(k / PAGE + 1), k > 1, keeps_half(ctx, p.attention[0]), 0};
        for (size_t l = 0; l < p.n_layers; l++)
            run_layer(ctx, p.attention[l], p.mlp[l], l,
                      frequencies_of(ctx, p.attention[l].rope, p.attention[l].head_dim), r, f);
        rows_job last = norm_rows(r, p.norm, depth, f);
        last.keeps_x = false;
        if (k == 1) { /* every second row */
            last.n = static_cast<int>(n);
            last.x += depth;
            last.ld = 2 * depth;
            last.parts += depth;
            last.ld_parts = 2 * depth;
            last.between_parts = 2 * n * depth;
        }
        run_head(ctx, p, key, k, last, f);
        rows += per_lane * n;
    }
}

/* ---- one frame of each lane --------------------------------------------- */

static void replay(context &ctx, const csm_frame_parts &p, const frame_key &key, frame_state &f)
{
    enum { MOST_GRAPHS = 64 };
    f.n_frames++;
    for (frame_graph &g : f.graphs) {
        if (!(g.key == key))
            continue;
        g.used = f.n_frames;
        if (g.graph == nullptr) {
            cudaGraph_t graph = nullptr;
            check(cudaStreamBeginCapture(ctx.stream, cudaStreamCaptureModeThreadLocal), "recording a frame");
            try {
                run_frame(ctx, p, key, f);
            } catch (...) {
                cudaStreamEndCapture(ctx.stream, &graph);
                cudaGraphDestroy(graph);
                cudaGetLastError();
                throw;
            }
            check(cudaStreamEndCapture(ctx.stream, &graph), "recording a frame");
            cudaError_t error = cudaGraphInstantiate(&g.graph, graph, 0);
            cudaGraphDestroy(graph);
            check(error, "recording a frame");
        }
        check(cudaGraphLaunch(g.graph, ctx.stream), "a frame");
        return;
    }
    if (f.graphs.size() == MOST_GRAPHS) { /* the one unused for longest goes */
        size_t oldest = 0;
        for (size_t i = 1; i < f.graphs.size(); i++)
            if (f.graphs[i].used < f.graphs[oldest].used)
                oldest = i;
        if (f.graphs[oldest].graph != nullptr)
            cudaGraphExecDestroy(f.graphs[oldest].graph);
        f.graphs.erase(f.graphs.begin() + static_cast<std::ptrdiff_t>(oldest));
    }
    auto rooms = [&] {
        return std::vector<void *>{f.planes_a.as<void>(), f.planes_b.as<void>(), f.qkv.as<void>(), f.parts.as<void>()};
    };
    auto before = rooms();
    run_frame(ctx, p, key, f);
    if (rooms() != before)
        f.forget_graphs(); /* they are of rooms that are gone */
    frame_graph seen;
    seen.key = key;
    seen.used = f.n_frames;
    f.graphs.push_back(seen);
}

bool is_greedy(const csm_frame_draw &d)
{
    return !(d.temperature > 0) && !(d.depth_temperature > 0);
}

size_t draws_of(const csm_frame_parts &p, const csm_frame_draw &d)
{
    return (d.temperature > 0 ? 1 : 0) + (d.depth_temperature > 0 ? p.n_codebooks - 1 : 0);
}

void tell_draw(const csm_frame_parts &p, const csm_frame_draw &d, const int32_t *known, size_t n_known,
               uint64_t offset, lane_frame &out)
{
    if (d.noise == nullptr && d.random == nullptr && !is_greedy(d))
        throw declined("a draw without noise or a random stream");
    out.temperature[0] = static_cast<float>(d.temperature);
    out.temperature[1] = static_cast<float>(d.depth_temperature);
    out.top_k[0] = static_cast<int>(d.top_k < p.vocab ? d.top_k : 0);
    out.top_k[1] = static_cast<int>(d.depth_top_k < p.vocab ? d.depth_top_k : 0);
    out.dtype = d.dtype;
    out.logits_dtype = d.logits_dtype;
    out.by_reciprocal = d.random != nullptr;
    out.noise = nullptr;
    if (d.random != nullptr) {
        out.key[0] = d.random->key[0];
        out.key[1] = d.random->key[1];
        out.offset = offset;
    }
    for (size_t k = 0; k < p.n_codebooks; k++)
        out.known[k] = k < n_known ? known[k] : -1;
}

/* What the card is told of one lane. */
static void describe(context &ctx, const csm_frame_parts &p, const csm_frame_lane &lane, size_t i,
                     lane_frame &out, frame_state &f)
{
    const csm_frame_draw &d = *lane.draw;
    size_t noise_size = p.n_codebooks * p.vocab;
    tell_draw(p, d, d.known, d.n_known, d.random == nullptr ? 0 : d.random->offset, out);
    const csm_lane &b = *lane.backbone;
    if (d.noise != nullptr && !is_greedy(d) && b.early_frame == f.n_many && b.early_noise == d.noise) {
        out.noise = f.early_noise[f.n_many % 2].as<float>() + b.early_at * noise_size;
    } else if (d.noise != nullptr && !is_greedy(d)) {
        out.noise = f.noise.as<float>() + i * noise_size;
        check(cudaMemcpyAsync(f.noise.as<float>() + i * noise_size, d.noise, noise_size * sizeof(float),
                              cudaMemcpyHostToDevice, ctx.stream),
              "noise");
    }
    for (size_t k = 0; k < p.n_codebooks; k++)
        out.feed[k] = lane.feed == nullptr ? 0 : static_cast<int32_t>(k * p.vocab) + lane.feed[k];
    out.hidden = lane.hidden->data();
}

static void expect_lane(const csm_frame_parts &p, const csm_frame_lane &lane)
{
    const csm_attention &a = p.step.attention[0];
    const csm_lane &b = *lane.backbone;
    if (b.head_dim != a.head_dim || b.n_kv_heads != a.n_kv_heads || b.n_layers != p.step.n_layers)
        throw declined("a frame over a lane of another model");
    if (lane.feed != nullptr && b.lengths[0] >= b.capacity)
        throw declined(shaped("a lane of %zu positions is full", b.capacity));
}

/* ---- beside the card's work ---------------------------------------------- */

/* A loop over lanes, shared by threads where there are many. */
static void each_lane(frame_state &f, csm_work work, void *user, size_t n)
{
    enum { COPIERS = 8, LEAST = 8 };
    if (n >= LEAST && f.copiers == nullptr && csm_threads_new(COPIERS, &f.copiers, nullptr) != CSM_OK)
        f.copiers = nullptr; /* without them it takes longer */
    if (n >= LEAST && f.copiers != nullptr)
        csm_threads_run(f.copiers, work, user, n, 1);
    else
        work(user, 0, n, 0);
}

static bool is_noise_known(const csm_frame_draw &d)
{
    return d.may_go_on && d.next_noise != nullptr && !is_greedy(d);
}

/* Lanes take their next page before they need it, each at another position: it takes a while, and
 * lanes that began together would all do it before the same frame. */
static void grow_ahead(context &ctx, const csm_frame_lane *lanes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        csm_lane &b = *lanes[i].backbone;
        size_t next = b.lengths[0] + (lanes[i].feed != nullptr), end = next + 1 + i % PAGE;
        if (!lanes[i].draw->may_go_on || next >= b.capacity)
            continue;
        try {
            grow(ctx, b, next, end < b.capacity ? end : b.capacity);
        } catch (const failure &e) {
            if (e.code != cudaErrorMemoryAllocation)
                throw;
            return; /* the frame itself will say so */
        }
    }
}

struct noise_job {
    const csm_frame_lane *lanes;
    float *to; /* [n, row], pinned */
    size_t row;
};

static void noise_work(void *user, size_t first, size_t end, int)
{
    const noise_job &job = *static_cast<const noise_job *>(user);
    for (size_t i = first; i < end; i++)
        if (is_noise_known(*job.lanes[i].draw))
            memcpy(job.to + i * job.row, job.lanes[i].draw->next_noise, job.row * sizeof(float));
}

/* The noise of the lanes' next frames, as far as it is known. */
static void send_ahead(const csm_frame_parts &p, const csm_frame_lane *lanes, size_t n, frame_state &f)
{
    size_t row = p.n_codebooks * p.vocab;
    float *to = f.early_noise[(f.n_many + 1) % 2].as<float>();
    noise_job job = {lanes, f.host_noise, row};
    check(cudaEventSynchronize(f.told), "noise"); /* it is still read from host_noise */
    each_lane(f, noise_work, &job, n);
    for (size_t i = 0, first = 0; i <= n; i++) {
        if (i < n && is_noise_known(*lanes[i].draw)) {
            csm_lane &b = *lanes[i].backbone;
            b.early_frame = f.n_many + 1;
            b.early_noise = lanes[i].draw->next_noise;
            b.early_at = i;
            continue;
        }
        if (i > first)
            check(cudaMemcpyAsync(to + first * row, f.host_noise + first * row, (i - first) * row * sizeof(float),
                                  cudaMemcpyHostToDevice, f.copies),
                  "noise");
        first = i + 1;
    }
    check(cudaEventRecord(f.told, f.copies), "noise");
}

/* Codes [first, end) from where they arrived to where they were asked for. */
struct hand_out {
    const csm_frame_lane *lanes;
    const int32_t *codes;
    const float *logits;
    size_t first, end, n_codebooks, vocab;
};

static void hand_out_work(void *user, size_t first, size_t end, int)
{
    const hand_out &job = *static_cast<const hand_out *>(user);
    size_t n = job.end - job.first;
    for (size_t i = first; i < end; i++) {
        size_t at = i * job.n_codebooks + job.first;
        memcpy(job.lanes[i].codes + job.first, job.codes + at, n * sizeof(int32_t));
        memcpy(job.lanes[i].logits + job.first * job.vocab, job.logits + at * job.vocab,
               n * job.vocab * sizeof(float));
    }
}

/* Until a piece is there, or the card has done all that it was given. */
static void wait_for(context &ctx, const volatile int32_t &piece)
{
    enum { LOOKS = 64 };
    for (int i = 0; piece == 0; i++) {
        std::this_thread::yield();
        if (i % LOOKS != 0)
            continue;
        cudaError_t state = cudaStreamQuery(ctx.stream);
        if (state == cudaSuccess)
            return;
        if (state != cudaErrorNotReady)
            check(state, "a frame");
    }
}

/* Pieces of the frame, as they come. */
static void collect(context &ctx, const csm_frame_parts &p, const csm_frame_lane *lanes, size_t n, frame_state &f,
                    const listener &to)
{
    for (size_t first = 0, k = 0; k < p.n_codebooks; k++) {
        if (!ends_piece(p, n, k))
            continue;
        bool is_last = k + 1 == p.n_codebooks;
        if (is_last)
            check(cudaStreamSynchronize(ctx.stream), "a frame");
        else
            wait_for(ctx, f.host_arrived[k]);
        std::atomic_thread_fence(std::memory_order_acquire);
        hand_out job = {lanes, f.host_codes, f.host_logits, first, k + 1, p.n_codebooks, p.vocab};
        each_lane(f, hand_out_work, &job, n);
        if (!is_last && to.arrived != nullptr)
            to.arrived(to.user, k + 1);
        first = k + 1;
    }
}

/* After a frame: the lane is a position longer, its random stream as many draws further. */
static void move_on(const csm_frame_parts &p, const csm_frame_lane &lane)
{
    if (lane.feed != nullptr)
        for (size_t &length : lane.backbone->lengths)
            length++;
    if (lane.draw->random != nullptr && lane.draw->noise == nullptr)
        lane.draw->random->offset += draws_of(p, *lane.draw) * NOISE_ADVANCE;
}

/* Lanes, or fed rows, that the kernels are given for n: so few numbers that a graph is there for
 * each soon, while speakers come and go. Those that are nobody's are idle. */
static size_t with_idle(size_t n)
{
    size_t step = n <= 8 ? 1 : n <= 64 ? 8 : n <= 256 ? 16 : 32;
    return (n + step - 1) / step * step;
}

/* What idle lanes have: a hidden row of zeros, and a page that nobody reads. */
static void prepare_idle(context &ctx, const csm_lane &like, size_t width, frame_state &f)
{
    if (f.idle_page != nullptr && &f.idle_page->pool == like.pool)
        return;
    check(cudaStreamSynchronize(ctx.stream), "idle lanes");
    f.idle_hidden.reserve(width * sizeof(float));
    check(cudaMemset(f.idle_hidden.as<void>(), 0, width * sizeof(float)), "idle lanes");
    f.idle_page = std::make_unique<page>(*like.pool, ctx.stream);
    f.idle_table.reserve(sizeof(float *));
    check(cudaMemcpy(f.idle_table.as<void>(), &f.idle_page->data, sizeof(float *), cudaMemcpyHostToDevice),
          "idle lanes");
}

/* Lanes from n on, and rows from n_fed on, as many as the key has. */
static void describe_idle(const csm_frame_parts &p, const frame_key &key, size_t n, size_t n_fed, frame_state &f)
{
    for (size_t i = n; i < key.n; i++) {
        lane_frame &out = f.host_lanes[i];
        out = {};
        out.fed = -1;
        out.hidden = f.idle_hidden.as<float>();
        out.dtype = out.logits_dtype = CSM_DTYPE_F32;
        for (size_t k = 0; k < p.n_codebooks; k++)
            out.known[k] = -1;
    }
    for (size_t i = n_fed; i < key.n_fed; i++)
        f.host_rows[i] = {f.idle_table.as<float *>(), 1, 0};
}

static void draw_many(context &ctx, const csm_frame_parts &p, csm_frame_lane *lanes, size_t n, frame_state &f,
                      const listener &to)
{
    frame_key key;
    key.model = p.first_head;
    key.n = with_idle(n);
    size_t room = f.room;
    prepare_room(ctx, p, key.n, f);
    if (f.room != room || f.depth_rows_of != key.n) {
        tell_depth_rows(ctx, p, key.n, f);
        f.depth_rows_of = key.n;
    }
    f.n_many++;
    check(cudaStreamWaitEvent(ctx.stream, f.told, 0), "noise");

    size_t width = p.step.attention[0].width, most_pages = 1, n_fed = 0;
    prepare_idle(ctx, *lanes[0].backbone, width, f);
    for (size_t i = 0; i < n; i++) {
        lane_frame &out = f.host_lanes[i];
        if (lanes[i].feed != nullptr)
            lanes[i].hidden->shape(1, width);
        describe(ctx, p, lanes[i], i, out, f);
        out.fed = -1;
        out.position = 0;
        if (lanes[i].feed == nullptr)
            continue;
        csm_lane &b = *lanes[i].backbone;
        size_t at = b.lengths[0];
        b.begun = 0;
        grow(ctx, b, at, at + 1);
        f.host_rows[n_fed] = {b.table.as<float *>(), static_cast<int>(b.n_table), static_cast<int>(at)};
        out.pages = b.table.as<float *>();
        out.n_pages = static_cast<int>(b.n_table);
        out.position = static_cast<int>(at);
        out.fed = static_cast<int>(n_fed++);
        size_t pages = pages_seen(b, at + 1);
        most_pages = pages > most_pages ? pages : most_pages;
    }
    key.n_fed = with_idle(n_fed) < key.n ? with_idle(n_fed) : key.n;
    describe_idle(p, key, n, n_fed, f);
    enum { PAGES_STEP = 16 }; /* a graph lasts for so many pages */
    key.most_pages = key.n_fed == 0 ? 0 : (most_pages + PAGES_STEP - 1) / PAGES_STEP * PAGES_STEP;
    check(cudaMemcpyAsync(f.lanes.as<lane_frame>(), f.host_lanes, key.n * sizeof(lane_frame),
                          cudaMemcpyHostToDevice, ctx.stream),
          "a frame's lanes");
    if (key.n_fed > 0)
        check(cudaMemcpyAsync(f.backbone_rows.as<attend_row>(), f.host_rows,
                              key.n_fed * sizeof(attend_row), cudaMemcpyHostToDevice, ctx.stream),
              "a frame's rows");
    for (int i = 0; i < MOST_CODEBOOKS; i++)
        f.host_arrived[i] = 0;
    replay(ctx, p, key, f);
    if (to.arrived != nullptr)
        to.arrived(to.user, 0);
    grow_ahead(ctx, lanes, n);
    send_ahead(p, lanes, n, f);
    collect(ctx, p, lanes, n, f, to);
}

void draw_frames(context &ctx, const csm_frame_parts &p, csm_frame_lane *lanes, size_t n, const listener &to)
{
    if (n == 0)
        return;
    if (ctx.frame == nullptr) {
        ctx.frame = std::make_unique<frame_state>();
        check(cudaDeviceGetStreamPriorityRange(nullptr, &ctx.priority), "priorities");
    }
    frame_state &f = *ctx.frame;
    prepare_model(ctx, p, f);
    for (size_t i = 0; i < n; i++)
        expect_lane(p, lanes[i]);
    bool is_alone = n == 1 && f.one != nullptr && lanes[0].backbone->lengths[0] < MOST_ONE_POSITIONS;
    if (!is_alone || !draw_alone(ctx, p, *f.one, *f.alone, lanes[0]))
        draw_many(ctx, p, lanes, n, f, to);
    for (size_t i = 0; i < n; i++)
        move_on(p, lanes[i]);
}

/* ---- the random stream -------------------------------------------------- */

csm_random *make_random(const context &ctx, uint64_t seed, size_t n_calls, size_t n_each)
{
    uint64_t most = static_cast<uint64_t>(ctx.properties.multiProcessorCount) *
                    static_cast<uint64_t>(ctx.properties.maxThreadsPerMultiProcessor);
    auto random = std::make_unique<csm_random>();
    random->key[0] = static_cast<uint32_t>(seed);
    random->key[1] = static_cast<uint32_t>(seed >> 32);
    uint64_t n_threads = (n_each + 255) / 256 * 256;
    if (n_threads > most / 256 * 256)
        n_threads = most / 256 * 256;
    random->offset = n_each == 0 ? 0 : n_calls * NOISE_ADVANCE * ((n_each - 1) / (n_threads * 4) + 1);
    return random.release();
}

} // namespace csm_cuda
