/* SPDX-License-Identifier: Apache-2.0
 *
 * torch_table.cpp - the engine table over libtorch. Each entry is one call into
 * the other files, with every exception turned into a status. */
#include <cstring>
#include <new>

#include <dlfcn.h>

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/headeronly/version.h>

#include "base/error.h"
#include "torch_engine.h"

using csm_torch::context;

static bool is_memory(const std::exception &e) noexcept
{
    return dynamic_cast<const c10::OutOfMemoryError *>(&e) != nullptr ||
           strstr(e.what(), "can't allocate memory") != nullptr;
}

/* Run `body` without autograd, in a thread that has PyTorch's number of threads. */
template <class Body> static csm_status guarded(csm_error *err, Body &&body) noexcept
{
    return csm_engine::guarded("torch", is_memory, err, [&] {
        static thread_local const bool is_ready = (at::init_num_threads(), true);
        (void)is_ready;
        c10::InferenceMode mode;
        body();
    });
}

static context *of(void *ctx)
{
    return static_cast<context *>(ctx);
}

/* ---- the context -------------------------------------------------------- */

static at::Device device_of(const char *name)
{
    if (name == nullptr)
        return at::kCPU;
    at::Device device(at::kCPU);
    try {
        device = at::Device(strcmp(name, "gpu") == 0 ? "cuda" : name);
    } catch (const c10::Error &) { /* its text tells of PyTorch's own list */
        throw csm_torch::declined(std::string("device '") + name +
                                  "', expected cpu, gpu, cuda, cuda:N or mps");
    }
    if (device.is_cuda()) {
        /* Loading it registers CUDA with the dispatcher; a build for the CPU has none. */
        dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE);
        if (!at::globalContext().hasCUDA())
            throw csm_torch::declined(std::string("device ") + name +
                                      ": this PyTorch sees no CUDA device");
        at::globalContext().lazyInitDevice(at::kCUDA);
        if (!device.has_index())
            device.set_index(0);
    }
    return device;
}

static c10::optional<at::ScalarType> dtype_of(csm_precision precision)
{
    switch (precision) {
    case CSM_PRECISION_F32:
        return at::kFloat;
    case CSM_PRECISION_BF16:
        return at::kBFloat16;
    case CSM_PRECISION_F16:
        return at::kHalf;
    case CSM_PRECISION_STORED:
        return c10::nullopt;
    case CSM_PRECISION_Q8:
    case CSM_PRECISION_Q4:
        break;
    }
    throw csm_torch::declined("quantized precision, expected stored, f32, bf16 or f16");
}

static csm_status open_context(const struct csm_engine_options *options, void **out,
                               csm_error *err)
{
    return guarded(err, [&] {
        auto ctx = std::make_unique<context>();
        ctx->device = device_of(options->device);
        ctx->dtype = dtype_of(options->precision);
        uint64_t version = aoti_torch_abi_version();
        ctx->version = std::to_string(version >> 56) + "." + std::to_string(version >> 48 & 255) +
                       "." + std::to_string(version >> 40 & 255);
        if (options->n_threads > 0)
            at::set_num_threads(options->n_threads);
        ctx->traits.own_draws = csm_traits::CSM_OWN_TORCH;
        ctx->traits.own_stream =
            ctx->device.is_cuda() ? CSM_STREAM_TORCH_CUDA : CSM_STREAM_TORCH_CPU;
        ctx->traits.whole_frame = true;
        ctx->traits.as_stored = true;
        ctx->traits.precisions = 1u << CSM_PRECISION_STORED | 1u << CSM_PRECISION_F32 |
                                 1u << CSM_PRECISION_BF16 | 1u << CSM_PRECISION_F16;
        ctx->traits.n_threads = options->n_threads;
        *out = ctx.release();
    });
}

static const struct csm_traits *traits(void *ctx)
{
    return &of(ctx)->traits;
}

static void close_context(void *ctx)
{
    delete of(ctx);
}

static const char *version(void *ctx)
{
    return of(ctx)->version.c_str();
}

/* ---- things that hold data ---------------------------------------------- */

static csm_status weight_new(void *ctx, const struct csm_weight_source *source, csm_weight **out,
                             csm_error *err)
{
    return guarded(err, [&] {
        *out = new csm_weight{csm_torch::load_weight(*of(ctx), *source), source->transposed};
    });
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
    return guarded(err, [&] {
        auto &spare = of(ctx)->spare;
        for (auto lane = spare.begin(); lane != spare.end(); ++lane)
            if ((*lane)->blocks == blocks && (*lane)->entries.size() == n_layers &&
                (*lane)->capacity == static_cast<int64_t>(capacity)) {
                csm_torch::truncate(**lane, 0);
                *out = lane->release();
                spare.erase(lane);
                return;
            }
        *out = csm_torch::make_lane(*of(ctx), blocks, n_layers, capacity,
                                    of(ctx)->device.is_cuda())
                   .release();
    });
}

static csm_status lane_truncate(void *, csm_lane *lane, size_t n_positions, csm_error *err)
{
    return guarded(err, [&] { csm_torch::truncate(*lane, n_positions); });
}

static void lane_close(void *ctx, csm_lane *lane)
{
    std::unique_ptr<csm_lane> owned(lane);
    if (lane != nullptr && of(ctx)->spare.size() < csm_torch::MOST_SPARE)
        (void)guarded(nullptr, [&] { of(ctx)->spare.push_back(std::move(owned)); });
}

/* ---- host <-> engine ---------------------------------------------------- */

