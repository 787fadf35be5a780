/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_table.cu - the engine table over the CUDA runtime. Each entry is one call into the
 * other files, with every exception turned into a status. */
#include <cstdlib>
#include <cstring>
#include <new>

#include "engine/cuda/cuda_engine.h"

extern "C" {
#include "base/error.h"
}

using csm_cuda::context;

template <class Body> static csm_status guarded(csm_error *err, Body &&body) noexcept
{
    try {
        body();
        return CSM_OK;
    } catch (const csm_cuda::declined &e) {
        return csm_fail(err, CSM_BAD_ARG, "cuda: %s", e.what());
    } catch (const csm_cuda::failure &e) {
        return csm_fail(err, e.code == cudaErrorMemoryAllocation ? CSM_NO_MEMORY : CSM_ENGINE,
                        "cuda: %s", e.what());
    } catch (const std::bad_alloc &) {
        return csm_fail(err, CSM_NO_MEMORY, "cuda: out of memory");
    } catch (const std::exception &e) {
        return csm_fail(err, CSM_ENGINE, "cuda: %s", e.what());
    } catch (...) {
        return csm_fail(err, CSM_ENGINE, "cuda: unknown exception");
    }
}

/* Every call may come from another thread, whose current card is its own matter. */
template <class Body> static csm_status on_card(void *ctx, csm_error *err, Body &&body) noexcept
{
    return guarded(err, [&] {
        context &c = *static_cast<context *>(ctx);
        csm_cuda::check(cudaSetDevice(c.device), "the card");
        body(c);
    });
}

/* ---- the context -------------------------------------------------------- */

/* "gpu", "cuda", "cuda:N" or nothing. */
static int device_of(const char *name)
{
    if (name == nullptr || strcmp(name, "gpu") == 0 || strcmp(name, "cuda") == 0)
        return 0;
    char *end = nullptr;
    long n = strncmp(name, "cuda:", 5) == 0 && name[5] != 0 ? strtol(name + 5, &end, 10) : -1;
    if (n < 0 || n > 1023 || *end != 0)
        throw csm_cuda::declined(csm_cuda::shaped("device '%s', expected gpu, cuda or cuda:N", name));
    return static_cast<int>(n);
}

static void expect_driver()
{
    int driver = 0, runtime = 0, n = 0;
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    cudaError_t error = cudaGetDeviceCount(&n);
    if (driver == 0)
        throw csm_cuda::failure(
            error, csm_cuda::shaped("no NVIDIA driver is installed (libcuda.so.1), expected one for CUDA %d or newer",
                                    runtime / 1000));
    if (error == cudaErrorInsufficientDriver)
        throw csm_cuda::failure(
            error, csm_cuda::shaped("the NVIDIA driver is for CUDA %d.%d, expected one for CUDA %d or newer",
                                    driver / 1000, driver % 1000 / 10, runtime / 1000));
    if (error == cudaErrorNoDevice || (error == cudaSuccess && n == 0))
        throw csm_cuda::failure(cudaErrorNoDevice, "the NVIDIA driver sees no card");
    csm_cuda::check(error, "asking the driver for cards");
}

