// SPDX-License-Identifier: Apache-2.0
//
// The engine over libmlx: the table of engine.h, each entry a guarded call.
//
// A context has one stream of its own, which any thread may use. MLX keeps a
// stream's thread until the process ends, so the shared object is never unloaded
// (engine/open.c). MLX's CPU backend decides its threads itself: n_threads is
// not used.
#include "engine/mlx/mlx_engine.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <system_error>

#include "base/error.h"
#include "base/release.h"

using namespace csm_mlx;

namespace csm_mlx {

// MLX has no type of its own for memory; its messages have this word.
bool is_memory(const std::exception &e) noexcept
{
    return std::strstr(e.what(), "llocat") != nullptr;
}

void expect_room(size_t n_bytes)
{
    const size_t besides = size_t{32} << 20;
    void *volatile room = std::malloc(n_bytes + besides); // volatile: not to be optimized away
    if (room == nullptr)
        throw std::bad_alloc();
    std::free(room);
}

} // namespace csm_mlx

// ---- context ---------------------------------------------------------------

static mx::Device device_named(const char *name)
{
    bool has_gpu = mx::is_available(mx::Device::gpu);
    if (name == nullptr)
        return has_gpu ? mx::Device::gpu : mx::Device::cpu;
    if (std::strcmp(name, "cpu") == 0)
        return mx::Device::cpu;
    if (std::strcmp(name, "gpu") != 0)
        throw declined(std::string("device '") + name + "', expected cpu or gpu");
    if (!has_gpu)
        throw declined("device gpu: this MLX has none, expected cpu");
    return mx::Device::gpu;
}

static csm_status open_context(const struct csm_engine_options *options, void **ctx, csm_error *err)
{
    // Its C++ interface changes between releases.
    char built[32];
    std::snprintf(built, sizeof built, "%d.%d.%d", MLX_VERSION_MAJOR, MLX_VERSION_MINOR,
                  MLX_VERSION_PATCH);
    if (!csm_is_release(mx::version(), built))
        return csm_fail(err, CSM_NO_ENGINE,
                        "engine mlx: libmlx is version %s, built with %s: build csm again with it",
                        mx::version(), built);
    return guarded(err, [&] {
        mx::Device device = device_named(options->device);
        csm_traits traits{};
        traits.own_draws = csm_traits::CSM_OWN_MLX;
        traits.own_stream = CSM_STREAM_MLX;
        traits.codec = true;
        traits.whole_frame = true;
        traits.precisions = 1u << CSM_PRECISION_STORED | 1u << CSM_PRECISION_F32 |
                            1u << CSM_PRECISION_BF16 | 1u << CSM_PRECISION_F16 |
                            1u << CSM_PRECISION_Q8 | 1u << CSM_PRECISION_Q4;
        *ctx = new context{mx::new_thread_unsafe_stream(device), options->precision, {}, traits};
    });
}

static void close_context(void *ctx)
{
    (void)guarded(nullptr, [&] {
        mx::synchronize(of(ctx).stream);
    });
    delete static_cast<context *>(ctx);
}

static const char *version(void *)
{
    return mx::version();
}

static const struct csm_traits *traits(void *ctx)
{
    return &of(ctx).traits;
}

// ---- things that hold data -------------------------------------------------

static csm_status weight_new(void *ctx, const struct csm_weight_source *source, csm_weight **out,
                             csm_error *err)
{
    return guarded(err, [&] { *out = new csm_weight(make_weight(of(ctx), *source)); });
}

static void weight_free(void *, csm_weight *weight)
{
    delete weight;
}

static csm_status value_new(void *, csm_value **out, csm_error *err)
{
    return guarded(err, [&] { *out = new csm_value{}; });
}

static void value_free(void *, csm_value *value)
{
    delete value;
}

