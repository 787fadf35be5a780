// SPDX-License-Identifier: Apache-2.0
//
// Causal convolutions over time as PyTorch's Mimi has them, whole or in pieces.
#include "engine/mlx/mlx_engine.h"

namespace csm_mlx {

static mx::array rows(context &c, const mx::array &x, int first, int end)
{
    return mx::slice(x, {first, 0}, {end, x.shape(1)}, c.stream);
}

// n rows of zeros, or of copies of row `edge` of x
static mx::array padding(context &c, const csm_conv &conv, const mx::array &x, int edge, int n)
{
    if (!conv.replicate)
        return mx::zeros({n, x.shape(1)}, x.dtype(), c.stream);
    return mx::repeat(rows(c, x, edge, edge + 1), n, 0, c.stream);
}

static mx::array elu(context &c, const mx::array &x)
{
    mx::array zero = mx::array(0.0f, x.dtype());
    return mx::where(mx::greater(x, zero, c.stream), x, mx::expm1(x, c.stream), c.stream);
}

static mx::array forward(context &c, const csm_conv &conv, const mx::array &kernel,
                         csm_conv_state *state, const mx::array &x)
{
    const int reach = dim((conv.kernel - 1) * conv.dilation + 1), stride = dim(conv.stride);
    const int left = reach - stride, t = x.shape(0), n = (t + stride - 1) / stride;

    std::vector<mx::array> parts;
    if (left > 0)
        parts.push_back(state != nullptr && state->past ? *state->past
                                                        : padding(c, conv, x, 0, left));
    parts.push_back(x);
    if (n * stride > t)
        parts.push_back(padding(c, conv, x, t - 1, n * stride - t));
    mx::array in = parts.size() == 1 ? x : mx::concatenate(parts, 0, c.stream);
    if (state != nullptr && left > 0)
        state->past = rows(c, in, t, t + left);

    mx::array out = mx::conv1d(mx::expand_dims(in, 0, c.stream), kernel, stride, 0,
                               dim(conv.dilation), dim(conv.groups), c.stream);
    return mx::squeeze(out, 0, c.stream);
}

// Row t of the input adds to output rows t * stride .. t * stride + kernel - 1;
// the last kernel - stride of them wait for what comes, or are cut.
static mx::array transposed(context &c, const csm_conv &conv, const mx::array &kernel,
                            csm_conv_state *state, const mx::array &x)
{
    const int stride = dim(conv.stride), tail = dim(conv.kernel) - stride;
    const int n = x.shape(0) * stride;
    mx::array out = mx::squeeze(mx::conv_transpose1d(mx::expand_dims(x, 0, c.stream), kernel,
                                                     stride, 0, 1, 0, dim(conv.groups), c.stream),
                                0, c.stream);
    if (state == nullptr || tail == 0)
        return rows(c, out, 0, n);

    if (state->past)
        out = mx::concatenate({mx::add(rows(c, out, 0, tail), *state->past, c.stream),
                               rows(c, out, tail, n + tail)},
                              0, c.stream);
    state->past = rows(c, out, n, n + tail);
    return rows(c, out, 0, n);
}

// PyTorch's [out, in/groups, k], or [in, out/groups, k] of a transposed one, as
// MLX's [out, k, in/groups].
static mx::array kernel_of(context &c, const csm_conv &conv)
{
    csm_weight &weight = *conv.weight;
    if (!weight.prepared) {
        mx::array w = weight.data;
        if (!conv.transposed) {
            w = mx::transpose(w, {0, 2, 1}, c.stream);
        } else {
            const int g = dim(conv.groups), in = dim(conv.in) / g, out = dim(conv.out) / g;
            w = mx::reshape(w, {g, in, out, dim(conv.kernel)}, c.stream);
            w = mx::reshape(mx::transpose(w, {0, 2, 3, 1}, c.stream),
                            {g * out, dim(conv.kernel), in}, c.stream);
        }
        weight.prepared = mx::contiguous(w, false, c.stream);
    }
    return *weight.prepared;
}

mx::array convolution(context &c, const csm_conv &conv, csm_conv_state *state, const mx::array &x)
{
    mx::array in = conv.elu ? elu(c, x) : x;
    mx::array kernel = kernel_of(c, conv);
    mx::array out = conv.transposed ? transposed(c, conv, kernel, state, in)
                                    : forward(c, conv, kernel, state, in);
    return conv.bias != nullptr ? mx::add(out, conv.bias->data, c.stream) : out;
}

} // namespace csm_mlx
