/* SPDX-License-Identifier: Apache-2.0
 *
 * The blocks: the operations of transformers' modeling_csm.py in their order,
 * shapes and dtypes (attention by its default, "sdpa"), and where rotary pairs
 * are interleaved those of torchtune's MultiHeadAttention, as Sesame's code
 * calls it. Norm, MLP and linear layers are the same operations in both. */
#include <cmath>

#include <ATen/Parallel.h>

#include "base/quantized_row.h"
#include "torch_engine.h"

namespace csm_torch {

static at::ScalarType type_of(csm_dtype dtype)
{
    switch (dtype) {
    case CSM_DTYPE_F64:
        return at::kDouble;
    case CSM_DTYPE_F32:
        return at::kFloat;
    case CSM_DTYPE_F16:
        return at::kHalf;
    case CSM_DTYPE_BF16:
        return at::kBFloat16;
    default:
        throw declined("weights of integers, expected F64, F32, F16 or BF16");
    }
}

/* MLX's quantization undone: [rows, cols] in float32. */
static at::Tensor dequantize(const csm_weight_source &source)
{
    const int64_t rows = static_cast<int64_t>(source.tensor.shape[0]);
    const size_t cols = source.tensor.shape[1] * 32 / static_cast<size_t>(source.bits);
    at::Tensor values = at::empty({rows, static_cast<int64_t>(cols)}, at::kFloat);
    float *out = values.data_ptr<float>();
    at::parallel_for(0, rows, 16, [&](int64_t first, int64_t end) {
        std::vector<uint8_t> codes(cols);
        for (int64_t r = first; r < end; r++)
            csm_quantized_row(&source, static_cast<size_t>(r), cols, out + r * static_cast<int64_t>(cols),
                              codes.data());
    });
    return values;
}

/* PyTorch's products round by how their operands are aligned. transformers uses
 * a float tensor where it lies in the file, unless its dtype changes, and copies
 * the head of a codebook at each step; Sesame's program copies every tensor. */
static constexpr uintptr_t alignment = 64;

at::Tensor load_weight(context &ctx, const csm_weight_source &source)
{
    const csm_tensor &t = source.tensor;
    bool is_quantized = source.format != CSM_WEIGHT_FLOAT;
    at::ScalarType stored = type_of(is_quantized ? csm_quantized_dtype(&source) : t.dtype);
    if (!ctx.dtype.has_value() && t.rank >= 2)
        ctx.dtype = stored;
    if (is_quantized)
        return dequantize(source).to(ctx.device, *ctx.dtype);

    std::vector<int64_t> shape(t.shape, t.shape + t.rank);
    at::Tensor view = at::from_blob(const_cast<void *>(t.data), shape, at::dtype(stored));
    at::Tensor tensor = view.to(ctx.device, ctx.dtype.value_or(stored));
    bool is_aligned = reinterpret_cast<uintptr_t>(tensor.data_ptr()) % alignment == 0;
    bool is_copied = source.transposed || source.is_copied;
    return is_copied && !is_aligned ? tensor.clone() : tensor;
}

at::Tensor embed(const csm_weight &table, const int32_t *ids, size_t rows, size_t n_per_row)
{
    std::vector<int64_t> shape{1, static_cast<int64_t>(rows)};
    if (n_per_row > 1)
        shape.push_back(static_cast<int64_t>(n_per_row));
    at::Tensor index = at::from_blob(const_cast<int32_t *>(ids), shape, at::dtype(at::kInt))
                           .to(table.tensor.device(), at::kLong);
    at::Tensor rows_of_table = at::embedding(table.tensor, index);
    return n_per_row > 1 ? rows_of_table.sum(2) : rows_of_table;
}

at::Tensor rms_norm(const csm_norm &norm, const at::Tensor &x)
{
    if (norm.kind != csm_norm::CSM_NORM_RMS)
        throw declined("layer norm, expected RMS norm: the codec runs on another engine");
    at::Tensor wide = x.to(at::kFloat);
    at::Tensor variance = wide.pow(2).mean(-1, /*keepdim=*/true);
    wide = wide * at::rsqrt(variance + static_cast<double>(norm.eps));
    return norm.scale->tensor.to(x.scalar_type()) * wide.to(x.scalar_type());
}

at::Tensor linear(const csm_weight &weight, const csm_weight *bias, const at::Tensor &x)
{
    c10::optional<at::Tensor> b;
    if (bias != nullptr)
        b = bias->tensor;
    return at::linear(x, weight.transposed ? weight.tensor.t() : weight.tensor, b);
}

at::Tensor mlp(const csm_mlp &block, const at::Tensor &x)
{
    if (block.gate == nullptr || block.layer_scale != nullptr)
        throw declined("MLP without gate or with layer scale: the codec runs on another engine");
    at::Tensor h = rms_norm(block.norm, x);
    h = at::silu(linear(*block.gate, nullptr, h)) * linear(*block.up, nullptr, h);
    return x + linear(*block.down, nullptr, h);
}

std::unique_ptr<csm_lane> make_lane(const context &ctx, const csm_attention *blocks, size_t n_layers,
                                    size_t capacity, bool is_fixed)
{
    const csm_attention &block = blocks[0];
    if (block.window != 0 || block.layer_scale != nullptr)
        throw declined("attention with window or layer scale: the codec runs on another engine");
    at::ScalarType dtype = block.q->tensor.scalar_type();
    bool as_sesame = block.rope.interleaved;
    auto n = static_cast<int64_t>(capacity);

    std::unique_ptr<csm_lane> lane(
        new csm_lane{blocks, {}, n, is_fixed, {}, rope(block.rope, block.head_dim, ctx, dtype), {}});
    lane->entries.resize(n_layers);
    auto options = at::device(ctx.device).dtype(dtype);
    std::vector<int64_t> shape{0};
    if (as_sesame || is_fixed)
        shape = {1, static_cast<int64_t>(is_fixed ? block.n_kv_heads : block.n_heads), n,
                 static_cast<int64_t>(block.head_dim)};
    for (csm_lane::entry &entry : lane->entries) {
        entry.keys = at::zeros(shape, options);
        entry.values = at::zeros(shape, options);
    }
    if (as_sesame)
        lane->causal = at::ones({n, n}, options.dtype(at::kBool)).tril();
    return lane;
}

void truncate(csm_lane &lane, size_t n_positions)
{
    auto n = static_cast<int64_t>(n_positions);
    for (csm_lane::entry &entry : lane.entries) {
        if (n >= entry.length)
            continue;
        entry.length = n;
        if (lane.is_fixed || lane.causal.defined())
            continue;
        entry.keys = n > 0 ? entry.keys.narrow(2, 0, n) : at::empty({0}, entry.keys.options());
        entry.values = n > 0 ? entry.values.narrow(2, 0, n) : at::empty({0}, entry.values.options());
    }
}

/* Keys and values [1, heads, T, head_dim] take their place behind the others. */
static void append(csm_lane &cache, csm_lane::entry &entry, const at::Tensor &keys,
                   const at::Tensor &values)
{
    int64_t n = keys.size(2);
    if (entry.length + n > cache.capacity)
        throw declined("lane of " + std::to_string(cache.capacity) + " positions is full");
    if (cache.is_fixed || cache.causal.defined()) {
        entry.keys.narrow(2, entry.length, n).copy_(keys);
        entry.values.narrow(2, entry.length, n).copy_(values);
    } else {
        entry.keys = at::cat({entry.keys, keys}, -2);
        entry.values = at::cat({entry.values, values}, -2);
    }
    entry.length += n;
}

/* repeat_kv of transformers. */
static at::Tensor repeat(const at::Tensor &x, int64_t times)
{
    int64_t heads = x.size(1), n = x.size(2), head_dim = x.size(3);
    return x.unsqueeze(2)
        .expand({1, heads, times, n, head_dim})
        .reshape({1, heads * times, n, head_dim});
}

/* CsmAttention.forward and sdpa_attention_forward. h [1, T, width] is normed. */
static at::Tensor attend_as_transformers(const csm_attention &block, csm_lane &cache,
                                         csm_lane::entry &entry, const at::Tensor &h)
{
    int64_t n = h.size(1), first = entry.length;
    auto head_dim = static_cast<int64_t>(block.head_dim);
    auto heads = [&](const csm_weight *weight) {
        return linear(*weight, nullptr, h).view({1, n, -1, head_dim}).transpose(1, 2);
    };
    at::Tensor query = heads(block.q), key = heads(block.k), value = heads(block.v);
    query = cache.rope.rotate_halves(query, first);
    key = cache.rope.rotate_halves(key, first);
    append(cache, entry, key, value);
    key = entry.keys.narrow(2, 0, entry.length);
    value = entry.values.narrow(2, 0, entry.length);

    /* The mask is left out where is_causal says the same. */
    c10::optional<at::Tensor> mask;
    if (n > 1 && first > 0) {
        auto options = at::device(h.device()).dtype(at::kLong);
        mask = (at::arange(entry.length, options).unsqueeze(0) <=
                at::arange(first, entry.length, options).unsqueeze(1))
                   .view({1, 1, n, entry.length});
    }
    auto groups = static_cast<int64_t>(block.n_heads / block.n_kv_heads);
    bool grouped = groups > 1 && ((!mask.has_value() && head_dim <= 256) || h.is_mps());
    if (groups > 1 && !grouped) {
        if (n == 1) { /* queries of one key head side by side */
            query = query.reshape({1, -1, groups, head_dim});
        } else {
            key = repeat(key, groups);
            value = repeat(value, groups);
        }
    }
    at::Tensor out = at::scaled_dot_product_attention(
        query, key, value, mask, /*dropout_p=*/0.0, /*is_causal=*/n > 1 && !mask.has_value(),
        /*scale=*/1.0 / std::sqrt(static_cast<double>(head_dim)), grouped);
    return out.reshape({1, -1, n, head_dim}).transpose(1, 2).contiguous().reshape({1, n, -1});
}

/* MultiHeadAttention.forward with a KVCache, and Sesame's mask over all of it. */
static at::Tensor attend_as_torchtune(const csm_attention &block, csm_lane &cache,
                                      csm_lane::entry &entry, const at::Tensor &h)
{
    int64_t n = h.size(1), first = entry.length;
    auto head_dim = static_cast<int64_t>(block.head_dim);
    auto kv_heads = static_cast<int64_t>(block.n_kv_heads);
    auto groups = static_cast<int64_t>(block.n_heads) / kv_heads;
    int64_t copies = cache.is_fixed ? 1 : groups;
    auto spread = [&](const at::Tensor &x) {
        return x.view({1, n, kv_heads, 1, head_dim})
            .expand({1, n, kv_heads, copies, head_dim})
            .reshape({1, n, -1, head_dim})
            .transpose(1, 2);
    };
    at::Tensor query = linear(*block.q, nullptr, h).view({1, n, -1, head_dim});
    at::Tensor key = linear(*block.k, nullptr, h).view({1, n, -1, head_dim});
    at::Tensor value = linear(*block.v, nullptr, h);
    query = cache.rope.rotate_pairs(query, first).transpose(1, 2);
    key = spread(cache.rope.rotate_pairs(key, first));
    append(cache, entry, key, spread(value));

    at::Tensor mask = cache.causal.narrow(0, first, n).unsqueeze(0).unsqueeze(0);
    key = entry.keys;
    value = entry.values;
    if (cache.is_fixed) {
        key = repeat(key.narrow(2, 0, entry.length), groups);
        value = repeat(value.narrow(2, 0, entry.length), groups);
        mask = mask.narrow(3, 0, entry.length);
    }
    at::Tensor out = at::scaled_dot_product_attention(query, key, value, mask);
    return out.transpose(1, 2).contiguous().view({1, n, -1});
}

at::Tensor attention(const csm_attention &block, csm_lane &cache, size_t layer, const at::Tensor &x)
{
    csm_lane::entry &entry = cache.entries[layer];
    at::Tensor h = rms_norm(block.norm, x);
    h = block.rope.interleaved ? attend_as_torchtune(block, cache, entry, h)
                               : attend_as_transformers(block, cache, entry, h);
    return x + linear(*block.o, nullptr, h);
}

} // namespace csm_torch