static csm_status open_context(const struct csm_engine_options *options, void **out,
                               csm_error *err)
{
    return guarded(err, [&] {
        auto ctx = std::make_unique<context>();
        ctx->device = device_of(options->device);
        ctx->precision = options->precision;
        expect_driver();
        int n = 0;
        csm_cuda::check(cudaGetDeviceCount(&n), "asking the driver for cards");
        if (ctx->device >= n)
            throw csm_cuda::declined(
                csm_cuda::shaped("device 'cuda:%d': the driver sees %d card%s, cuda:0 first",
                                 ctx->device, n, n == 1 ? "" : "s"));
        csm_cuda::check(cudaSetDevice(ctx->device), "the card");
        csm_cuda::check(cudaGetDeviceProperties(&ctx->properties, ctx->device), "the card");
        if (ctx->properties.major < 8)
            throw csm_cuda::declined(csm_cuda::shaped(
                "%s has compute capability %d.%d, expected 8.0 or newer", ctx->properties.name,
                ctx->properties.major, ctx->properties.minor));
        csm_cuda::check(cudaStreamCreateWithFlags(&ctx->stream, cudaStreamNonBlocking), "a stream");
        int runtime = 0;
        cudaRuntimeGetVersion(&runtime);
        ctx->version = csm_cuda::shaped("%d.%d", runtime / 1000, runtime % 1000 / 10);
        ctx->traits.own_draws = csm_traits::CSM_OWN_NONE;
        ctx->traits.own_stream = CSM_STREAM_TORCH_CUDA;
        ctx->traits.lanes = true;
        ctx->traits.independent_rows = true;
        ctx->traits.codec = true;
        ctx->traits.codec_apart = true;
        ctx->traits.slow_at_first = true;
        ctx->traits.can_be_lost = true;
        ctx->traits.whole_frame = true;
        ctx->traits.precisions = 1u << CSM_PRECISION_STORED | 1u << CSM_PRECISION_F32 |
                                 1u << CSM_PRECISION_BF16 | 1u << CSM_PRECISION_F16 |
                                 1u << CSM_PRECISION_Q8 | 1u << CSM_PRECISION_Q4;
        *out = ctx.release();
    });
}

static void close_context(void *ctx)
{
    delete static_cast<context *>(ctx);
}

static const char *version(void *ctx)
{
    return static_cast<context *>(ctx)->version.c_str();
}

static const struct csm_traits *traits(void *ctx)
{
    return &static_cast<context *>(ctx)->traits;
}

/* ---- things that hold data ---------------------------------------------- */

static csm_status expect_room(void *ctx, const struct csm_weight_source *sources, size_t n,
                              csm_error *err)
{
    return on_card(ctx, err, [&](context &c) { csm_cuda::expect_room(c, sources, n); });
}

static csm_status weight_new(void *ctx, const struct csm_weight_source *source, csm_weight **out,
                             csm_error *err)
{
    return on_card(ctx, err, [&](context &c) { *out = csm_cuda::make_weight(c, *source); });
}

static void weight_free(void *, csm_weight *weight)
{
    delete weight;
}

static csm_status value_new(void *, csm_value **out, csm_error *err)
{
    return guarded(err, [&] { *out = new csm_value; });
}

static void value_free(void *, csm_value *value)
{
    delete value;
}

static csm_status lane_open(void *ctx, const struct csm_attention *blocks, size_t n_layers,
                            size_t capacity, csm_lane **out, csm_error *err)
{
    return on_card(ctx, err, [&](context &c) {
        *out = csm_cuda::open_lane(c, blocks, n_layers, capacity);
    });
}

static csm_status lane_fork(void *ctx, const csm_lane *from, size_t n_positions, csm_lane **out,
                            csm_error *err)
{
    return on_card(ctx, err,
                   [&](context &c) { *out = csm_cuda::fork_lane(c, *from, n_positions); });
}

static csm_status lane_reserve(void *ctx, csm_lane *lane, size_t n, csm_error *err)
{
    return on_card(ctx, err, [&](context &c) {
        size_t length = lane->lengths[0];
        size_t end = lane->window != 0 || length + n <= lane->capacity ? length + n : lane->capacity;
        csm_cuda::grow(c, *lane, length, end);
    });
}

static csm_status lane_truncate(void *, csm_lane *lane, size_t n_positions, csm_error *err)
{
    return guarded(err, [&] { csm_cuda::truncate(*lane, n_positions); });
}

static size_t lane_bytes(void *, const csm_lane *lane)
{
    return csm_cuda::lane_bytes(*lane);
}

static void lane_close(void *, csm_lane *lane)
{
    delete lane;
}

/* ---- host <-> engine ---------------------------------------------------- */

static csm_status write_rows(void *ctx, const float *host, size_t rows, size_t cols, csm_value *out,
                             csm_error *err)
{
    return on_card(ctx, err, [&](context &c) {
        out->shape(rows, cols);
        csm_cuda::check(cudaMemcpyAsync(out->data(), host, rows * cols * sizeof(float),
                                        cudaMemcpyHostToDevice, c.stream),
                        "writing rows");
    });
}

