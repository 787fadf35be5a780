/* SPDX-License-Identifier: Apache-2.0 */
#include "torch_fused.h"

#include <cmath>

namespace csm_torch {

/* The matrices [rows, cols] one behind the other. */
static at::Tensor join(std::initializer_list<csm_weight *> weights)
{
    std::vector<at::Tensor> parts;
    int64_t rows = 0;
    bool is_joined = true;
    for (const csm_weight *weight : weights) {
        TORCH_CHECK(!weight->transposed, "a layer's matrix lies as [in, out]");
        const at::Tensor &t = weight->tensor, &first = *(parts.empty() ? &t : &parts[0]);
        is_joined = is_joined && t.is_contiguous() && t.is_alias_of(first) &&
                    t.storage_offset() == first.storage_offset() + rows * t.size(1);
        rows += t.size(0);
        parts.push_back(t);
    }
    int64_t cols = parts[0].size(1);
    if (is_joined)
        return parts[0].as_strided({rows, cols}, {cols, 1});
    at::Tensor all = at::cat(parts);
    rows = 0;
    for (csm_weight *weight : weights) {
        int64_t n = weight->tensor.size(0);
        weight->tensor = all.narrow(0, rows, n);
        rows += n;
    }
    return all;
}

std::vector<fused_layer> fuse(const csm_attention *attention, const csm_mlp *mlp, size_t n_layers)
{
    std::vector<fused_layer> layers;
    for (size_t l = 0; l < n_layers; l++) {
        const csm_attention &a = attention[l];
        const csm_mlp &m = mlp[l];
        layers.push_back({&a, &m, join({a.q, a.k, a.v}), join({m.gate, m.up})});
    }
    return layers;
}

at::Tensor fused_norm(const csm_norm &norm, const at::Tensor &x)
{
    return at::rms_norm(x, {x.size(-1)}, norm.scale->tensor.to(x.scalar_type()),
                        static_cast<double>(norm.eps));
}

static double scale_of(const csm_attention &block)
{
    return 1.0 / std::sqrt(static_cast<double>(block.head_dim));
}

/* q [batch, T, heads, head_dim], k and v [batch, n, key heads, head_dim]. */
static at::Tensor flash(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v,
                        bool is_causal, double scale)
{
    return std::get<0>(at::_flash_attention_forward(q, k, v, {}, {}, q.size(1), k.size(1),
                                                    /*dropout_p=*/0.0, is_causal,
                                                    /*return_debug_mask=*/false, scale));
}

bool has_flash(const context &ctx, at::ScalarType dtype, size_t head_dim)
{
    if (!ctx.device.is_cuda() || dtype == at::kFloat || head_dim % 8 != 0 || head_dim > 256)
        return false;
    try { /* older cards have none, nor have some builds */
        at::Tensor x = at::zeros({1, 1, 1, static_cast<int64_t>(head_dim)},
                                 at::device(ctx.device).dtype(dtype));
        flash(x, x, x, false, 1.0);
        return true;
    } catch (const c10::Error &) {
        return false;
    }
}

/* x += down(silu(gate(h)) * up(h)), h = norm(x) */
static void fused_mlp(const fused_layer &layer, at::Tensor &x)
{
    auto hidden = static_cast<int64_t>(layer.mlp->hidden);
    at::Tensor both = at::mm(fused_norm(layer.mlp->norm, x), layer.gate_up.t());
    at::Tensor h = at::silu(both.narrow(1, 0, hidden)).mul_(both.narrow(1, hidden, hidden));
    x.addmm_(h, layer.mlp->down->tensor.t());
}

/* Rows of one sequence are one behind the other in `out`, whatever the kernel made. */
static void add_attended(const fused_layer &layer, const at::Tensor &out, at::Tensor &x)
{
    x.addmm_(out.reshape({x.size(0), -1}), layer.attention->o->tensor.t());
}

void fused_step(const fused_layer &layer, const step_place &place, const at::Tensor &keys,
                const at::Tensor &values, at::Tensor &x)
{
    const csm_attention &block = *layer.attention;
    auto head_dim = static_cast<int64_t>(block.head_dim);
    auto heads = static_cast<int64_t>(block.n_heads);
    auto kv_heads = static_cast<int64_t>(block.n_kv_heads);
    int64_t groups = heads / kv_heads, capacity = keys.size(2);

    at::Tensor row = at::mm(fused_norm(block.norm, x), layer.qkv.t()).view({-1, head_dim});
    at::Tensor turned = at::mm(row.narrow(0, 0, heads + kv_heads), place.rotation);
    auto cached = std::vector<int64_t>{1, kv_heads, 1, head_dim};
    keys.index_copy_(2, place.position, turned.narrow(0, heads, kv_heads).view(cached));
    values.index_copy_(2, place.position, row.narrow(0, heads + kv_heads, kv_heads).view(cached));

    /* A key head and its queries are one problem of `groups` rows: what comes out lies
     * in the order of the heads. */
    at::Tensor query = turned.narrow(0, 0, heads), out;
    if (place.used.defined()) {
        auto all = std::vector<int64_t>{kv_heads * capacity, 1, head_dim};
        out = std::get<0>(at::_flash_attention_forward(
            query.view({heads, 1, head_dim}), keys.view(all), values.view(all), place.query_starts,
            place.key_starts, groups, capacity, /*dropout_p=*/0.0, /*is_causal=*/false,
            /*return_debug_mask=*/false, scale_of(block), {}, {}, place.used));
    } else {
        auto whole = std::vector<int64_t>{kv_heads, 1, capacity, head_dim};
        out = at::scaled_dot_product_attention(
            query.view({kv_heads, 1, groups, head_dim}), keys.view(whole), values.view(whole),
            place.mask.expand({kv_heads, 1, groups, capacity}), /*dropout_p=*/0.0,
            /*is_causal=*/false, scale_of(block));
    }
    add_attended(layer, out, x);
    fused_mlp(layer, x);
}

static_cache make_static_cache(const fused_layer &layer, int64_t n_positions)
{
    const csm_attention &block = *layer.attention;
    auto head_dim = static_cast<int64_t>(block.head_dim);
    auto n_turned = static_cast<int64_t>(block.n_heads + block.n_kv_heads);
    auto n_rows = static_cast<int64_t>(block.n_heads + 2 * block.n_kv_heads);
    return {at::zeros({n_positions, n_rows, head_dim}, layer.qkv.options()),
            at::zeros({n_positions, n_turned, head_dim}, layer.qkv.options())};
}

/* q [T, heads, head_dim], k and v [n, key heads, head_dim], T is 1 or n. */
static at::Tensor attend(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v,
                         bool has_flash, double scale)
{
    int64_t n_rows = q.size(0), kv_heads = k.size(1), groups = q.size(1) / kv_heads;
    bool is_causal = n_rows > 1;
    if (!is_causal) { /* as in fused_step */
        at::Tensor query = q.reshape({kv_heads, groups, 1, q.size(2)});
        at::Tensor key = k.transpose(0, 1).unsqueeze(2), value = v.transpose(0, 1).unsqueeze(2);
        if (has_flash)
            return flash(query, key, value, false, scale);
        return at::scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2),
                                                value.transpose(1, 2), {}, 0.0, false, scale);
    }
    if (has_flash)
        return flash(q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0), is_causal, scale);
    auto heads_first = [](const at::Tensor &x) { return x.transpose(0, 1).unsqueeze(0); };
    return at::scaled_dot_product_attention(heads_first(q), heads_first(k), heads_first(v), {}, 0.0,
                                            is_causal, scale, groups > 1)
        .transpose(1, 2);
}

void fused_rows(const fused_layer &layer, static_cache &cache, const at::Tensor &rotations,
                int64_t first, bool has_flash, at::Tensor &x)
{
    const csm_attention &block = *layer.attention;
    auto heads = static_cast<int64_t>(block.n_heads);
    auto kv_heads = static_cast<int64_t>(block.n_kv_heads);
    int64_t n = x.size(0), end = first + n;

    at::Tensor rows = cache.rows.narrow(0, first, n), turned = cache.turned.narrow(0, first, n);
    at::Tensor flat = rows.view({n, -1});
    at::mm_out(flat, fused_norm(block.norm, x), layer.qkv.t());
    at::bmm_out(turned, rows.narrow(1, 0, heads + kv_heads), rotations.narrow(0, first, n));
    at::Tensor keys = cache.turned.narrow(0, 0, end).narrow(1, heads, kv_heads);
    at::Tensor values = cache.rows.narrow(0, 0, end).narrow(1, heads + kv_heads, kv_heads);
    add_attended(layer,
                 attend(turned.narrow(1, 0, heads), keys, values, has_flash, scale_of(block)), x);
    fused_mlp(layer, x);
}

} // namespace csm_torch
