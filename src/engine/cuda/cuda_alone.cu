/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_alone.cu - frames of one lane, one launch each, and the next one begun before it is
 * asked for. While the caller repeats the draws of a frame and makes its sound, the card is
 * at work on the one after, with the codes that it drew itself. If that frame is then asked
 * for as it was begun, it is given; else it was in vain, and is made again. What was begun is
 * kept apart: its hidden row, and a position of the lane that does not count yet. */
#include <cstring>

#include "engine/cuda/cuda_frame.h"
#include "engine/cuda/cuda_one.h"

namespace csm_cuda {

/* What a frame is told and what it gives, on the card and here: of two frames in turn. */
struct slot {
    memory lane, noise, codes, logits; /* codes: as run_one has them */
    lane_frame *host_lane = nullptr;   /* pinned, as are: */
    float *host_noise = nullptr, *host_logits = nullptr;
    int32_t *host_codes = nullptr;
    cudaEvent_t told = nullptr, computed = nullptr, copied = nullptr;
};

/* The frame that was begun, as it has to be asked for. */
struct begun_frame {
    uint64_t number = 0; /* 0: none */
    slot *at = nullptr;
    csm_frame_draw draw = {};
    bool has_noise = false;
    uint64_t offset = 0;
    int32_t feed[MOST_CODEBOOKS], known[MOST_CODEBOOKS];
};

struct alone_state {
    cudaStream_t copies = nullptr; /* to and from the card, beside what runs */
    slot slots[2];
    int turn = 0;
    uint64_t n_begun = 0;
    begun_frame begun;
    csm_value hidden; /* of the frame that was begun */
    ~alone_state()
    {
        for (slot &s : slots) {
            cudaFreeHost(s.host_lane);
            cudaFreeHost(s.host_noise);
            cudaFreeHost(s.host_logits);
            cudaFreeHost(s.host_codes);
            for (cudaEvent_t event : {s.told, s.computed, s.copied})
                if (event != nullptr)
                    cudaEventDestroy(event);
        }
        if (copies != nullptr)
            cudaStreamDestroy(copies);
    }
};

static void end_alone(alone_state *a)
{
    delete a;
}

template <class T> static void pinned(T *&to, size_t n)
{
    check(cudaMallocHost(reinterpret_cast<void **>(&to), n * sizeof(T)), "pinned memory");
}

std::unique_ptr<alone_state, void (*)(alone_state *)> make_alone(const csm_frame_parts &p)
{
    std::unique_ptr<alone_state, void (*)(alone_state *)> a(new alone_state, end_alone);
    size_t k = p.n_codebooks, row = k * p.vocab;
    check(cudaStreamCreateWithFlags(&a->copies, cudaStreamNonBlocking), "a stream");
    for (slot &s : a->slots) {
        s.lane.reserve(sizeof(lane_frame));
        s.noise.reserve(row * sizeof(float));
        s.codes.reserve((2 * k + 1) * sizeof(int32_t));
        check(cudaMemset(s.codes.as<void>(), 0, s.codes.size()), "a frame's codes");
        s.logits.reserve(row * sizeof(float));
        pinned(s.host_lane, 1);
        pinned(s.host_noise, row);
        pinned(s.host_logits, row);
        pinned(s.host_codes, 2 * k + 1);
        for (cudaEvent_t *event : {&s.told, &s.computed, &s.copied})
            check(cudaEventCreateWithFlags(event, cudaEventDisableTiming), "an event");
    }
    a->hidden.shape(1, p.step.attention[0].width);
    return a;
}

/* ---- a launch ------------------------------------------------------------ */

/* A frame of `lane`, told as `draw` has it. fed: the codes that become its position, here or
 * (of the frame before) on the card; both NULL: `hidden` stands. */
struct asked_frame {
    csm_lane *lane;
    const csm_frame_draw *draw;
    const float *noise;
    uint64_t offset;
    const int32_t *known;
    size_t n_known;
    const int32_t *feed, *fed_before;
    size_t position;
    float *hidden;
};

static void launch(context &ctx, const csm_frame_parts &p, one_frame &one, alone_state &a, slot &s,
                   const asked_frame &of)
{
    size_t row = p.n_codebooks * p.vocab;
    lane_frame &out = *s.host_lane;
    tell_draw(p, *of.draw, of.known, of.n_known, of.offset, out);
    out.noise = nullptr;
    if (of.noise != nullptr && !is_greedy(*of.draw)) {
        memcpy(s.host_noise, of.noise, row * sizeof(float));
        check(cudaMemcpyAsync(s.noise.as<float>(), s.host_noise, row * sizeof(float), cudaMemcpyHostToDevice,
                              a.copies),
              "noise");
        out.noise = s.noise.as<float>();
    }
    for (size_t k = 0; k < p.n_codebooks; k++)
        out.feed[k] = of.feed == nullptr ? 0 : static_cast<int32_t>(k * p.vocab) + of.feed[k];
    out.pages = of.lane->table.as<float *>();
    out.n_pages = static_cast<int>(of.lane->n_table);
    out.position = static_cast<int>(of.position);
    bool is_fed = of.feed != nullptr || of.fed_before != nullptr;
    out.fed = nullptr;
    out.hidden = of.hidden;
    check(cudaMemcpyAsync(s.lane.as<lane_frame>(), s.host_lane, sizeof out, cudaMemcpyHostToDevice, a.copies),
          "a frame's lane");
    check(cudaEventRecord(s.told, a.copies), "a frame's lane");
    check(cudaStreamWaitEvent(ctx.stream, s.told, 0), "a frame's lane");
    run_one(ctx, one, s.lane.as<lane_frame>(), of.fed_before, is_fed, out.position, s.codes.as<int32_t>(),
            s.logits.as<float>());
    check(cudaEventRecord(s.computed, ctx.stream), "a frame");
}

/* False: it was given up. */
static bool collect(const csm_frame_parts &p, alone_state &a, slot &s, csm_frame_lane &lane)
{
    size_t k = p.n_codebooks, row = k * p.vocab;
    check(cudaStreamWaitEvent(a.copies, s.computed, 0), "a frame");
    check(cudaMemcpyAsync(s.host_codes, s.codes.as<int32_t>(), (2 * k + 1) * sizeof(int32_t), cudaMemcpyDeviceToHost,
                          a.copies),
          "a frame's codes");
    check(cudaMemcpyAsync(s.host_logits, s.logits.as<float>(), row * sizeof(float), cudaMemcpyDeviceToHost,
                          a.copies),
          "a frame's logits");
    check(cudaEventRecord(s.copied, a.copies), "a frame");
    check(cudaEventSynchronize(s.copied), "a frame");
    if (s.host_codes[2 * k] != 0)
        return false;
    memcpy(lane.codes, s.host_codes, k * sizeof(int32_t));
    memcpy(lane.logits, s.host_logits, row * sizeof(float));
    return true;
}

/* ---- the next frame ------------------------------------------------------ */

static bool has_noise(const csm_frame_draw &d)
{
    return d.noise != nullptr && !is_greedy(d);
}

static bool is_as_begun(const csm_frame_parts &p, const alone_state &a, const csm_frame_lane &lane)
{
    const begun_frame &b = a.begun;
    const csm_frame_draw &d = *lane.draw, &e = b.draw;
    size_t k = p.n_codebooks;
    return b.number != 0 && lane.backbone->begun == b.number && lane.feed != nullptr &&
           memcmp(lane.feed, b.feed, k * sizeof(int32_t)) == 0 && d.temperature == e.temperature &&
           d.depth_temperature == e.depth_temperature && d.top_k == e.top_k && d.depth_top_k == e.depth_top_k &&
           d.dtype == e.dtype && d.logits_dtype == e.logits_dtype && d.random == e.random &&
           d.n_known == e.next_n_known &&
           (d.n_known == 0 || memcmp(d.known, b.known, d.n_known * sizeof(int32_t)) == 0) &&
           has_noise(d) == b.has_noise &&
           (b.has_noise ? memcmp(d.noise, b.at->host_noise, k * p.vocab * sizeof(float)) == 0
                        : d.random == nullptr || d.random->offset == b.offset);
}

/* The frame after the one in `s`, if what it takes is known; without it nothing is lost. */
static void begin_next(context &ctx, const csm_frame_parts &p, one_frame &one, alone_state &a, const slot &s,
                       const csm_frame_lane &lane, size_t position)
{
    const csm_frame_draw &d = *lane.draw;
    csm_lane &b = *lane.backbone;
    if (!d.may_go_on || position >= b.capacity || position >= MOST_ONE_POSITIONS ||
        (has_noise(d) && d.next_noise == nullptr) || d.next_n_known > p.n_codebooks)
        return;
    try {
        grow(ctx, b, position, position + 1);
    } catch (const failure &e) {
        if (e.code != cudaErrorMemoryAllocation)
            throw;
        return; /* the frame itself will say so */
    }
    begun_frame &next = a.begun;
    next.at = &a.slots[a.turn ^= 1];
    next.draw = d;
    next.has_noise = has_noise(d);
    next.offset = d.random == nullptr || next.has_noise ? 0 : d.random->offset + draws_of(p, d) * NOISE_ADVANCE;
    if (d.next_n_known > 0)
        memcpy(next.known, d.next_known, d.next_n_known * sizeof(int32_t));
    launch(ctx, p, one, a, *next.at,
           {&b, &d, next.has_noise ? d.next_noise : nullptr, next.offset, d.next_known, d.next_n_known, nullptr,
            s.codes.as<int32_t>() + p.n_codebooks, position, a.hidden.data()});
    next.number = b.begun = ++a.n_begun;
}

bool draw_alone(context &ctx, const csm_frame_parts &p, one_frame &one, alone_state &a, csm_frame_lane &lane)
{
    csm_lane &b = *lane.backbone;
    const csm_frame_draw &d = *lane.draw;
    size_t at = b.lengths[0];
    slot *s;
    bool is_begun = is_as_begun(p, a, lane);
    if (lane.feed != nullptr)
        lane.hidden->shape(1, p.step.attention[0].width);
    if (is_begun) {
        s = a.begun.at;
        std::swap(lane.hidden->memory, a.hidden.memory);
    } else {
        if (a.begun.number != 0) /* it may still be at work in its slot */
            check(cudaStreamSynchronize(ctx.stream), "a frame that was begun");
        s = &a.slots[a.turn ^= 1];
        if (lane.feed != nullptr)
            grow(ctx, b, at, at + 1);
        launch(ctx, p, one, a, *s,
               {&b, &d, d.noise, d.random == nullptr ? 0 : d.random->offset, d.known, d.n_known, lane.feed, nullptr,
                at, lane.hidden->data()});
    }
    a.begun.number = b.begun = 0;
    begin_next(ctx, p, one, a, *s, lane, lane.feed != nullptr ? at + 1 : at);
    if (!collect(p, a, *s, lane)) {
        check(cudaStreamSynchronize(ctx.stream), "a frame that was begun");
        a.begun.number = b.begun = 0;
        if (is_begun)
            std::swap(lane.hidden->memory, a.hidden.memory);
        return false;
    }
    for (size_t k = 0; k < p.n_codebooks; k++)
        a.begun.feed[k] = k < d.n_known ? d.known[k] : lane.codes[k];
    return true;
}

} // namespace csm_cuda