static csm_status lane_open(void *, const struct csm_attention *blocks, size_t n_layers,
                            size_t capacity, csm_lane **out, csm_error *err)
{
    return guarded(err, [&] {
        expect_room(n_layers * capacity * blocks[0].n_kv_heads * blocks[0].head_dim * 2 *
                    sizeof(float));
        *out = new csm_lane{capacity, blocks[0].window, std::vector<csm_mlx_layer>(n_layers)};
    });
}

static csm_status lane_truncate(void *, csm_lane *lane, size_t n_positions, csm_error *err)
{
    return guarded(err, [&] {
        if (lane->window != 0 && n_positions != 0)
            throw declined("lane with a window: can only be emptied");
        for (csm_mlx_layer &layer : lane->layers) {
            layer.length = std::min(layer.length, n_positions);
            if (lane->window != 0)
                layer = csm_mlx_layer{};
        }
    });
}

static void lane_close(void *, csm_lane *lane)
{
    delete lane;
}

static csm_status conv_state_new(void *, const struct csm_conv *, csm_conv_state **out,
                                 csm_error *err)
{
    return guarded(err, [&] { *out = new csm_conv_state{}; });
}

static csm_status conv_state_reset(void *, csm_conv_state *state, csm_error *)
{
    state->past.reset();
    return CSM_OK;
}

static void conv_state_free(void *, csm_conv_state *state)
{
    delete state;
}

// ---- host <-> engine -------------------------------------------------------

static csm_status write_value(void *, const float *host, size_t rows, size_t cols, csm_value *out,
                              csm_error *err)
{
    return guarded(err, [&] { out->rows = mx::array(host, {dim(rows), dim(cols)}, mx::float32); });
}

static csm_status read_value(void *ctx, const csm_value *x, size_t rows, size_t cols, float *host,
                             csm_error *err)
{
    return guarded(err, [&] {
        const mx::array &value = rows_of(x);
        if (value.shape() != mx::Shape{dim(rows), dim(cols)})
            throw declined("read of " + std::to_string(rows) + " x " + std::to_string(cols) +
                           " from a value of " + std::to_string(value.shape(0)) + " x " +
                           std::to_string(value.shape(1)));
        const mx::Stream s = of(ctx).stream;
        mx::array numbers = mx::contiguous(mx::astype(value, mx::float32, s), false, s);
        numbers.eval();
        std::copy_n(numbers.data<float>(), rows * cols, host);
    });
}

// ---- arithmetic ------------------------------------------------------------

static csm_status embed(void *ctx, const csm_weight *table, const int32_t *ids, size_t rows,
                        size_t n_per_row, csm_value *out, csm_error *err)
{
    return guarded(err, [&] {
        context &c = of(ctx);
        mx::array found = lookup(c, *table, mx::array(ids, {dim(rows * n_per_row)}, mx::int32));
        out->rows = n_per_row == 1
                        ? found
                        : mx::sum(mx::reshape(found, {dim(rows), dim(n_per_row), found.shape(1)},
                                              c.stream),
                                  1, false, c.stream);
    });
}

static csm_status copy_rows(void *ctx, const csm_value *src, size_t first, size_t n, csm_value *dst,
                            size_t at, csm_error *err)
{
    return guarded(err, [&] {
        const mx::Stream s = of(ctx).stream;
        const mx::array &from = rows_of(src);
        const int cols = from.shape(1), end = dim(at + n);
        mx::array part = mx::slice(from, {dim(first), 0}, {dim(first + n), cols}, s);
        if (at == 0)
            dst->rows = part;
        else if (at == static_cast<size_t>(rows_of(dst).shape(0)))
            dst->rows = mx::concatenate({*dst->rows, part}, 0, s);
        else
            dst->rows = mx::slice_update(rows_of(dst), part, mx::Shape{dim(at), 0}, mx::Shape{end, cols}, s);
    });
}

static csm_status norm_op(void *ctx, const struct csm_norm *norm, const csm_value *x,
                          csm_value *out, csm_error *err)
{
    return guarded(err, [&] { out->rows = csm_mlx::norm(of(ctx), *norm, rows_of(x)); });
}