static csm_status write(void *ctx, const float *host, size_t rows, size_t cols, csm_value *out,
                        csm_error *err)
{
    return guarded(err, [&] {
        at::Tensor view = at::from_blob(
            const_cast<float *>(host),
            {1, static_cast<int64_t>(rows), static_cast<int64_t>(cols)}, at::dtype(at::kFloat));
        out->tensor = at::empty_like(view, at::device(of(ctx)->device)
                                               .dtype(of(ctx)->dtype.value_or(at::kFloat)))
                          .copy_(view);
    });
}

static csm_status read(void *, const csm_value *x, size_t rows, size_t cols, float *host,
                       csm_error *err)
{
    return guarded(err, [&] {
        at::Tensor view =
            at::from_blob(host, {1, static_cast<int64_t>(rows), static_cast<int64_t>(cols)},
                          at::dtype(at::kFloat));
        TORCH_CHECK(x->tensor.sizes() == view.sizes(), "read of ", rows, " x ", cols,
                    " from a value of shape ", x->tensor.sizes());
        view.copy_(x->tensor);
    });
}

/* ---- arithmetic --------------------------------------------------------- */

static csm_status embed(void *, const csm_weight *table, const int32_t *ids, size_t rows,
                        size_t n_per_row, csm_value *out, csm_error *err)
{
    return guarded(err, [&] { out->tensor = csm_torch::embed(*table, ids, rows, n_per_row); });
}

static csm_status copy_rows(void *, const csm_value *src, size_t first, size_t n, csm_value *dst,
                            size_t at, csm_error *err)
{
    return guarded(err, [&] {
        auto count = static_cast<int64_t>(n), start = static_cast<int64_t>(at);
        at::Tensor rows = src->tensor.narrow(1, static_cast<int64_t>(first), count);
        if (start == 0) {
            dst->tensor = rows;
            return;
        }
        at::Tensor all = dst->tensor;
        std::vector<at::Tensor> parts{all.narrow(1, 0, start), rows};
        if (all.size(1) > start + count)
            parts.push_back(all.slice(1, start + count));
        dst->tensor = at::cat(parts, 1);
    });
}

static csm_status norm(void *, const struct csm_norm *norm, const csm_value *x, csm_value *out,
                       csm_error *err)
{
    return guarded(err, [&] { out->tensor = csm_torch::rms_norm(*norm, x->tensor); });
}

static csm_status linear(void *, const csm_weight *weight, const csm_weight *bias,
                         const csm_value *x, csm_value *out, csm_error *err)
{
    return guarded(err, [&] { out->tensor = csm_torch::linear(*weight, bias, x->tensor); });
}

static csm_status attention(void *, const struct csm_attention *block, size_t layer,
                            const struct csm_rows *rows, size_t n_lanes, csm_value *x,
                            csm_error *err)
{
    return guarded(err, [&] {
        if (n_lanes != 1)
            throw csm_torch::declined(std::to_string(n_lanes) + " lanes at once, expected one");
        x->tensor = csm_torch::attention(*block, *rows->lane, layer, x->tensor);
    });
}

static csm_status mlp(void *, const struct csm_mlp *block, csm_value *x, csm_error *err)
{
    return guarded(err, [&] { x->tensor = csm_torch::mlp(*block, x->tensor); });
}

static csm_status add(void *, csm_value *x, const csm_value *y, csm_error *err)
{
    return guarded(err, [&] { x->tensor = x->tensor + y->tensor; });
}

/* ---- draws -------------------------------------------------------------- */

static csm_status random_new(void *ctx, uint64_t seed, size_t n_calls, size_t n_each,
                             csm_random **out, csm_error *err)
{
    return guarded(err, [&] {
        *out = new csm_random{csm_torch::make_generator(*of(ctx), seed, n_calls, n_each), {}};
    });
}

static void random_free(void *, csm_random *random)
{
    delete random;
}

static csm_status frame(void *ctx, const struct csm_frame_parts *parts,
                        struct csm_frame_lane *lanes, size_t n, csm_error *err)
{
    return guarded(err, [&] {
        for (size_t i = 0; i < n; i++)
            csm_torch::draw_frame(*of(ctx), *parts, lanes[i]);
    });
}

/* ---- the table ---------------------------------------------------------- */

static constexpr struct csm_engine_ops make_table()
{
    struct csm_engine_ops ops = {};
    ops.name = "torch";
    ops.open = open_context;
    ops.close = close_context;
    ops.version = version;
    ops.weight_new = weight_new;
    ops.weight_free = weight_free;
    ops.value_new = value_new;
    ops.value_free = value_free;
    ops.traits = traits;
    ops.lane_open = lane_open;
    ops.lane_truncate = lane_truncate;
    ops.lane_close = lane_close;
    ops.write = write;
    ops.read = read;
    ops.embed = embed;
    ops.copy_rows = copy_rows;
    ops.norm = norm;
    ops.linear = linear;
    ops.attention = attention;
    ops.mlp = mlp;
    ops.add = add;
    ops.random_new = random_new;
    ops.random_free = random_free;
    ops.frame = frame;
    return ops;
}

static constexpr struct csm_engine_ops table = make_table();

extern "C" CSM_API const struct csm_engine_ops *csm_engine_torch(int abi);

extern "C" const struct csm_engine_ops *csm_engine_torch(int abi)
{
    /* An adapter built against another libtorch may round differently, or crash. */
    bool is_same_torch = aoti_torch_abi_version() >> 48 == TORCH_ABI_VERSION >> 48;
    return abi == CSM_ENGINE_ABI && is_same_torch ? &table : nullptr;
}