static csm_status read_rows(void *ctx, const csm_value *x, size_t rows, size_t cols, float *host,
                            csm_error *err)
{
    return on_card(ctx, err, [&](context &c) {
        if (x->rows != rows || x->cols != cols)
            throw csm_cuda::declined(
                csm_cuda::shaped("read of [%zu, %zu] from a value of [%zu, %zu]", rows, cols,
                                 x->rows, x->cols));
        csm_cuda::check(cudaMemcpyAsync(host, x->data(), rows * cols * sizeof(float),
                                        cudaMemcpyDeviceToHost, c.stream),
                        "reading rows");
        csm_cuda::check(cudaStreamSynchronize(c.stream), "reading rows");
    });
}

/* ---- arithmetic --------------------------------------------------------- */

static csm_status embed(void *ctx, const csm_weight *table, const int32_t *ids, size_t rows,
                        size_t n_per_row, csm_value *out, csm_error *err)
{
    return on_card(ctx, err, [&](context &c) {
        /* Forms are caches of what the weight is: made on first use. */
        csm_cuda::embed(c, *const_cast<csm_weight *>(table), ids, rows, n_per_row, *out);
    });
}

static csm_status copy_rows(void *ctx, const csm_value *src, size_t first, size_t n, csm_value *dst,
                            size_t at, csm_error *err)
{
    return on_card(ctx, err, [&](context &c) {
        if (src == dst || first > src->rows || n > src->rows - first ||
            (at != 0 && (dst->cols != src->cols || at > dst->rows)))
            throw csm_cuda::declined(csm_cuda::shaped(
                "copy of rows %zu+%zu of [%zu, %zu] to row %zu of [%zu, %zu]", first, n, src->rows,
                src->cols, at, dst->rows, dst->cols));
        size_t rows = at == 0 ? n : (at + n > dst->rows ? at + n : dst->rows);
        size_t row_bytes = src->cols * sizeof(float);
        if (at > 0 && rows * row_bytes > dst->memory.size()) {
            csm_cuda::memory grown(2 * rows * row_bytes);
            csm_cuda::check(cudaMemcpyAsync(grown.as<float>(), dst->data(), dst->rows * row_bytes,
                                            cudaMemcpyDeviceToDevice, c.stream),
                            "copying rows");
            dst->memory = std::move(grown);
        }
        dst->shape(rows, src->cols);
        csm_cuda::check(cudaMemcpyAsync(dst->data() + at * src->cols, src->data() + first * src->cols,
                                        n * row_bytes, cudaMemcpyDeviceToDevice, c.stream),
                        "copying rows");
    });
}

static csm_status norm(void *ctx, const struct csm_norm *of, const csm_value *x, csm_value *out,
                       csm_error *err)
{
    return on_card(ctx, err, [&](context &c) { csm_cuda::norm(c, *of, *x, *out); });
}

static csm_status linear(void *ctx, const csm_weight *weight, const csm_weight *bias,
                         const csm_value *x, csm_value *out, csm_error *err)
{
    return on_card(ctx, err, [&](context &c) {
        csm_cuda::linear(c, *const_cast<csm_weight *>(weight), bias, *x, *out);
    });
}

static csm_status attention(void *ctx, const struct csm_attention *block, size_t layer,
                            const struct csm_rows *rows, size_t n_lanes, csm_value *x,
                            csm_error *err)
{
    return on_card(ctx, err, [&](context &c) {
        csm_cuda::attention(c, *block, layer, rows, n_lanes, *x);
    });
}

static csm_status mlp(void *ctx, const struct csm_mlp *block, csm_value *x, csm_error *err)
{
    return on_card(ctx, err, [&](context &c) { csm_cuda::mlp(c, *block, *x); });
}

static csm_status add(void *ctx, csm_value *x, const csm_value *y, csm_error *err)
{
    return on_card(ctx, err, [&](context &c) {
        if (x->rows != y->rows || x->cols != y->cols)
            throw csm_cuda::declined(csm_cuda::shaped("[%zu, %zu] += [%zu, %zu]", x->rows, x->cols,
                                                      y->rows, y->cols));
        csm_cuda::launch_add(c, x->data(), y->data(), x->rows * x->cols);
    });
}

