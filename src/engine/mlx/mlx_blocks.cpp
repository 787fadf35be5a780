// SPDX-License-Identifier: Apache-2.0
//
// The blocks of a transformer, in the operations, order and dtypes in which
// csm-mlx (senstella/csm-mlx bd21751 over mlx-lm 0.32) does them, so that the
// logits of the same MLX are the same bits:
//
//   rope      cos and sin of a float32 table, rotation in float32, one rounding
//             (not mx.fast.rope, whose angles are another arithmetic)
//   mlp       down((g * sigmoid(g)) * up)
//   residual  x + block(norm(x))
//
// What differs is where nothing can: keys and values are not repeated for query
// groups (each head's products are the same), and the cache has its capacity at
// once. Evidence: tests/reference/test_mlx.py.
#include "engine/mlx/mlx_engine.h"

#include <cmath>
#include <limits>

namespace csm_mlx {

mx::array linear(context &c, const csm_weight &weight, const csm_weight *bias, const mx::array &x)
{
    auto product = [&]() {
        if (weight.bits != 0)
            return mx::quantized_matmul(x, weight.data, *weight.scales, weight.biases, true,
                                        weight.group_size, weight.bits, weight.mode, c.stream);
        if (weight.transposed)
            return mx::matmul(x, weight.data, c.stream);
        // [out, in, 1]: a convolution of kernel 1 is a linear map
        mx::array matrix = weight.data.ndim() == 3 ? mx::squeeze(weight.data, 2, c.stream)
                                                   : weight.data;
        return mx::matmul(x, mx::transpose(matrix, c.stream), c.stream);
    };
    mx::array out = product();
    return bias != nullptr ? mx::add(out, bias->data, c.stream) : out;
}

mx::array lookup(context &c, const csm_weight &table, const mx::array &ids)
{
    mx::array rows = mx::take(table.data, ids, 0, c.stream);
    if (table.bits == 0)
        return rows;
    std::optional<mx::array> biases;
    if (table.biases)
        biases = mx::take(*table.biases, ids, 0, c.stream);
    return mx::dequantize(rows, mx::take(*table.scales, ids, 0, c.stream), biases,
                          table.group_size, table.bits, table.mode, std::nullopt, table.row_dtype,
                          c.stream);
}

// A vector in the dtype of x where a precision was asked for; as stored else, so
// that types promote as they do in csm-mlx.
static mx::array following(context &c, csm_weight &weight, const mx::array &x)
{
    if (c.precision == CSM_PRECISION_STORED || weight.data.dtype() == x.dtype())
        return weight.data;
    if (!weight.prepared || weight.prepared->dtype() != x.dtype())
        weight.prepared = mx::astype(weight.data, x.dtype(), c.stream);
    return *weight.prepared;
}

mx::array norm(context &c, const csm_norm &norm, const mx::array &x)
{
    mx::array scale = following(c, *norm.scale, x);
    if (norm.kind == csm_norm::CSM_NORM_RMS)
        return mx::fast::rms_norm(x, scale, norm.eps, c.stream);
    return mx::fast::layer_norm(x, scale, following(c, *norm.bias, x), norm.eps, c.stream);
}

// ---- rope ------------------------------------------------------------------

static bool same(const csm_rope &a, const csm_rope &b)
{
    return a.theta == b.theta && a.factor == b.factor && a.low_freq_factor == b.low_freq_factor &&
           a.high_freq_factor == b.high_freq_factor &&
           a.original_max_positions == b.original_max_positions;
}

// f_i = theta^(-2i/d), rescaled as Llama 3 does, in csm-mlx's float32 steps.
static mx::array frequencies(context &c, const csm_rope &rope, size_t head_dim)
{
    const mx::Stream s = c.stream;
    auto scalar = [](double x) { return mx::array(static_cast<float>(x)); };

    mx::array exponent = mx::divide(mx::arange(0, dim(head_dim), 2, mx::float32, s),
                                    scalar(static_cast<double>(head_dim)), s);
    mx::array f = mx::divide(scalar(1), mx::power(scalar(rope.theta), exponent, s), s);
    if (rope.factor == 0)
        return f;

    mx::array wavelength = mx::divide(scalar(2 * M_PI), f, s);
    mx::array slow = mx::divide(f, scalar(rope.factor), s);
    mx::array smooth = mx::divide(
        mx::subtract(mx::divide(scalar(rope.original_max_positions), wavelength, s),
                     scalar(rope.low_freq_factor), s),
        scalar(rope.high_freq_factor - rope.low_freq_factor), s);
    mx::array blend = mx::add(
        mx::divide(mx::multiply(mx::subtract(scalar(1), smooth, s), f, s), scalar(rope.factor), s),
        mx::multiply(smooth, f, s), s);
    mx::array is_short = mx::less(
        wavelength, scalar(rope.original_max_positions / rope.high_freq_factor), s);
    mx::array is_long = mx::greater(
        wavelength, scalar(rope.original_max_positions / rope.low_freq_factor), s);
    return mx::where(is_short, f, mx::where(is_long, slow, blend, s), s);
}

// A table of at least n positions.
static const rope_table &table_for(context &c, const csm_rope &rope, size_t head_dim, size_t n)
{
    rope_table *found = nullptr;
    for (rope_table &table : c.ropes)
        if (table.head_dim == head_dim && same(table.rope, rope))
            found = &table;
    if (found != nullptr && static_cast<size_t>(found->cos.shape(0)) >= n)
        return *found;

    size_t size = 2048;
    while (size < n)
        size *= 2;
    mx::array positions = mx::arange(0, dim(size), 1, mx::float32, c.stream);
    mx::array angles = mx::multiply(mx::expand_dims(positions, 1, c.stream),
                                    mx::expand_dims(frequencies(c, rope, head_dim), 0, c.stream),
                                    c.stream);
    rope_table table{rope, head_dim, mx::cos(angles, c.stream), mx::sin(angles, c.stream)};
    if (found != nullptr)
        *found = table;
    else
        c.ropes.push_back(table);
    return found != nullptr ? *found : c.ropes.back();
}

// x [1, T, heads, head_dim], the first position at `offset`
static mx::array rotate(context &c, const rope_table &table, bool interleaved, size_t offset,
                        const mx::array &x)
{
    const mx::Stream s = c.stream;
    const int t = x.shape(1), heads = x.shape(2), half = x.shape(3) / 2, at = dim(offset);
    auto part = [&](const mx::array &all) {
        return mx::reshape(mx::slice(all, {at, 0}, {at + t, half}, s), {1, t, 1, half}, s);
    };
    mx::array cos = part(table.cos), sin = part(table.sin);

    // one axis of pairs: the last one, or the one before it
    const int axis = interleaved ? 4 : 3;
    mx::array pairs = mx::reshape(mx::astype(x, mx::float32, s),
                                  interleaved ? mx::Shape{1, t, heads, half, 2}
                                              : mx::Shape{1, t, heads, 2, half},
                                  s);
    mx::array a = mx::take(pairs, 0, axis, s), b = mx::take(pairs, 1, axis, s);
    mx::array rotated = mx::stack(
        {mx::subtract(mx::multiply(a, cos, s), mx::multiply(b, sin, s), s),
         mx::add(mx::multiply(b, cos, s), mx::multiply(a, sin, s), s)},
        axis, s);
    return mx::astype(mx::reshape(rotated, x.shape(), s), x.dtype(), s);
}

// ---- attention -------------------------------------------------------------

// Append rows [1, n_kv, T, hd] to a store of `capacity` rows; the used ones.
static mx::array append(context &c, std::optional<mx::array> &store, size_t length, size_t capacity,
                        const mx::array &rows)
{
    const int heads = rows.shape(1), t = rows.shape(2), width = rows.shape(3), n = dim(length);
    if (!store || store->dtype() != rows.dtype())
        store = mx::zeros({1, heads, dim(capacity), width}, rows.dtype(), c.stream);
    store = mx::slice_update(*store, rows, mx::Shape{0, 0, n, 0}, mx::Shape{1, heads, n + t, width},
                             c.stream);
    return mx::slice(*store, {0, 0, 0, 0}, {1, heads, n + t, width}, c.stream);
}

// Append to the last window - 1 rows; keep as many, hand out all.
static mx::array append_in_window(context &c, std::optional<mx::array> &store, size_t window,
                                  const mx::array &rows)
{
    mx::array all = store ? mx::concatenate({*store, rows}, 2, c.stream) : rows;
    const int heads = all.shape(1), n = all.shape(2), width = all.shape(3);
    const int kept = std::min(n, dim(window) - 1);
    store = mx::slice(all, {0, 0, n - kept, 0}, {1, heads, n, width}, c.stream);
    return all;
}

// Query i, the i-th of the last t of n positions, sees key j iff 0 <= i - j < window.
static mx::array window_mask(context &c, int t, int n, size_t window)
{
    const mx::Stream s = c.stream;
    mx::array distance = mx::subtract(mx::expand_dims(mx::arange(n - t, n, s), 1, s),
                                      mx::expand_dims(mx::arange(n, s), 0, s), s);
    return mx::logical_and(mx::greater_equal(distance, mx::array(0), s),
                           mx::less(distance, mx::array(dim(window)), s), s);
}

// MLX 0.32 puts a flag, not to fall back, before the stream in its later releases.
static mx::array fast_attention(auto stream, const mx::array &q, const mx::array &k,
                                const mx::array &v, float scale, const std::string &mode,
                                const std::optional<mx::array> &mask)
{
    using mx::fast::scaled_dot_product_attention;
    const std::optional<mx::array> sinks;
    if constexpr (requires {
                      scaled_dot_product_attention(q, k, v, scale, mode, mask, sinks, false, stream);
                  })
        return scaled_dot_product_attention(q, k, v, scale, mode, mask, sinks, false, stream);
    else
        return scaled_dot_product_attention(q, k, v, scale, mode, mask, sinks, stream);
}

// One lane: q [1, T, n_heads, hd], k and v [1, T, n_kv_heads, hd] -> [T, n_heads * hd]
static mx::array attend(context &c, const csm_attention &block, csm_mlx_layer &lane, size_t capacity,
                        mx::array q, mx::array k, mx::array v)
{
    const mx::Stream s = c.stream;
    const size_t t = static_cast<size_t>(q.shape(1));
    if (block.window == 0 && lane.length + t > capacity)
        throw declined("lane: " + std::to_string(lane.length + t) + " positions, room for " +
                       std::to_string(capacity));

    const rope_table &table = table_for(c, block.rope, block.head_dim, lane.length + t);
    q = mx::swapaxes(rotate(c, table, block.rope.interleaved, lane.length, q), 1, 2, s);
    k = mx::swapaxes(rotate(c, table, block.rope.interleaved, lane.length, k), 1, 2, s);
    v = mx::swapaxes(v, 1, 2, s);

    std::string mode = t > 1 ? "causal" : "";
    std::optional<mx::array> mask;
    if (block.window == 0) {
        k = append(c, lane.keys, lane.length, capacity, k);
        v = append(c, lane.values, lane.length, capacity, v);
    } else {
        k = append_in_window(c, lane.keys, block.window, k);
        v = append_in_window(c, lane.values, block.window, v);
        if (static_cast<size_t>(k.shape(2)) > block.window) {
            mode = "";
            mask = window_mask(c, dim(t), k.shape(2), block.window);
        }
    }
    lane.length += t;

    const float scale = static_cast<float>(std::pow(static_cast<double>(block.head_dim), -0.5));
    mx::array out = fast_attention(s, q, k, v, scale, mode, mask);
    return mx::reshape(mx::swapaxes(out, 1, 2, s), {dim(t), dim(block.n_heads * block.head_dim)},
                       s);
}

static mx::array residual(context &c, csm_weight *scale, const mx::array &x, const mx::array &y)
{
    if (scale == nullptr)
        return mx::add(x, y, c.stream);
    return mx::add(x, mx::multiply(following(c, *scale, y), y, c.stream), c.stream);
}

mx::array attention(context &c, const csm_attention &block, csm_mlx_layer &layer, size_t capacity,
                    const mx::array &x)
{
    const int hd = dim(block.head_dim), t = x.shape(0);
    mx::array r = norm(c, block.norm, x);
    auto heads = [&](const csm_weight *weight, size_t n) {
        return mx::reshape(linear(c, *weight, nullptr, r), {1, t, dim(n), hd}, c.stream);
    };
    mx::array q = heads(block.q, block.n_heads);
    mx::array k = heads(block.k, block.n_kv_heads);
    mx::array v = heads(block.v, block.n_kv_heads);
    mx::array out = attend(c, block, layer, capacity, q, k, v);
    return residual(c, block.layer_scale, x, linear(c, *block.o, nullptr, out));
}

// ---- mlp -------------------------------------------------------------------

mx::array mlp(context &c, const csm_mlp &block, const mx::array &x)
{
    const mx::Stream s = c.stream;
    mx::array r = norm(c, block.norm, x);
    auto hidden = [&]() {
        if (block.gate != nullptr) {
            mx::array g = linear(c, *block.gate, nullptr, r);
            mx::array u = linear(c, *block.up, nullptr, r);
            return mx::multiply(mx::multiply(g, mx::sigmoid(g, s), s), u, s);
        }
        mx::array u = linear(c, *block.up, nullptr, r);
        mx::array root_half = mx::array(static_cast<float>(M_SQRT1_2), u.dtype());
        mx::array half = mx::array(0.5f, u.dtype()), one = mx::array(1.0f, u.dtype());
        return mx::multiply(mx::multiply(u, half, s),
                            mx::add(one, mx::erf(mx::multiply(u, root_half, s), s), s), s);
    };
    return residual(c, block.layer_scale, x, linear(c, *block.down, nullptr, hidden()));
}

} // namespace csm_mlx
