/* SPDX-License-Identifier: Apache-2.0
 *
 * sampling.cpp - csm/sampling.h for Python. */
#include "module.h"

#include <csm/experimental.h>
#include <csm/sampling.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include <memory>
#include <mutex>
#include <new>
#include <string>

namespace {

using Int32s = nb::ndarray<nb::numpy, int32_t>;
using Floats = nb::ndarray<nb::numpy, float>;

csm_dtype half_or_single(const std::string &name)
{
    if (name == "f32" || name == "float32")
        return CSM_DTYPE_F32;
    if (name == "bf16" || name == "bfloat16")
        return CSM_DTYPE_BF16;
    if (name == "f16" || name == "float16")
        return CSM_DTYPE_F16;
    throw nb::value_error("dtype: must be f32, bf16 or f16");
}

csm_stream_kind stream_of(const std::string &name)
{
    const csm_stream_kind kind = csm_stream_find(name.c_str());
    if (kind == CSM_STREAM_COUNT)
        throw nb::value_error("stream: must be " CSM_STREAM_NAMES);
    return kind;
}

class Sampler {
public:
    Sampler(const std::string &sampler, const std::string &stream, const std::string &dtype,
            Seed seed, double temperature, size_t top_k, double top_p, double min_p,
            std::optional<std::string> mlx_version)
    {
        csm_sampler_options config = csm_sampler_defaults();
        config.sampler = csm_sampler_find(sampler.c_str());
        if (config.sampler == CSM_SAMPLER_COUNT)
            throw nb::value_error("sampler: must be transformers, sesame, csm-mlx or "
                                  "mlx-categorical");
        config.stream = stream_of(stream);
        config.dtype = half_or_single(dtype);
        config.seed = seed.value;
        config.temperature = temperature;
        config.top_k = top_k;
        config.top_p = top_p;
        config.min_p = min_p;
        config.mlx_version = mlx_version ? mlx_version->c_str() : nullptr;
        csm_error err;
        check(csm_sampler_open(&config, &sampler_, &err), err);
    }
    ~Sampler() { csm_sampler_close(sampler_); }
    Sampler(const Sampler &) = delete;
    Sampler &operator=(const Sampler &) = delete;

    std::tuple<Int32s, Floats> draw(nb::handle object)
    {
        Logits logits(object);
        std::vector<int32_t> tokens(logits.rows);
        std::vector<float> margins(logits.rows);
        csm_error err;
        csm_status status;
        {
            nb::gil_scoped_release released;
            std::lock_guard<std::mutex> lock(mutex_);
            status = csm_sampler_draw(sampler_, logits.data, logits.rows, logits.vocab,
                                      tokens.data(), margins.data(), nullptr, &err);
        }
        check(status, err);
        return {numpy_array(std::move(tokens), {logits.rows, 1}),
                numpy_array(std::move(margins), {logits.rows, 1})};
    }

    void set_temperature(double temperature)
    {
        csm_error err;
        std::lock_guard<std::mutex> lock(mutex_);
        check(csm_sampler_set_temperature(sampler_, temperature, &err), err);
    }
    void set_top_k(size_t top_k)
    {
        std::lock_guard<std::mutex> lock(mutex_);
        csm_sampler_set_top_k(sampler_, top_k);
    }
    uint64_t position()
    {
        std::lock_guard<std::mutex> lock(mutex_);
        return csm_stream_save(csm_sampler_stream(sampler_)).position;
    }
    void seek(nb::handle to)
    {
        uint64_t position;
        if (!nb::try_cast(to, position))
            throw nb::type_error("position: expected an integer, 0 or above");
        csm_error err;
        std::lock_guard<std::mutex> lock(mutex_);
        check(csm_stream_seek(csm_sampler_stream(sampler_), position, &err), err);
    }
    void follow(Sampler &other)
    {
        if (&other == this)
            return;
        csm_error err;
        std::scoped_lock lock(mutex_, other.mutex_);
        check(csm_stream_follow(csm_sampler_stream(sampler_), csm_sampler_stream(other.sampler_),
                                &err),
              err);
    }

private:
    csm_sampler *sampler_ = nullptr;
    std::mutex mutex_; /* threads that share a sampler take turns */
};

std::tuple<Floats, const char *> widen(nb::handle object)
{
    const Logits logits(object);
    std::vector<float> values(logits.data, logits.data + logits.rows * logits.vocab);
    std::vector<size_t> shape = {logits.rows, logits.vocab};
    if (logits.is_one_row())
        shape.erase(shape.begin());
    const char *name = logits.dtype == CSM_DTYPE_F32 ? "f32" : logits.dtype == CSM_DTYPE_BF16 ? "bf16" : "f16";
    return {numpy_array(std::move(values), std::move(shape)), name};
}

Floats noise(const std::string &stream, const std::string &dtype, Seed seed, size_t rows,
             size_t cols, uint64_t position)
{
    const csm_dtype type = half_or_single(dtype);
    if (rows == 0 || cols == 0 || rows > SIZE_MAX / sizeof(float) / cols)
        throw nb::value_error("rows, cols: expected 1 or more, and numbers that fit in memory");
    std::unique_ptr<float[]> values(new (std::nothrow) float[rows * cols]);
    if (values == nullptr)
        throw std::bad_alloc(); /* MemoryError; new's own is lost under AddressSanitizer */
    csm_stream_state state = {stream_of(stream), seed.value, position, 0};
    csm_error err;
    csm_stream *s;
    check(csm_stream_open(&state, &s, &err), err);
    csm_status status;
    {
        nb::gil_scoped_release released;
        status = csm_stream_fill(s, type, rows, cols, values.get(), &err);
    }
    csm_stream_close(s);
    check(status, err);
    nb::capsule owner(values.get(), [](void *p) noexcept { delete[] static_cast<float *>(p); });
    return Floats(values.release(), {rows, cols}, owner);
}

} // namespace

