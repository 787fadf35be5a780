/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_conv.cu - causal convolutions as products with a sliding window, as engine native
 * has them: rows are time and channels lie together, so that the rows which one output
 * needs are one stretch of memory, and input rows of the product overlap.
 *
 *   forward     window = k_eff rows, moving by `stride`; weight [window * in, out]
 *   transposed  window = ceil(kernel / stride) rows, moving by 1; weight
 *               [window * in, stride * out]
 *
 * In front of each stream's window goes its past: zeros, copies of the first row, or what it
 * kept. The product is in cuda_flat.cu: float32 throughout, since a codec's matrices are small
 * and its rows many. Grouped convolutions (Mimi's depthwise upsampling) take a direct loop. An
 * output is the sum of its own window in one order, whatever else is in the call. */
#include "engine/cuda/cuda_flat.h"
#include "engine/cuda/cuda_view.cuh"

namespace csm_cuda {

static size_t extent(const csm_conv &c)
{
    return (c.kernel - 1) * c.dilation + 1;
}

static size_t window_of(const csm_conv &c)
{
    return c.transposed ? (c.kernel + c.stride - 1) / c.stride : extent(c);
}

static size_t hop_of(const csm_conv &c)
{
    return c.transposed ? 1 : c.stride;
}

static void check_conv(const csm_conv &c)
{
    const csm_tensor &t = c.weight->source.tensor;
    bool counts = c.groups > 0 && c.stride > 0 && c.kernel > 0 && c.dilation > 0 &&
                  c.in % c.groups == 0 && c.out % c.groups == 0;
    if (!counts || window_of(c) < hop_of(c) || (c.transposed && c.dilation != 1))
        throw declined(shaped("%s: no causal convolution has kernel %zu, stride %zu, dilation %zu, "
                              "%zu groups",
                              t.name, c.kernel, c.stride, c.dilation, c.groups));
    size_t first = c.transposed ? c.in : c.out;
    size_t second = (c.transposed ? c.out : c.in) / c.groups;
    if (t.rank != 3 || c.weight->source.format != CSM_WEIGHT_FLOAT || t.shape[0] != first ||
        t.shape[1] != second || t.shape[2] != c.kernel)
        throw declined(shaped("%s: not of shape [%zu, %zu, %zu]", t.name, first, second, c.kernel));
}

csm_conv_state *make_conv_state(context &ctx, const csm_conv &c)
{
    check_conv(c);
    auto state = std::make_unique<csm_conv_state>();
    state->n_past = window_of(c) - hop_of(c);
    state->in = c.in;
    /* one at least, and each page begins at a four */
    state->past = std::make_unique<page>(*pool_of(ctx, (state->n_past * state->in / 4 + 1) * 4), ctx.stream);
    return state.release();
}

/* ---- kernels ------------------------------------------------------------- */

struct window_job {
    const float *x;
    const conv_past *pasts; /* [streams]; NULL: nothing has come of the one that there is */
    float *to;              /* [streams][n_past + rows + padding][in] */
    int n_past, rows, padding, in;
    bool elu, replicate;
};

__device__ static float elu(float v)
{
    return v <= 0.0f ? expm1f(v) : v;
}

__device__ static float4 elu(float4 v)
{
    return make_float4(elu(v.x), elu(v.y), elu(v.z), elu(v.w));
}

/* Values is float, or float4 where channels come in fours. blockIdx.y: the stream. */
template <class Values> __global__ static void window_kernel(const __grid_constant__ window_job job)
{
    const int in = job.in / static_cast<int>(sizeof(Values) / sizeof(float));
    auto at = [](const float *p) { return reinterpret_cast<const Values *>(p); };
    await_before();
    size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    int row = static_cast<int>(i / in), c = static_cast<int>(i % in);
    int n_rows = job.n_past + job.rows + job.padding;
    if (row >= n_rows)
        return;
    const float *past = job.pasts != nullptr && job.pasts[blockIdx.y].has_past ? job.pasts[blockIdx.y].past : nullptr;
    int from = row - job.n_past;
    Values v = {};
    if (from < 0 && past != nullptr)
        v = at(past)[i];
    else if ((from >= 0 && from < job.rows) || job.replicate) {
        from = from < 0 ? 0 : from >= job.rows ? job.rows - 1 : from;
        v = at(job.x)[(static_cast<size_t>(blockIdx.y) * job.rows + from) * in + c];
        if (job.elu)
            v = elu(v);
    }
    reinterpret_cast<Values *>(job.to)[static_cast<size_t>(blockIdx.y) * n_rows * in + i] = v;
}

/* The end of each stream's window is its past from then on. */
__global__ static void keep_kernel(const __grid_constant__ window_job job)
{
    await_before();
    size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x, n = static_cast<size_t>(job.n_past) * job.in;
    size_t stream = static_cast<size_t>(job.n_past + job.rows + job.padding) * job.in;
    if (i < n)
        job.pasts[blockIdx.y].past[i] = job.to[blockIdx.y * stream + static_cast<size_t>(job.rows) * job.in + i];
}

struct grouped_job {
    weight_view weight;
    const float *input, *bias;
    float *out;
    int n_steps, out_rows, groups, hop, channels_in, channels_out;
    size_t between; /* floats from one stream's window to the next one's */
};

/* blockIdx.y: the stream. */
__global__ static void grouped_kernel(const __grid_constant__ grouped_job job)
{
    await_before();
    size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    int r = static_cast<int>(i % job.out_rows), t = static_cast<int>(i / job.out_rows);
    if (t >= job.n_steps)
        return;
    const weight_view &w = job.weight;
    int in = job.channels_in / job.groups, out = job.channels_out / job.groups;
    int o = r % job.channels_out, phase = r / job.channels_out, group = o / out;
    const float *input = job.input + blockIdx.y * job.between;
    float sum = 0.0f;
    for (int j = 0; j < w.window; j++)
        for (int k = 0; k < in; k++) {
            float x = input[static_cast<size_t>(t * job.hop + j) * job.channels_in + group * in + k];
            float v = 0.0f;
            if (w.kind == weight_view::CONV) {
                if (j % w.dilation == 0)
                    v = element(w.dtype, w.data,
                                (static_cast<size_t>(o) * in + k) * w.kernel + j / w.dilation);
            } else {
                int tap = phase + (w.window - 1 - j) * w.stride;
                if (tap < w.kernel)
                    v = element(w.dtype, w.data,
                                (static_cast<size_t>(group * in + k) * out + o % out) * w.kernel + tap);
            }
            sum = fmaf(v, x, sum);
        }
    job.out[static_cast<size_t>(blockIdx.y) * job.n_steps * job.out_rows + i] =
        job.bias == nullptr ? sum : sum + job.bias[r];
}

static unsigned blocks_of(size_t n)
{
    return static_cast<unsigned>((n + 255) / 256);
}

/* ---- a call --------------------------------------------------------------- */

/* The product's matrix and bias, unless they are there. */
static void prepare(context &ctx, const csm_conv &c)
{
    csm_weight &w = *c.weight;
    size_t rows = (c.transposed ? c.stride : 1) * c.out;
    if (c.bias != nullptr && w.conv_bias.size() == 0) {
        const float *bias = vector_form(c.bias, c.out);
        w.conv_bias.reserve(rows * sizeof(float));
        for (size_t r = 0; r < rows; r += c.out)
            check(cudaMemcpyAsync(w.conv_bias.as<float>() + r, bias, c.out * sizeof(float),
                                  cudaMemcpyDeviceToDevice, ctx.stream),
                  "a convolution's bias");
    }
    if (w.conv_flat.size() != 0 || w.conv_direct.size() != 0)
        return;
    memory scales, biases;
    weight_view v = upload(ctx, w, c.groups > 1 ? w.conv_direct : ctx.staging, scales, biases);
    if (c.groups > 1)
        return;
    v.kind = c.transposed ? weight_view::CONV_TRANSPOSED : weight_view::CONV;
    v.in = static_cast<int>(c.in);
    v.out = static_cast<int>(c.out);
    v.kernel = static_cast<int>(c.kernel);
    v.stride = static_cast<int>(c.stride);
    v.dilation = static_cast<int>(c.dilation);
    v.window = static_cast<int>(window_of(c));
    v.rows = static_cast<int>(rows);
    v.cols = static_cast<int>(window_of(c) * c.in);
    flatten(ctx, v, w.conv_flat);
    check(cudaStreamSynchronize(ctx.stream), "a convolution's weights");
}

/* The streams' pasts on the card, told when others come or leave. */
static const conv_past *tell_pasts(context &ctx, csm_weight &w, csm_conv_state *const *states, size_t n)
{
    std::vector<conv_past> pasts(n);
    for (size_t i = 0; i < n; i++)
        pasts[i] = {states[i]->past->data, states[i]->has_past};
    if (pasts != w.conv_told) {
        w.conv_pasts.reserve(n * sizeof(conv_past));
        check(cudaMemcpyAsync(w.conv_pasts.as<conv_past>(), pasts.data(), n * sizeof(conv_past),
                              cudaMemcpyHostToDevice, ctx.stream),
              "the streams of a convolution");
        w.conv_told = std::move(pasts);
    }
    return w.conv_pasts.as<conv_past>();
}

static void grouped(context &ctx, const csm_conv &c, const float *input, size_t between, size_t n, size_t n_steps,
                    csm_value &out)
{
    grouped_job job;
    job.weight.kind = c.transposed ? weight_view::CONV_TRANSPOSED : weight_view::CONV;
    job.weight.data = c.weight->conv_direct.as<void>();
    job.weight.dtype = c.weight->source.tensor.dtype;
    job.weight.kernel = static_cast<int>(c.kernel);
    job.weight.stride = static_cast<int>(c.stride);
    job.weight.dilation = static_cast<int>(c.dilation);
    job.weight.window = static_cast<int>(window_of(c));
    job.input = input;
    job.between = between;
    job.bias = c.bias == nullptr ? nullptr : c.weight->conv_bias.as<float>();
    job.out = out.data();
    job.n_steps = static_cast<int>(n_steps);
    job.out_rows = static_cast<int>((c.transposed ? c.stride : 1) * c.out);
    job.groups = static_cast<int>(c.groups);
    job.hop = static_cast<int>(hop_of(c));
    job.channels_in = static_cast<int>(c.in);
    job.channels_out = static_cast<int>(c.out);
    dim3 grid(blocks_of(n_steps * static_cast<size_t>(job.out_rows)), static_cast<unsigned>(n));
    launch(ctx, "a grouped convolution", grouped_kernel, grid, 256, 0, job);
}

/* Sound of many streams is made beside their next frame. Its blocks would keep places that the frame's kernels, which
 * go first, could have, while they wait for the kernel before. */
enum { MANY = 8 };

void conv(context &ctx, const csm_conv &c, csm_conv_state *const *states, size_t n, const csm_value &x, csm_value &out)
{
    check_conv(c);
    prepare(ctx, c);
    size_t in = c.in, hop = hop_of(c), n_past = window_of(c) - hop;
    const char *name = c.weight->source.tensor.name;
    if (x.cols != in || &x == &out || n == 0 || n > 65535 || x.rows % n != 0)
        throw declined(shaped("%s: [%zu, %zu] of %zu streams, expected a width of %zu", name, x.rows, x.cols, n, in));
    for (size_t i = 0; states != nullptr && i < n; i++)
        if (states[i]->n_past != n_past || states[i]->in != in)
            throw declined(shaped("%s: a past of another convolution", name));
    ctx.is_eager = n < MANY;
    size_t rows = x.rows / n, phases = c.transposed ? c.stride : 1, out_rows = phases * c.out;
    size_t n_steps = (rows + hop - 1) / hop, n_padding = n_steps * hop - rows;
    out.shape(n * n_steps * phases, c.out);
    if (rows == 0)
        return;

    size_t between = (n_past + rows + n_padding) * in;
    ctx.window.reserve(n * between * sizeof(float));
    window_job window;
    window.x = x.data();
    window.pasts = states == nullptr ? nullptr : tell_pasts(ctx, *c.weight, states, n);
    window.to = ctx.window.as<float>();
    window.n_past = static_cast<int>(n_past);
    window.rows = static_cast<int>(rows);
    window.padding = static_cast<int>(n_padding);
    window.in = static_cast<int>(in);
    window.elu = c.elu;
    window.replicate = c.replicate;
    unsigned n_streams = static_cast<unsigned>(n);
    if (in % 4 == 0)
        launch(ctx, "a convolution's input", window_kernel<float4>, dim3(blocks_of(between / 4), n_streams), 256, 0,
               window);
    else
        launch(ctx, "a convolution's input", window_kernel<float>, dim3(blocks_of(between), n_streams), 256, 0, window);
    if (states != nullptr && n_past != 0)
        launch(ctx, "a convolution's past", keep_kernel, dim3(blocks_of(n_past * in), n_streams), 256, 0, window);
    for (size_t i = 0; states != nullptr && i < n; i++)
        states[i]->has_past = true;
    if (c.groups > 1) {
        grouped(ctx, c, window.to, between, n, n_steps, out);
        return;
    }
    flat_job job;
    job.x = window.to;
    job.between = between;
    job.each = static_cast<int>(n_steps);
    job.hop = static_cast<int>(hop * in);
    job.rows = static_cast<int>(n * n_steps);
    job.outs = static_cast<int>(out_rows);
    job.depth = static_cast<int>(window_of(c) * in);
    job.weight = c.weight->conv_flat.as<float>();
    job.bias = c.bias == nullptr ? nullptr : c.weight->conv_bias.as<float>();
    job.out = out.data();
    launch_flat(ctx, job);
}

} // namespace csm_cuda
