/* SPDX-License-Identifier: Apache-2.0
 *
 * All codes of a frame: the parts in the order in which the model composes them
 * (language_state.c), draws between them, nothing read back before the end.
 *
 * On CUDA some five thousand small kernels make a frame, and launching them one
 * by one takes longer than they run. Their shapes are the same in every frame, so
 * they are captured into a graph at the first one. The noise is drawn outside of
 * it, row by row as PyTorch would draw it, into a tensor that the graph reads. */
#include <cstring>

#include <ATen/accelerator/Graph.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "torch_engine.h"

namespace csm_torch {

/* What a frame is made of and gives; on the device. */
struct frame_tensors {
    at::Tensor hidden; /* [1, 1, width] */
    at::Tensor noise;  /* [n_codebooks, vocab]; rows of greedy draws unused */
    at::Tensor known;  /* [n_codebooks] int64, -1 where the drawn code goes on */
    at::Tensor codes;  /* [n_codebooks] int64 as drawn */
    at::Tensor logits; /* [n_codebooks, vocab] float32 */
};

struct frame_graph {
    /* What the graph was captured for, and the cache whose tensors it uses. */
    csm_frame_parts parts;
    csm_frame_draw how;
    csm_cache cache;

    frame_tensors tensors;
    at::accelerator::Graph graph;

    frame_graph(const csm_frame_parts &p, const csm_frame_draw &h, const csm_cache &c,
                frame_tensors t)
        : parts(p), how(h), cache(c), tensors(std::move(t))
    {
    }

    bool fits(const csm_frame_parts &p, const csm_frame_draw &h) const
    {
        return parts.first_head == p.first_head && how.temperature == h.temperature &&
               how.depth_temperature == h.depth_temperature && how.top_k == h.top_k &&
               how.depth_top_k == h.depth_top_k && how.as_sesame == h.as_sesame;
    }
};

context::context() = default;
context::~context() = default;

/* The depth decoder's normed last row for x [1, T, depth width]. */
static at::Tensor run_depth(const csm_frame_parts &parts, csm_cache &cache, at::Tensor x)
{
    for (size_t l = 0; l < parts.n_layers; l++) {
        x = attention(parts.attention[l], cache, 0, l, x);
        x = mlp(parts.mlp[l], x);
    }
    return rms_norm(parts.norm, x).slice(1, x.size(1) - 1);
}

/* Fill codes and logits of `t`. */
static void run_frame(const csm_frame_parts &parts, csm_cache &cache, const csm_frame_draw &how,
                      frame_tensors &t)
{
    auto n = static_cast<int64_t>(parts.n_codebooks), vocab = static_cast<int64_t>(parts.vocab);
    std::vector<at::Tensor> codes, logits;
    truncate(cache, 0, 0);
    at::Tensor row = linear(*parts.first_head, nullptr, t.hidden);
    for (int64_t k = 0;; k++) {
        at::Tensor drawn = k == 0 ? draw(how.temperature, how.top_k, how.as_sesame, row,
                                         t.noise.narrow(0, 0, 1))
                                  : draw(how.depth_temperature, how.depth_top_k, how.as_sesame,
                                         row, t.noise.narrow(0, k, 1));
        codes.push_back(drawn.view({1}));
        logits.push_back(row.view({1, -1}).to(at::kFloat));
        if (k == n - 1)
            break;
        at::Tensor known = t.known.narrow(0, k, 1).view({1, 1});
        at::Tensor fed = at::where(known < 0, drawn, known);
        at::Tensor x = at::embedding(parts.codes->tensor, fed + k * vocab);
        if (k == 0)
            x = at::cat({t.hidden, x}, 1);
        x = run_depth(parts, cache, linear(*parts.projector, nullptr, x));
        row = linear(*parts.heads[k], nullptr, x);
    }
    t.codes = at::cat(codes);
    t.logits = at::cat(logits);
}

static void fill_inputs(frame_tensors &t, const csm_frame_parts &parts, const at::Tensor &hidden,
                        const csm_frame_draw &how)
{
    t.hidden.copy_(hidden);
    auto n = static_cast<int64_t>(parts.n_codebooks), vocab = static_cast<int64_t>(parts.vocab);
    at::Tensor known = at::full({n}, -1, at::kLong);
    for (size_t k = 0; k < how.n_known; k++)
        known[static_cast<int64_t>(k)] = how.known[k];
    t.known.copy_(known);
    if (how.kind == csm_frame_draw::CSM_DRAW_RACE) {
        if (how.noise != nullptr)
            t.noise.copy_(at::from_blob(const_cast<float *>(how.noise), {n, vocab}, at::kFloat));
        return;
    }
    for (int64_t k = 0; k < n; k++)
        if ((k == 0 ? how.temperature : how.depth_temperature) != 0)
            t.noise.narrow(0, k, 1).exponential_(1, how.random->generator);
}

static frame_tensors make_tensors(const context &ctx, const csm_frame_parts &parts,
                                  const at::Tensor &hidden, bool as_sesame)
{
    auto n = static_cast<int64_t>(parts.n_codebooks), vocab = static_cast<int64_t>(parts.vocab);
    auto options = at::device(ctx.device);
    frame_tensors t;
    t.hidden = at::empty_like(hidden, at::MemoryFormat::Contiguous);
    t.noise = at::empty({n, vocab}, options.dtype(as_sesame ? hidden.scalar_type() : at::kFloat));
    t.known = at::empty({n}, options.dtype(at::kLong));
    return t;
}

/* On a stream of its own, as capture demands. A frame is run before it, so that
 * what libraries set up at a first call is set up. */
static void capture(frame_graph &g)
{
    c10::impl::VirtualGuardImpl device(g.tensors.hidden.device().type());
    c10::Stream side = device.getStreamFromGlobalPool(g.tensors.hidden.device());
    device.synchronizeDevice(g.tensors.hidden.device().index());
    c10::StreamGuard guard(side);
    run_frame(g.parts, g.cache, g.how, g.tensors);
    side.synchronize();
    g.graph.capture_begin();
    run_frame(g.parts, g.cache, g.how, g.tensors);
    g.graph.capture_end();
}

static void hand_out(const frame_tensors &t, int32_t *codes, float *logits)
{
    at::Tensor drawn = t.codes.to(at::kCPU, at::kInt), rows = t.logits.to(at::kCPU);
    std::memcpy(codes, drawn.const_data_ptr<int32_t>(), drawn.nbytes());
    std::memcpy(logits, rows.const_data_ptr<float>(), rows.nbytes());
}

void draw_frame(context &ctx, const csm_frame_parts &parts, csm_cache &cache,
                const at::Tensor &hidden, const csm_frame_draw &how, int32_t *codes, float *logits)
{
    if (!ctx.device.is_cuda()) {
        frame_tensors t = make_tensors(ctx, parts, hidden, how.as_sesame);
        fill_inputs(t, parts, hidden, how);
        run_frame(parts, cache, how, t);
        hand_out(t, codes, logits);
        return;
    }
    bool is_new = ctx.graph == nullptr || !ctx.graph->fits(parts, how);
    if (is_new)
        ctx.graph = std::make_unique<frame_graph>(parts, how, cache,
                                                  make_tensors(ctx, parts, hidden, how.as_sesame));
    frame_graph &g = *ctx.graph;
    fill_inputs(g.tensors, parts, hidden, how);
    if (is_new)
        capture(g);
    g.graph.replay();
    hand_out(g.tensors, codes, logits);
}

} // namespace csm_torch