/* ---- convolutions ------------------------------------------------------- */

static csm_status conv_state_new(void *ctx, const struct csm_conv *conv, csm_conv_state **out,
                                 csm_error *err)
{
    return on_card(ctx, err, [&](context &c) { *out = csm_cuda::make_conv_state(c, *conv); });
}

static csm_status conv_state_reset(void *, csm_conv_state *state, csm_error *)
{
    state->has_past = false;
    return CSM_OK;
}

static void conv_state_free(void *, csm_conv_state *state)
{
    delete state;
}

static csm_status conv(void *ctx, const struct csm_conv *of, csm_conv_state *state,
                       const csm_value *x, csm_value *out, csm_error *err)
{
    return on_card(ctx, err, [&](context &c) {
        csm_cuda::conv(c, *of, state == nullptr ? nullptr : &state, 1, *x, *out);
    });
}

static csm_status conv_lanes(void *ctx, const struct csm_conv *of, csm_conv_state *const *states, size_t n,
                             const csm_value *x, csm_value *out, csm_error *err)
{
    return on_card(ctx, err, [&](context &c) { csm_cuda::conv(c, *of, states, n, *x, *out); });
}

/* ---- frames ------------------------------------------------------------- */

static csm_status frame(void *ctx, const struct csm_frame_parts *parts,
                        struct csm_frame_lane *lanes, size_t n, csm_error *err)
{
    return on_card(ctx, err, [&](context &c) { csm_cuda::draw_frames(c, *parts, lanes, n, {}); });
}

static csm_status frame_in_pieces(void *ctx, const struct csm_frame_parts *parts, struct csm_frame_lane *lanes,
                                  size_t n, void (*arrived)(void *user, size_t k), void *user, csm_error *err)
{
    return on_card(ctx, err, [&](context &c) { csm_cuda::draw_frames(c, *parts, lanes, n, {arrived, user}); });
}

static csm_status frame_ready(void *ctx, const struct csm_frame_parts *parts, size_t n, csm_error *err)
{
    return on_card(ctx, err, [&](context &c) { csm_cuda::ready_frames(c, *parts, n); });
}

static csm_status random_new(void *ctx, uint64_t seed, size_t n_calls, size_t n_each,
                             csm_random **out, csm_error *err)
{
    return guarded(err, [&] {
        *out = csm_cuda::make_random(*static_cast<context *>(ctx), seed, n_calls, n_each);
    });
}

static void random_free(void *, csm_random *random)
{
    delete random;
}

static struct csm_engine_ops table()
{
    struct csm_engine_ops ops = {};
    ops.name = "cuda";
    ops.open = open_context;
    ops.close = close_context;
    ops.version = version;
    ops.traits = traits;
    ops.expect_room = expect_room;
    ops.weight_new = weight_new;
    ops.weight_free = weight_free;
    ops.value_new = value_new;
    ops.value_free = value_free;
    ops.lane_open = lane_open;
    ops.lane_fork = lane_fork;
    ops.lane_reserve = lane_reserve;
    ops.lane_truncate = lane_truncate;
    ops.lane_bytes = lane_bytes;
    ops.lane_close = lane_close;
    ops.write = write_rows;
    ops.read = read_rows;
    ops.embed = embed;
    ops.copy_rows = copy_rows;
    ops.norm = norm;
    ops.linear = linear;
    ops.attention = attention;
    ops.mlp = mlp;
    ops.add = add;
    ops.conv_state_new = conv_state_new;
    ops.conv_state_reset = conv_state_reset;
    ops.conv_state_free = conv_state_free;
    ops.conv = conv;
    ops.conv_lanes = conv_lanes;
    ops.frame = frame;
    ops.frame_in_pieces = frame_in_pieces;
    ops.frame_ready = frame_ready;
    ops.random_new = random_new;
    ops.random_free = random_free;
    return ops;
}

extern "C" __attribute__((visibility("default"))) const struct csm_engine_ops *csm_engine_cuda(int abi)
{
    static const struct csm_engine_ops ops = table();
    return abi == CSM_ENGINE_ABI ? &ops : nullptr;
}
