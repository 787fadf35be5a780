/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_conv.cu - causal convolutions as products with a sliding window, as engine native
 * has them: rows are time and channels lie together, so that the rows which one output
 * needs are one stretch of memory, and input rows of the product overlap.
 *
 *   forward     window = k_eff rows, moving by `stride`; weight [out, window * in]
 *   transposed  window = ceil(kernel / stride) rows, moving by 1; weight
 *               [stride * out, window * in]
 *
 * In front of the window goes the past: zeros, copies of the first row, or what a stream
 * kept. Grouped convolutions (Mimi's depthwise upsampling) take a direct loop. */
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

csm_conv_state *make_conv_state(const csm_conv &c)
{
    check_conv(c);
    auto state = std::make_unique<csm_conv_state>();
    state->n_past = window_of(c) - hop_of(c);
    state->in = c.in;
    state->past.reserve((state->n_past * state->in + 1) * sizeof(float));
    return state.release();
}

struct window_job {
    const float *x, *past; /* past NULL: nothing has come yet */
    float *to;
    int n_past, rows, padding, in;
    bool elu, replicate;
};

__global__ static void window_kernel(window_job job)
{
    size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    int row = static_cast<int>(i / job.in), c = static_cast<int>(i % job.in);
    if (row >= job.n_past + job.rows + job.padding)
        return;
    int from = row - job.n_past;
    float v;
    if (from < 0 && job.past != nullptr)
        v = job.past[i];
    else if ((from < 0 || from >= job.rows) && !job.replicate)
        v = 0.0f;
    else {
        from = from < 0 ? 0 : from >= job.rows ? job.rows - 1 : from;
        v = job.x[static_cast<size_t>(from) * job.in + c];
        if (job.elu && v <= 0.0f)
            v = expm1f(v);
    }
    job.to[i] = v;
}

struct grouped_job {
    weight_view weight;
    const float *input, *bias;
    float *out;
    int n_steps, out_rows, groups, hop, channels_in, channels_out;
};

__global__ static void grouped_kernel(grouped_job job)
{
    size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    int r = static_cast<int>(i % job.out_rows), t = static_cast<int>(i / job.out_rows);
    if (t >= job.n_steps)
        return;
    const weight_view &w = job.weight;
    int in = job.channels_in / job.groups, out = job.channels_out / job.groups;
    int o = r % job.channels_out, phase = r / job.channels_out, group = o / out;
    float sum = 0.0f;
    for (int j = 0; j < w.window; j++)
        for (int k = 0; k < in; k++) {
            float x = job.input[static_cast<size_t>(t * job.hop + j) * job.channels_in + group * in + k];
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
    job.out[i] = job.bias == nullptr ? sum : sum + job.bias[r];
}

static unsigned blocks_of(size_t n)
{
    return static_cast<unsigned>((n + 255) / 256);
}

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
    if (w.matrix.tiles != nullptr || w.conv_direct.size() != 0)
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
    pack(ctx, v, w.n_planes, w.packed, w.matrix);
    check(cudaStreamSynchronize(ctx.stream), "packing a convolution");
}

void conv(context &ctx, const csm_conv &c, csm_conv_state *state, const csm_value &x, csm_value &out)
{
    check_conv(c);
    prepare(ctx, c);
    size_t in = c.in, rows = x.rows, hop = hop_of(c), n_past = window_of(c) - hop;
    const char *name = c.weight->source.tensor.name;
    if (x.cols != in || &x == &out || (state != nullptr && (state->n_past != n_past || state->in != in)))
        throw declined(shaped("%s: input of width %zu, expected %zu", name, x.cols, in));
    size_t phases = c.transposed ? c.stride : 1, out_rows = phases * c.out;
    size_t n_steps = (rows + hop - 1) / hop, n_padding = n_steps * hop - rows;
    out.shape(n_steps * phases, c.out);
    if (rows == 0)
        return;

    size_t n_window = (n_past + rows + n_padding) * in;
    ctx.window.reserve(n_window * sizeof(float));
    float *input = ctx.window.as<float>();
    window_job window;
    window.x = x.data();
    window.past = state != nullptr && state->has_past ? state->past.as<float>() : nullptr;
    window.to = input;
    window.n_past = static_cast<int>(n_past);
    window.rows = static_cast<int>(rows);
    window.padding = static_cast<int>(n_padding);
    window.in = static_cast<int>(in);
    window.elu = c.elu;
    window.replicate = c.replicate;
    window_kernel<<<blocks_of(n_window), 256, 0, ctx.stream>>>(window);
    if (state != nullptr) {
        if (n_past != 0)
            check(cudaMemcpyAsync(state->past.as<float>(), input + rows * in,
                                  n_past * in * sizeof(float), cudaMemcpyDeviceToDevice, ctx.stream),
                  "a convolution's past");
        state->has_past = true;
    }
    if (c.groups > 1) {
        grouped_job job;
        job.weight.kind = c.transposed ? weight_view::CONV_TRANSPOSED : weight_view::CONV;
        job.weight.data = c.weight->conv_direct.as<void>();
        job.weight.dtype = c.weight->source.tensor.dtype;
        job.weight.kernel = static_cast<int>(c.kernel);
        job.weight.stride = static_cast<int>(c.stride);
        job.weight.dilation = static_cast<int>(c.dilation);
        job.weight.window = static_cast<int>(window_of(c));
        job.input = input;
        job.bias = c.bias == nullptr ? nullptr : c.weight->conv_bias.as<float>();
        job.out = out.data();
        job.n_steps = static_cast<int>(n_steps);
        job.out_rows = static_cast<int>(out_rows);
        job.groups = static_cast<int>(c.groups);
        job.hop = static_cast<int>(hop);
        job.channels_in = static_cast<int>(c.in);
        job.channels_out = static_cast<int>(c.out);
        grouped_kernel<<<blocks_of(n_steps * out_rows), 256, 0, ctx.stream>>>(job);
        check(cudaGetLastError(), "a grouped convolution");
        return;
    }
    const matrix &m = c.weight->matrix;
    rows_job job;
    job.n = static_cast<int>(n_steps);
    job.width = static_cast<int>(window_of(c) * in);
    job.x = input;
    job.ld = hop * in;
    job.to = room_for_planes(ctx, ctx.planes_a, n_steps, window_of(c) * in, slots_of(m.n_planes));
    launch_rows(ctx, job);
    const float *bias = c.bias == nullptr ? nullptr : c.weight->conv_bias.as<float>();
    bool is_whole = m.n_parts() == 1;
    product_job product =
        one_product(m, job.to, n_steps,
                    is_whole ? out.data() : room_for_parts(ctx.parts_a, m, n_steps, out_rows));
    if (is_whole)
        product.bias = bias;
    launch_product(ctx, product);
    if (!is_whole)
        finish_parts(ctx, m, n_steps, bias, out.data());
}

} // namespace csm_cuda
