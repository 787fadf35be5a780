// SPDX-License-Identifier: Apache-2.0
//
// One frame as one graph with one evaluation: the backbone's step, which nobody
// has read yet, all codebooks of the depth decoder, and the draws between them.
//
// Operations, order and shapes are those of csm-mlx's generate_frame: positions
// 0 and 1 of the depth decoder go in together, the others one by one, and the
// heads are plain products.
#include "engine/mlx/mlx_engine.h"

#include <algorithm>
#include <limits>

namespace csm_mlx {

static mx::array scalar(double x, mx::Dtype dtype)
{
    return mx::array(static_cast<float>(x), dtype);
}

static const double minus_infinity = -std::numeric_limits<double>::infinity();

// csm-mlx's draw from logits [1, vocab]; moves the key when it uses it.
static mx::array draw_own(context &c, const mx::array &logits, double temperature, int top_k,
                          mx::array &key)
{
    const mx::Stream s = c.stream;
    mx::array x = mx::subtract(logits, mx::logsumexp(logits, true, s), s);
    if (temperature == 0)
        return mx::argmax(x, -1, false, s);

    const int vocab = x.shape(1);
    if (top_k > 0 && top_k < vocab) {
        mx::array order = mx::argpartition(mx::negative(x, s), top_k - 1, -1, s);
        x = mx::put_along_axis(x, mx::slice(order, {0, top_k}, {1, vocab}, s),
                               scalar(minus_infinity, x.dtype()), -1, s);
    }
    auto [next, subkey] = mx::random::split(key, s);
    key = next;
    return mx::random::categorical(mx::multiply(x, scalar(1.0 / temperature, x.dtype()), s), -1,
                                   subkey, s);
}

// The race p / q. Half types take Sesame's way over log_softmax, each step
// rounded, as its sampler does in the model's dtype.
static mx::array draw_race(context &c, const mx::array &logits, double temperature, int top_k,
                           const mx::array &noise)
{
    const mx::Stream s = c.stream;
    mx::array x = mx::astype(logits, noise.dtype(), s);
    x = mx::divide(x, scalar(temperature, x.dtype()), s);
    if (top_k > 0 && top_k < x.shape(1)) {
        mx::array least = mx::min(mx::topk(x, top_k, -1, s), -1, true, s);
        x = mx::where(mx::less(x, least, s), scalar(minus_infinity, x.dtype()), x, s);
    }
    if (x.dtype() != mx::float32)
        x = mx::subtract(x, mx::logsumexp(x, true, s), s);
    return mx::argmax(mx::divide(mx::softmax(x, -1, true, s), noise, s), -1, false, s);
}

static mx::Dtype race_dtype(csm_dtype dtype)
{
    return dtype == CSM_DTYPE_BF16 ? mx::bfloat16 : dtype == CSM_DTYPE_F16 ? mx::float16 : mx::float32;
}

// The frame before becomes the backbone's next position.
static mx::array feed(context &c, const csm_frame_parts &parts, csm_frame_lane &lane)
{
    const csm_step_parts &step = parts.step;
    std::vector<int32_t> ids(parts.n_codebooks);
    for (size_t k = 0; k < parts.n_codebooks; k++)
        ids[k] = static_cast<int32_t>(k * parts.vocab) + lane.feed[k];
    mx::array rows =
        lookup(c, *step.codes, mx::array(ids.data(), {dim(ids.size())}, mx::int32));
    mx::array x = mx::sum(mx::reshape(rows, {1, dim(ids.size()), rows.shape(1)}, c.stream), 1,
                          false, c.stream);
    for (size_t l = 0; l < step.n_layers; l++) {
        x = attention(c, step.attention[l], lane.backbone->layers[l], lane.backbone->capacity, x);
        x = mlp(c, step.mlp[l], x);
    }
    return norm(c, step.norm, x);
}

void frame(context &c, const csm_frame_parts &parts, csm_frame_lane &lane)
{
    const mx::Stream s = c.stream;
    const csm_frame_draw &draw = *lane.draw;
    const int n = dim(parts.n_codebooks), vocab = dim(parts.vocab);
    const bool own = draw.kind == csm_frame_draw::CSM_DRAW_OWN;
    csm_lane &depth = *lane.depth;
    if (lane.feed != nullptr)
        lane.hidden->rows = feed(c, parts, lane);
    const mx::array last_hidden = rows_of(lane.hidden);
    for (csm_mlx_layer &layer : depth.layers)
        layer.length = 0;

    const bool has_key = draw.random != nullptr;
    mx::array key = has_key ? mx::array({draw.random->key[0], draw.random->key[1]}, mx::uint32)
                            : mx::array({0u, 0u}, mx::uint32);
    std::optional<mx::array> noise; // none when every draw is greedy
    if (!own && draw.noise != nullptr)
        noise = mx::astype(mx::array(draw.noise, {n, vocab}, mx::float32), race_dtype(draw.dtype), s);

    std::vector<mx::array> all_codes, all_logits;
    auto draw_code = [&](int k, const mx::array &row) {
        double temperature = k == 0 ? draw.temperature : draw.depth_temperature;
        int top_k = dim(k == 0 ? draw.top_k : draw.depth_top_k);
        mx::array code =
            own                ? draw_own(c, row, temperature, top_k, key)
            : temperature == 0 ? mx::argmax(row, -1, false, s)
                               : draw_race(c, row, temperature, top_k,
                                           mx::slice(*noise, {k, 0}, {k + 1, vocab}, s));
        all_logits.push_back(mx::astype(row, mx::float32, s));
        all_codes.push_back(mx::astype(code, mx::int32, s));
    };
    auto embedding = [&](int k) {
        mx::array code = static_cast<size_t>(k) < draw.n_known
                             ? mx::array({draw.known[k]}, mx::int32)
                             : all_codes.back();
        return lookup(c, *parts.codes, mx::add(code, mx::array(k * vocab), s));
    };

    draw_code(0, linear(c, *parts.first_head, nullptr, last_hidden));
    mx::array in = last_hidden;
    for (int k = 1; k < n; k++) {
        in = k == 1 ? mx::concatenate({last_hidden, embedding(0)}, 0, s) : embedding(k - 1);
        mx::array x = linear(c, *parts.projector, nullptr, in);
        for (size_t l = 0; l < parts.n_layers; l++) {
            x = attention(c, parts.attention[l], depth.layers[l], depth.capacity, x);
            x = mlp(c, parts.mlp[l], x);
        }
        x = mx::slice(x, {x.shape(0) - 1, 0}, {x.shape(0), x.shape(1)}, s);
        draw_code(k, linear(c, *parts.heads[k - 1], nullptr, norm(c, parts.norm, x)));
    }

    mx::array drawn = mx::concatenate(all_codes, 0, s);
    mx::array rows = mx::contiguous(mx::concatenate(all_logits, 0, s), false, s);
    mx::eval(drawn, rows, key);
    std::copy_n(drawn.data<int32_t>(), n, lane.codes);
    std::copy_n(rows.data<float>(), static_cast<size_t>(n) * parts.vocab, lane.logits);
    if (has_key)
        std::copy_n(key.data<uint32_t>(), 2, draw.random->key);
}

} // namespace csm_mlx
