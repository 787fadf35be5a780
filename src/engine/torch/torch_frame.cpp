/* SPDX-License-Identifier: Apache-2.0
 *
 * All codes of a frame: the parts in the order in which the model composes them
 * (model/pass.c), draws between them, nothing read back before the end.
 *
 * On CUDA their shapes are the same in every frame, so they are captured into a
 * graph at the first one. The noise is drawn outside of it, row by row as PyTorch
 * would draw it, into a tensor that the graph reads: that of a frame while the one
 * before it is computed, since noise depends on nothing else. */
#include <algorithm>
#include <cstring>

#include "torch_fused.h"

namespace csm_torch {

struct frame_graph {
    /* What it was captured for. */
    const csm_weight *first_head;
    csm_frame_draw how;
    bool has_known;

    frame_tensors tensors;
    fused_depth depth;
    kernel_graph kernels;

    bool fits(const csm_frame_parts &p, const csm_frame_draw &h, bool known) const
    {
        return first_head == p.first_head && how.temperature == h.temperature &&
               how.depth_temperature == h.depth_temperature && how.top_k == h.top_k &&
               how.depth_top_k == h.depth_top_k && how.as_sesame == h.as_sesame &&
               has_known == known;
    }
};

context::context() = default;
context::~context() = default;

fused_depth::fused_depth(const context &ctx, const csm_frame_parts &parts, const csm_lane &cache)
    : norm(parts.norm), layers(fuse(parts.attention, parts.mlp, parts.n_layers)),
      rotations(cache.rope.matrices(static_cast<int64_t>(parts.n_codebooks))),
      flash(has_flash(ctx, rotations.scalar_type(), parts.attention[0].head_dim))
{
    for (const fused_layer &layer : layers)
        caches.push_back(make_static_cache(layer, static_cast<int64_t>(parts.n_codebooks)));
}

at::Tensor fused_depth::run(at::Tensor x, int64_t first)
{
    for (size_t l = 0; l < layers.size(); l++)
        fused_rows(layers[l], caches[l], rotations, first, flash, x);
    return fused_norm(norm, x.slice(0, x.size(0) - 1));
}

/* The same, [1, 1, depth width] for x [1, T, depth width], by the plain blocks. */
static at::Tensor run_depth(const csm_frame_parts &parts, csm_lane &cache, at::Tensor x)
{
    for (size_t l = 0; l < parts.n_layers; l++) {
        x = attention(parts.attention[l], cache, l, x);
        x = mlp(parts.mlp[l], x);
    }
    return rms_norm(parts.norm, x).slice(1, x.size(1) - 1);
}

void run_frame(const csm_frame_parts &parts, csm_lane &cache, fused_depth *depth,
               const csm_frame_draw &how, frame_tensors &t)
{
    auto n = static_cast<int64_t>(parts.n_codebooks), vocab = static_cast<int64_t>(parts.vocab);
    truncate(cache, 0);
    at::Tensor row = linear(*parts.first_head, nullptr, t.hidden);
    for (int64_t k = 0;; k++) {
        at::Tensor kept = t.logits.narrow(0, k, 1), code = t.codes.narrow(0, k, 1).view({1, 1});
        kept.copy_(row.view({1, -1}));
        draw(k == 0 ? how.temperature : how.depth_temperature, k == 0 ? how.top_k : how.depth_top_k,
             how.as_sesame, how.as_sesame ? row : kept, t.noise.narrow(0, k, 1), code);
        if (k == n - 1)
            break;
        if (t.known.defined()) {
            at::Tensor known = t.known.narrow(0, k, 1).view({1, 1});
            code = at::where(known < 0, code, known);
        }
        at::Tensor x = at::embedding(parts.codes->tensor.narrow(0, k * vocab, vocab), code);
        if (k == 0)
            x = at::cat({t.hidden, x}, 1);
        x = linear(*parts.projector, nullptr, x);
        x = depth != nullptr ? depth->run(x.view({x.size(1), -1}), k == 0 ? 0 : k + 1).unsqueeze(0)
                             : run_depth(parts, cache, x);
        row = linear(*parts.heads[k], nullptr, x);
    }
}

static frame_tensors make_tensors(const context &ctx, const csm_frame_parts &parts,
                                  const at::Tensor &hidden, bool as_sesame, bool has_known)
{
    auto n = static_cast<int64_t>(parts.n_codebooks), vocab = static_cast<int64_t>(parts.vocab);
    auto options = at::device(ctx.device);
    frame_tensors t;
    t.hidden = at::empty_like(hidden, at::MemoryFormat::Contiguous);
    t.noise = at::zeros({n, vocab}, options.dtype(as_sesame ? hidden.scalar_type() : at::kFloat));
    t.codes = at::empty({n}, options.dtype(at::kLong));
    t.logits = at::empty({n, vocab}, options.dtype(at::kFloat));
    if (has_known)
        t.known = at::empty({n}, options.dtype(at::kLong));
    return t;
}

/* A frame's own noise, call by call. */
static void draw_noise(const csm_frame_draw &how, at::Tensor &noise)
{
    for (int64_t k = 0; k < noise.size(0); k++)
        if ((k == 0 ? how.temperature : how.depth_temperature) != 0)
            noise.narrow(0, k, 1).exponential_(1, how.random->generator);
}

static void fill_noise(const csm_frame_draw &how, at::Tensor &noise)
{
    if (how.kind == csm_frame_draw::CSM_DRAW_OWN) {
        if (how.random == nullptr) /* every draw is greedy */
            return;
        if (how.random->ahead.defined())
            noise.copy_(how.random->ahead);
        else
            draw_noise(how, noise);
    } else if (how.noise != nullptr) {
        noise.copy_(at::from_blob(const_cast<float *>(how.noise), noise.sizes(), at::kFloat));
    }
}

/* Not pinned, so copied to where the device finds it before the call returns. */
static void fill_known(const csm_frame_draw &how, at::Tensor &known)
{
    std::vector<int64_t> host(static_cast<size_t>(known.size(0)), -1);
    std::copy(how.known, how.known + how.n_known, host.begin());
    known.copy_(at::from_blob(host.data(), known.sizes(), at::kLong), /*non_blocking=*/true);
}

static void fill_inputs(frame_tensors &t, const at::Tensor &hidden, const csm_frame_draw &how)
{
    t.hidden.copy_(hidden);
    fill_noise(how, t.noise);
    if (t.known.defined())
        fill_known(how, t.known);
}

static void hand_out(const frame_tensors &t, int32_t *codes, float *logits)
{
    at::Tensor drawn = t.codes.to(at::kCPU, at::kInt), rows = t.logits.to(at::kCPU);
    std::memcpy(codes, drawn.const_data_ptr<int32_t>(), drawn.nbytes());
    std::memcpy(logits, rows.const_data_ptr<float>(), rows.nbytes());
}

/* The graph for these settings: the last one used is the first; new where there is none. */
static frame_graph &find_graph(context &ctx, const csm_frame_parts &parts, const csm_lane &depth,
                               const at::Tensor &hidden, const csm_frame_draw &how, bool has_known,
                               bool *is_new)
{
    auto &all = ctx.graphs;
    auto found = std::find_if(all.begin(), all.end(), [&](const auto &graph) {
        return graph->fits(parts, how, has_known);
    });
    *is_new = found == all.end();
    if (*is_new) {
        if (all.size() == MOST_GRAPHS)
            all.pop_back();
        all.emplace_back(new frame_graph{parts.first_head,
                                         how,
                                         has_known,
                                         make_tensors(ctx, parts, hidden, how.as_sesame, has_known),
                                         {ctx, parts, depth},
                                         {}});
        found = all.end() - 1;
    }
    std::rotate(all.begin(), found, found + 1);
    return *all.front();
}

static void feed_frame(context &ctx, const csm_frame_parts &parts, csm_frame_lane &lane)
{
    std::vector<int32_t> ids(parts.n_codebooks);
    for (size_t k = 0; k < parts.n_codebooks; k++)
        ids[k] = static_cast<int32_t>(k * parts.vocab) + lane.feed[k];
    lane.hidden->tensor = run_step(ctx, parts.step, *lane.backbone, ids.data(), ids.size());
}

void draw_frame(context &ctx, const csm_frame_parts &parts, csm_frame_lane &lane)
{
    const csm_frame_draw &how = *lane.draw;
    bool is_own = how.kind == csm_frame_draw::CSM_DRAW_OWN;
    if (lane.feed != nullptr)
        feed_frame(ctx, parts, lane);
    const at::Tensor hidden = lane.hidden->tensor;
    if (!ctx.device.is_cuda()) {
        frame_tensors t = make_tensors(ctx, parts, hidden, how.as_sesame, how.n_known > 0);
        fill_inputs(t, hidden, how);
        run_frame(parts, *lane.depth, nullptr, how, t);
        hand_out(t, lane.codes, lane.logits);
        return;
    }
    /* A race asks now with known codes, now without: one graph for both. */
    bool is_new, has_known = !is_own || how.n_known > 0;
    frame_graph &g = find_graph(ctx, parts, *lane.depth, hidden, how, has_known, &is_new);
    fill_inputs(g.tensors, hidden, how);
    if (is_new)
        g.kernels.record(ctx.device,
                         [&] { run_frame(parts, *lane.depth, &g.depth, how, g.tensors); });
    g.kernels.replay();
    if (is_own && how.random != nullptr) {
        if (!how.random->ahead.defined())
            how.random->ahead = at::zeros_like(g.tensors.noise);
        draw_noise(how, how.random->ahead);
    }
    hand_out(g.tensors, lane.codes, lane.logits);
}

} // namespace csm_torch