static csm_status linear_op(void *ctx, const csm_weight *weight, const csm_weight *bias,
                            const csm_value *x, csm_value *out, csm_error *err)
{
    return guarded(err, [&] { out->rows = linear(of(ctx), *weight, bias, rows_of(x)); });
}

static csm_status attention_op(void *ctx, const struct csm_attention *block, size_t layer,
                               const struct csm_rows *rows, size_t n_lanes, csm_value *x,
                               csm_error *err)
{
    return guarded(err, [&] {
        if (n_lanes != 1)
            throw declined(std::to_string(n_lanes) + " lanes at once, expected one");
        csm_lane &lane = *rows->lane;
        x->rows = attention(of(ctx), *block, lane.layers[layer], lane.capacity, rows_of(x));
    });
}

static csm_status mlp_op(void *ctx, const struct csm_mlp *block, csm_value *x, csm_error *err)
{
    return guarded(err, [&] { x->rows = mlp(of(ctx), *block, rows_of(x)); });
}

static csm_status add(void *ctx, csm_value *x, const csm_value *y, csm_error *err)
{
    return guarded(err, [&] { x->rows = mx::add(rows_of(x), rows_of(y), of(ctx).stream); });
}

static csm_status conv(void *ctx, const struct csm_conv *conv, csm_conv_state *state,
                       const csm_value *x, csm_value *out, csm_error *err)
{
    return guarded(err, [&] { out->rows = convolution(of(ctx), *conv, state, rows_of(x)); });
}

static csm_status frame_op(void *ctx, const struct csm_frame_parts *parts,
                           struct csm_frame_lane *lanes, size_t n, csm_error *err)
{
    return guarded(err, [&] {
        for (size_t i = 0; i < n; i++)
            frame(of(ctx), *parts, lanes[i]);
    });
}

// A draw takes one key, whatever its shape.
static csm_status random_new(void *ctx, uint64_t seed, size_t n_calls, size_t, csm_random **out,
                             csm_error *err)
{
    return guarded(err, [&] {
        const mx::Stream s = of(ctx).stream;
        mx::array key({static_cast<uint32_t>(seed >> 32), static_cast<uint32_t>(seed)}, mx::uint32);
        for (size_t i = 0; i < n_calls; i++) {
            key = mx::random::split(key, s).first;
            key.eval();
        }
        key.eval();
        *out = new csm_random{{key.data<uint32_t>()[0], key.data<uint32_t>()[1]}};
    });
}

static void random_free(void *, csm_random *random)
{
    delete random;
}

// ---- the table -------------------------------------------------------------

// Rows are not independent, since a product of one row is another kernel than one of two: so
// lanes come one by one.
static const struct csm_engine_ops ops = [] {
    struct csm_engine_ops table{};
    table.name = "mlx";
    table.open = open_context;
    table.close = close_context;
    table.version = version;
    table.weight_new = weight_new;
    table.weight_free = weight_free;
    table.value_new = value_new;
    table.value_free = value_free;
    table.traits = traits;
    table.lane_open = lane_open;
    table.lane_truncate = lane_truncate;
    table.lane_close = lane_close;
    table.write = write_value;
    table.read = read_value;
    table.embed = embed;
    table.copy_rows = copy_rows;
    table.norm = norm_op;
    table.linear = linear_op;
    table.attention = attention_op;
    table.mlp = mlp_op;
    table.add = add;
    table.conv_state_new = conv_state_new;
    table.conv_state_reset = conv_state_reset;
    table.conv_state_free = conv_state_free;
    table.conv = conv;
    table.frame = frame_op;
    table.random_new = random_new;
    table.random_free = random_free;
    return table;
}();

extern "C" CSM_API const struct csm_engine_ops *csm_engine_mlx(int abi);

const struct csm_engine_ops *csm_engine_mlx(int abi)
{
    return abi == CSM_ENGINE_ABI ? &ops : nullptr;
}
