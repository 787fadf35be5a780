/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_frame_steps.cu - a frame of many lanes as a sequence: the kernels of the blocks, one after
 * the other, and the draws between them. What differs from frame to frame is data on the card, so
 * that a sequence is recorded as a graph when it is asked for again and replayed from then on.
 *
 * The depth decoder's inputs are codes' rows through the projector: those of all codes are
 * made once, by the same product, so that a step begins with a copy. */
#include "engine/cuda/cuda_draw.cuh"
#include "engine/cuda/cuda_frame_state.h"
#include "engine/cuda/cuda_launch.cuh"
#include "engine/cuda/cuda_view.cuh"

namespace csm_cuda {

/* ---- kernels ------------------------------------------------------------ */

/* A block a lane and stretch of columns: what was fed goes to the lane's hidden row, and all
 * hidden rows come together. */
__global__ static void hidden_kernel(const lane_frame *lanes, float *all, int width)
{
    await_before();
    const lane_frame &lane = lanes[blockIdx.y];
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= width)
        return;
    if (lane.fed != nullptr)
        lane.hidden[c] = lane.fed[c];
    all[static_cast<size_t>(blockIdx.y) * width + c] = lane.hidden[c];
}

/* A block a row and stretch of columns. codes: of all lanes, as drawn, which their frames go on with
 * where nothing else is known; NULL: what the lanes are told to feed. */
__global__ static void feed_kernel(const lane_frame *lanes, const int *lane_of, const int32_t *codes, int vocab,
                                   weight_view table, int n_ids, float *out)
{
    await_before();
    int i = lane_of[blockIdx.y], c = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < 0 || c >= table.cols)
        return;
    const lane_frame &lane = lanes[i];
    float sum = 0.0f;
    for (int j = 0; j < n_ids; j++) {
        int row = codes == nullptr ? lane.feed[j]
                                   : j * vocab + (lane.known[j] >= 0 ? lane.known[j] : codes[i * n_ids + j]);
        float v = weight_value(table, row, c);
        sum = j == 0 ? v : sum + v;
    }
    out[static_cast<size_t>(blockIdx.y) * table.cols + c] = sum;
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

/* The backbone's step of key.n rows. */
static void run_feed(context &ctx, const csm_frame_parts &p, const frame_key &key, frame_state &f)
{
    fed_rows &fed = key.of == frame_key::FEED ? f.fed : f.ahead;
    size_t width = p.step.attention[0].width;
    weight_view table = table_form(ctx, own(p.step.codes));
    dim3 grid(static_cast<unsigned>((width + 127) / 128), static_cast<unsigned>(key.n));
    launch(ctx, "a frame's feed", feed_kernel, grid, 128, 0, f.lanes.as<lane_frame>(), fed.lanes.as<int>(),
           key.of == frame_key::FEED ? nullptr : f.codes.as<int32_t>(), static_cast<int>(p.vocab), table,
           static_cast<int>(p.n_codebooks), f.x.as<float>());
    layer_rows r = {fed.rows.as<attend_row>(), static_cast<int>(key.n),
                    f.x.as<float>(), static_cast<int>(key.most_pages), true,
                    keeps_half(ctx, p.step.attention[0]), 0};
    for (size_t l = 0; l < p.step.n_layers; l++)
        run_layer(ctx, p.step.attention[l], p.step.mlp[l], l,
                  frequencies_of(ctx, p.step.attention[l].rope, p.step.attention[l].head_dim), r, f);
    rows_job last = norm_rows(r, p.step.norm, width, f);
    last.out = fed.hidden.as<float>();
    launch_rows(ctx, last);
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

bool ends_piece(const csm_frame_parts &p, size_t n, size_t k)
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

/* All codes of key.n lanes. */
static void run_codes(context &ctx, const csm_frame_parts &p, const frame_key &key, frame_state &f)
{
    size_t width = p.step.attention[0].width, depth = p.attention[0].width, n = key.n;
    dim3 grid(static_cast<unsigned>((width + 127) / 128), static_cast<unsigned>(n));
    launch(ctx, "hidden rows", hidden_kernel, grid, 128, 0, f.lanes.as<lane_frame>(), f.hidden.as<float>(),
           static_cast<int>(width));
    rows_job in = plain_rows(f.hidden.as<float>(), n, width);
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

static void run_sequence(context &ctx, const csm_frame_parts &p, const frame_key &key, frame_state &f)
{
    if (key.of == frame_key::CODES)
        run_codes(ctx, p, key, f);
    else
        run_feed(ctx, p, key, f);
}

/* ---- as a graph --------------------------------------------------------- */

void replay(context &ctx, const csm_frame_parts &p, const frame_key &key, frame_state &f)
{
    enum { MOST_GRAPHS = 128 };
    f.n_frames++;
    for (frame_graph &g : f.graphs) {
        if (!(g.key == key))
            continue;
        g.used = f.n_frames;
        if (g.graph == nullptr) {
            cudaGraph_t graph = nullptr;
            check(cudaStreamBeginCapture(ctx.stream, cudaStreamCaptureModeThreadLocal), "recording a frame");
            try {
                run_sequence(ctx, p, key, f);
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
    try {
        run_sequence(ctx, p, key, f);
    } catch (...) {
        f.forget_graphs(); /* a room may be gone for which there was no larger one */
        throw;
    }
    if (rooms() != before)
        f.forget_graphs(); /* they are of rooms that are gone */
    frame_graph seen;
    seen.key = key;
    seen.used = f.n_frames;
    f.graphs.push_back(seen);
}

} // namespace csm_cuda
