/* SPDX-License-Identifier: Apache-2.0
 *
 * One row through the backbone: the parts in the order in which the model composes
 * them (model/pass.c). On CUDA a graph of few-kernel layers, captured at the
 * first row of a cache: codes and position are data on the device, keys and values
 * go where the position says, and attention sees the cache up to there. */
#include <cmath>

#include "torch_fused.h"

namespace csm_torch {

struct step_graph {
    const csm_attention *captured_for;
    fused_backbone backbone;
    kernel_graph kernels;
};

fused_backbone::fused_backbone(const context &ctx, const csm_step_parts &parts,
                               const csm_lane &cache, size_t n_ids)
    : table(parts.codes->tensor), norm(parts.norm),
      layers(fuse(parts.attention, parts.mlp, parts.n_layers)),
      entries(cache.entries.begin(),
              cache.entries.begin() + static_cast<std::ptrdiff_t>(parts.n_layers)),
      rotations(cache.rope.matrices(cache.capacity))
{
    const csm_attention &block = parts.attention[0];
    auto options = at::device(ctx.device);
    ids = at::zeros({static_cast<int64_t>(n_ids)}, options.dtype(at::kLong));
    position = at::zeros({1}, options.dtype(at::kLong));
    positions = at::arange(cache.capacity, options.dtype(at::kLong));
    hidden = at::empty({1, 1, table.size(1)}, table.options());
    if (has_flash(ctx, table.scalar_type(), block.head_dim)) {
        auto kv_heads = static_cast<int64_t>(block.n_kv_heads);
        at::Tensor index = at::arange(kv_heads + 1, options.dtype(at::kInt));
        query_starts = index * static_cast<int64_t>(block.n_heads / block.n_kv_heads);
        key_starts = index * cache.capacity;
    }
}

step_place fused_backbone::place() const
{
    step_place place;
    place.position = position;
    place.rotation = at::index_select(rotations, 0, position).squeeze(0);
    if (query_starts.defined()) {
        place.query_starts = query_starts;
        place.key_starts = key_starts;
        place.used = (position + 1).to(at::kInt).expand({key_starts.size(0) - 1}).contiguous();
    } else {
        place.mask = at::zeros(positions.sizes(), table.options())
                         .masked_fill_(positions > position, -INFINITY)
                         .view({1, 1, 1, -1});
    }
    return place;
}

void fused_backbone::run()
{
    at::Tensor x = at::embedding(table, ids).sum(0, /*keepdim=*/true);
    step_place here = place();
    for (size_t l = 0; l < layers.size(); l++)
        fused_step(layers[l], here, entries[l].keys, entries[l].values, x);
    hidden.copy_(fused_norm(norm, x).view(hidden.sizes()));
}

static at::Tensor run_parts(const csm_step_parts &parts, csm_lane &cache, const int32_t *ids,
                            size_t n_ids)
{
    at::Tensor x = embed(*parts.codes, ids, 1, n_ids);
    for (size_t l = 0; l < parts.n_layers; l++) {
        x = attention(parts.attention[l], cache, l, x);
        x = mlp(parts.mlp[l], x);
    }
    return rms_norm(parts.norm, x);
}

at::Tensor run_step(context &ctx, const csm_step_parts &parts, csm_lane &cache, const int32_t *ids,
                    size_t n_ids)
{
    if (!ctx.device.is_cuda())
        return run_parts(parts, cache, ids, n_ids);
    int64_t length = cache.entries[0].length;
    if (length >= cache.capacity)
        throw declined("lane of " + std::to_string(cache.capacity) + " positions is full");

    bool is_new = cache.step == nullptr || cache.step->captured_for != parts.attention;
    if (is_new)
        cache.step.reset(new step_graph{parts.attention, {ctx, parts, cache, n_ids}, {}});
    step_graph &g = *cache.step;
    /* Nothing here waits for the device: memory that is not pinned is copied at once. */
    g.backbone.position.fill_(length);
    g.backbone.ids.copy_(at::from_blob(const_cast<int32_t *>(ids), {static_cast<int64_t>(n_ids)},
                                       at::dtype(at::kInt))
                             .to(at::kLong),
                         /*non_blocking=*/true);
    if (is_new)
        g.kernels.record(ctx.device, [&] { g.backbone.run(); });
    g.kernels.replay();
    for (size_t l = 0; l < parts.n_layers; l++)
        cache.entries[l].length++;
    return g.backbone.hidden;
}

} // namespace csm_torch
