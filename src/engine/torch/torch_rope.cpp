/* SPDX-License-Identifier: Apache-2.0
 *
 * Rotary positions in the arithmetic of the references.
 *
 * transformers  modeling_rope_utils.py, _compute_llama3_parameters;
 *               modeling_csm.py, CsmRotaryEmbedding, apply_rotary_pos_emb
 * torchtune     models/llama3_1/_position_embeddings.py, Llama3ScaledRoPE
 *
 * Angles, cosines and sines are made at the shape at which the reference makes
 * them: a vectorised cosine may differ in the last place from that of a tail. */
#include <cmath>

#include "torch_engine.h"

namespace csm_torch {

/* Where Python says number / tensor, PyTorch takes reciprocal() * number.
 * torchtune's apply_scaling works on scalars that are float32 tensors; the same
 * operations on whole tensors give the same numbers. Both references agree here,
 * except that transformers picks the medium ones after dividing the low ones. */
static at::Tensor make_frequencies(const csm_rope &p, int64_t head_dim)
{
    at::Tensor index = at::arange(0, head_dim, 2, at::kLong).to(at::kFloat);
    at::Tensor plain =
        at::pow(at::Scalar(p.theta), index / static_cast<double>(head_dim)).reciprocal();
    if (p.factor == 0)
        return plain;

    double low_wavelength = p.original_max_positions / p.low_freq_factor;
    double high_wavelength = p.original_max_positions / p.high_freq_factor;
    double pi = 3.141592653589793;
    at::Tensor wavelength = plain.reciprocal() * (2 * pi);
    at::Tensor scaled = at::where(wavelength > low_wavelength, plain / p.factor, plain);
    at::Tensor smooth = (wavelength.reciprocal() * p.original_max_positions - p.low_freq_factor) /
                        (p.high_freq_factor - p.low_freq_factor);
    at::Tensor blend = (1 - smooth) * scaled / p.factor + smooth * scaled;
    at::Tensor is_medium = ~(wavelength < high_wavelength) * ~(wavelength > low_wavelength);
    return at::where(is_medium, blend, scaled);
}

/* The positions of torchtune's table in both of Sesame's flavors. */
static constexpr int64_t sesame_positions = 2048;

rope::rope(const csm_rope &parameters, size_t head_dim, const context &ctx, at::ScalarType type)
    : device(ctx.device), dtype(type),
      frequencies(make_frequencies(parameters, static_cast<int64_t>(head_dim)))
{
    if (parameters.interleaved) {
        at::Tensor angles = at::outer(at::arange(sesame_positions, at::kFloat), frequencies);
        table = at::stack({at::cos(angles), at::sin(angles)}, -1).to(device, dtype);
    } else {
        frequencies = frequencies.to(device);
    }
}

at::Tensor rope::rotate_halves(const at::Tensor &x, int64_t first)
{
    int64_t n = x.size(2);
    auto &step = steps[{first, n}];
    if (!step.first.defined()) {
        at::Tensor positions = at::arange(first, first + n, at::device(device).dtype(at::kLong));
        at::Tensor angles = positions.unsqueeze(0).unsqueeze(-1).to(at::kFloat) * frequencies;
        angles = at::cat({angles, angles}, -1);
        step.first = at::cos(angles).to(dtype).unsqueeze(1);
        step.second = at::sin(angles).to(dtype).unsqueeze(1);
    }
    int64_t half = x.size(3) / 2;
    at::Tensor turned = at::cat({-x.slice(3, half), x.slice(3, 0, half)}, -1);
    return x * step.first + turned * step.second;
}

/* Entry [i, j] is what channel i gives to channel j. */
at::Tensor rope::matrices(int64_t n) const
{
    int64_t half = frequencies.size(0);
    at::Tensor cos, sin;
    if (table.defined()) {
        n = std::min(n, table.size(0));
        cos = table.slice(0, 0, n).select(-1, 0);
        sin = table.slice(0, 0, n).select(-1, 1);
    } else {
        at::Tensor angles =
            at::outer(at::arange(n, at::device(device).dtype(at::kFloat)), frequencies);
        cos = at::cos(angles).to(dtype);
        sin = at::sin(angles).to(dtype);
    }
    at::Tensor all = at::zeros({n, 2 * half, 2 * half}, at::device(device).dtype(dtype));
    /* Channel i of a pair is the first or second of two neighbours, or of two halves. */
    int64_t member = table.defined() ? 2 : 1;
    at::Tensor split =
        table.defined() ? all.view({n, half, 2, half, 2}) : all.view({n, 2, half, 2, half});
    auto block = [&](int64_t from, int64_t to) {
        return split.select(member + 2, to).select(member, from).diagonal(0, 1, 2);
    };
    block(0, 0).copy_(cos);
    block(1, 1).copy_(cos);
    block(0, 1).copy_(sin);
    block(1, 0).copy_(-sin);
    return all;
}

at::Tensor rope::rotate_pairs(const at::Tensor &x, int64_t first) const
{
    int64_t n = x.size(1), heads = x.size(2), head_dim = x.size(3);
    at::Tensor pairs = x.to(at::kFloat).reshape({1, n, heads, head_dim / 2, 2});
    at::Tensor step = table.slice(0, first, first + n).view({1, n, 1, head_dim / 2, 2});
    at::Tensor a = pairs.select(-1, 0), b = pairs.select(-1, 1);
    at::Tensor cos = step.select(-1, 0), sin = step.select(-1, 1);
    return at::stack({a * cos - b * sin, b * cos + a * sin}, -1).flatten(3).to(x.scalar_type());
}

} // namespace csm_torch
