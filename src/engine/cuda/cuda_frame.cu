/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_frame.cu - frames: of a lane alone where it can be (cuda_alone.cu), else of many. Each lane
 * is described to the card, then a sequence of kernels runs (cuda_frame_steps.cu), and nothing is
 * read back before its codes are there, some codebooks at a time (cuda_frame_host.cu). */
#include "engine/cuda/cuda_frame_state.h"

namespace csm_cuda {

context::context() = default;

context::~context()
{
    frame.reset();
    if (stream != nullptr)
        cudaStreamDestroy(stream);
}

/* ---- what the card is told -------------------------------------------- */

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

/* ---- one frame of each lane --------------------------------------------- */

/* After a frame: the lane is a position longer, its random stream as many draws further. */
static void move_on(const csm_frame_parts &p, const csm_frame_lane &lane)
{
    if (lane.feed != nullptr)
        for (size_t &length : lane.backbone->lengths)
            length++;
    if (lane.draw->random != nullptr && lane.draw->noise == nullptr)
        lane.draw->random->offset += draws_of(p, *lane.draw) * NOISE_ADVANCE;
}

/* From such a number of lanes to the next smaller one. */
static size_t idle_step(size_t n)
{
    return n <= 8 ? 1 : n <= 64 ? 8 : n <= 256 ? 16 : 32;
}

/* Lanes, or fed rows, that the kernels are given for n: so few numbers that a graph is there for
 * each soon, while speakers come and go. Those that are nobody's are idle. */
size_t with_idle(size_t n)
{
    size_t step = idle_step(n);
    return (n + step - 1) / step * step;
}

/* What idle lanes have: a hidden row of zeros, and a page that nobody reads. */
static void prepare_idle(context &ctx, const csm_frame_parts &p, frame_state &f)
{
    page_pool *pool = pool_of(ctx, kept_floats(ctx, p.step.attention[0], p.step.n_layers, PAGE));
    size_t width = p.step.attention[0].width;
    if (f.idle_page != nullptr && &f.idle_page->pool == pool)
        return;
    check(cudaStreamSynchronize(ctx.stream), "idle lanes");
    f.idle_hidden.reserve(width * sizeof(float));
    check(cudaMemset(f.idle_hidden.as<void>(), 0, width * sizeof(float)), "idle lanes");
    f.idle_page = std::make_unique<page>(*pool, ctx.stream);
    f.idle_table.reserve(sizeof(float *));
    check(cudaMemcpy(f.idle_table.as<void>(), &f.idle_page->data, sizeof(float *), cudaMemcpyHostToDevice),
          "idle lanes");
}

/* Lanes from n on, as many as the key has, are idle; then all go to the card. */
static void tell_lanes(context &ctx, const csm_frame_parts &p, const frame_key &key, size_t n, frame_state &f)
{
    for (size_t i = n; i < key.n; i++) {
        lane_frame &out = f.host_lanes[i];
        out = {};
        out.hidden = f.idle_hidden.as<float>();
        out.dtype = out.logits_dtype = CSM_DTYPE_F32;
        for (size_t k = 0; k < p.n_codebooks; k++)
            out.known[k] = -1;
    }
    check(cudaMemcpyAsync(f.lanes.as<lane_frame>(), f.host_lanes, key.n * sizeof(lane_frame), cudaMemcpyHostToDevice,
                          ctx.stream),
          "a frame's lanes");
}

/* Room for frames of n lanes, and what such a frame takes without a word of its own. */
static void prepare_many(context &ctx, const csm_frame_parts &p, size_t n, frame_state &f)
{
    size_t room = f.room;
    prepare_room(ctx, p, n, f);
    if (f.room != room || f.depth_rows_of != n) {
        tell_depth_rows(ctx, p, n, f);
        f.depth_rows_of = n;
    }
    prepare_idle(ctx, p, f);
}

static void draw_many(context &ctx, const csm_frame_parts &p, csm_frame_lane *lanes, size_t n, frame_state &f,
                      const listener &to)
{
    frame_key feed, codes;
    feed.of = frame_key::FEED;
    codes.of = frame_key::CODES;
    feed.model = codes.model = p.first_head;
    codes.n = with_idle(n);
    prepare_many(ctx, p, codes.n, f);
    f.n_many++;
    check(cudaStreamWaitEvent(ctx.stream, f.told, 0), "noise");

    size_t width = p.step.attention[0].width, most_pages = 1, n_fed = 0;
    bool goes_on = false;
    for (size_t i = 0; i < n; i++) {
        lane_frame &out = f.host_lanes[i];
        csm_lane &b = *lanes[i].backbone;
        size_t at = b.lengths[0];
        out.fed = nullptr;
        if (lanes[i].feed != nullptr) {
            goes_on = true;
            lanes[i].hidden->shape(1, width);
            b.begun = 0;
            if (is_fed_ahead(p, lanes[i], f)) {
                out.fed = f.ahead.hidden.as<float>() + b.ahead_at * width;
            } else {
                grow(ctx, b, at, at + 1);
                size_t pages = tell_row(b, at, n_fed, i, f.fed);
                most_pages = pages > most_pages ? pages : most_pages;
                out.fed = f.fed.hidden.as<float>() + n_fed++ * width;
            }
        }
        describe(ctx, p, lanes[i], i, out, f);
    }
    tell_lanes(ctx, p, codes, n, f);
    if (n_fed > 0) {
        feed.n = with_idle(n_fed);
        tell_rows(ctx, n_fed, most_pages, feed, f.fed, f);
        replay(ctx, p, feed, f);
    }
    for (int i = 0; i < MOST_CODEBOOKS; i++)
        f.host_arrived[i] = 0;
    replay(ctx, p, codes, f);
    if (to.arrived != nullptr)
        to.arrived(to.user, 0);
    grow_ahead(ctx, lanes, n);
    send_ahead(p, lanes, n, f);
    if (goes_on) /* else it is asked for again, and the others' next rows stand */
        feed_ahead(ctx, p, lanes, n, f);
    collect(ctx, p, lanes, n, f, to);
    if (goes_on)
        note_fed(p, lanes, n, f);
}

/* What frames of that model have. */
static frame_state &state_of(context &ctx, const csm_frame_parts &p)
{
    if (ctx.frame == nullptr) {
        ctx.frame = std::make_unique<frame_state>();
        check(cudaDeviceGetStreamPriorityRange(nullptr, &ctx.priority), "priorities");
    }
    prepare_model(ctx, p, *ctx.frame);
    return *ctx.frame;
}

/* After a failure: else what of it still comes would be taken for the next frame's. */
static void let_end(context &ctx, frame_state &f)
{
    for (cudaStream_t stream : {ctx.stream, f.results, f.copies})
        cudaStreamSynchronize(stream);
    cudaGetLastError(); /* it is told by what is thrown */
}

void draw_frames(context &ctx, const csm_frame_parts &p, csm_frame_lane *lanes, size_t n, const listener &to)
{
    if (n == 0)
        return;
    frame_state &f = state_of(ctx, p);
    for (size_t i = 0; i < n; i++)
        expect_lane(p, lanes[i]);
    bool is_alone = n == 1 && f.one != nullptr && lanes[0].backbone->lengths[0] < MOST_ONE_POSITIONS;
    try {
        if (!is_alone || !draw_alone(ctx, p, *f.one, *f.alone, lanes[0]))
            draw_many(ctx, p, lanes, n, f, to);
    } catch (...) {
        let_end(ctx, f);
        throw;
    }
    for (size_t i = 0; i < n; i++)
        move_on(p, lanes[i]);
}

/* Each sequence runs over idle lanes, kernel by kernel, then recorded. The largest number comes first, whose rooms are
 * the largest, and once more, in rooms that stay. */
static void ready_many(context &ctx, const csm_frame_parts &p, size_t n, frame_state &f)
{
    frame_key step, codes;
    step.of = frame_key::FEED_AHEAD;
    codes.of = frame_key::CODES;
    step.model = codes.model = p.first_head;
    f.n_ahead++; /* what was fed ahead has gone */
    int n_times = 3;
    for (codes.n = with_idle(n); codes.n > 1; codes.n -= idle_step(codes.n)) {
        prepare_many(ctx, p, codes.n, f);
        tell_lanes(ctx, p, codes, 0, f);
        step.n = codes.n;
        tell_rows(ctx, 0, 1, step, f.ahead, f);
        for (int i = 0; i < n_times; i++) {
            replay(ctx, p, step, f);
            replay(ctx, p, codes, f);
        }
        check(cudaStreamSynchronize(ctx.stream), "a frame");
        n_times = 2;
    }
}

void ready_frames(context &ctx, const csm_frame_parts &p, size_t n)
{
    frame_state &f = state_of(ctx, p);
    if (n < 2)
        return;
    try {
        ready_many(ctx, p, n, f);
    } catch (...) {
        let_end(ctx, f);
        throw;
    }
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