void bind_sampling(nb::module_ &m)
{
    using namespace nb::literals;
    nb::class_<Sampler>(m, "Sampler",
                        "Draws the tokens that another program would have drawn.\n\n"
                        "Parameters\n----------\n"
                        "sampler : 'transformers', 'sesame', 'csm-mlx' or 'mlx-categorical'\n"
                        "stream : 'torch-cpu', 'torch-cpu-mkl', 'torch-cuda', 'torch-inductor' or 'mlx'\n"
                        "dtype : 'f32', 'bf16' or 'f16', of the logits in that program\n"
                        "seed : as for torch.manual_seed or mx.random.seed\n"
                        "temperature : above 0\n"
                        "top_k : 0 for all\n"
                        "top_p, min_p : 0 for all\n"
                        "mlx_version : whose draws; None for the newest known\n")
        .def(nb::init<const std::string &, const std::string &, const std::string &, Seed,
                      double, size_t, double, double, std::optional<std::string>>(),
             "sampler"_a = "transformers", "stream"_a = "torch-cpu", nb::kw_only(),
             "dtype"_a = "f32", "seed"_a = Seed{0}, "temperature"_a = 0.9, "top_k"_a = 50,
             "top_p"_a = 0.0, "min_p"_a = 0.0, "mlx_version"_a = nb::none())
        .def("draw", &Sampler::draw, "logits"_a.none(),
             "One token for each row of logits [rows, vocab] or [vocab].\n\n"
             "float32, bfloat16 or float16, contiguous, on the CPU; by the buffer protocol or\n"
             "DLPack. Returns tokens int32 [rows, 1] and margins float32 [rows, 1]. Threads that share\n"
             "a sampler take turns. ValueError for NaN or nothing finite; the stream has then\n"
             "not moved.")
        .def("set_temperature", &Sampler::set_temperature, "temperature"_a)
        .def("set_top_k", &Sampler::set_top_k, "top_k"_a)
        .def("follow", &Sampler::follow, "other"_a,
             "Go on from where another sampler's stream stands, with its seed: samplers of\n"
             "different settings draw so from one stream, in turns. ValueError if the streams\n"
             "are of different kinds.")
        .def_prop_rw("position", &Sampler::position, &Sampler::seek,
                     "Where the random stream stands, in its own numbers: outputs of torch's mt19937\n"
                     "(two a number), the offset of torch.cuda's generator, or MLX's keys.");

    m.def("widen", &widen, "logits"_a,
          "Logits by DLPack, also in a dtype that NumPy has not: float32 of the same shape, and\n"
          "their dtype, 'f32', 'bf16' or 'f16'.");
    m.def("noise", &noise, "stream"_a, "dtype"_a = "f32", "seed"_a = Seed{0}, "rows"_a = 1,
          "cols"_a = 2051, "position"_a = 0,
          "What one call of the generator gives: exponentials (torch) or uniforms (mlx),\n"
          "float32 [rows, cols].");
    m.def("patch_switch", &csm_patch_mlx_sampling, "enable"_a, "verbose"_a = false,
          "The library's own switch; returns whether it was on.");
    m.def("patch_switch_is_on", &csm_exact_sampling_enabled);
    m.def("draw_is_certain", &csm_draw_is_certain, "margin"_a, "logit_error"_a,
          "Whether no error of the logits up to logit_error could have changed the draw.");
}
