/* SPDX-License-Identifier: Apache-2.0
 *
 * model.cpp - csm/csm.h for Python. */
#include "module.h"

#include <csm/csm.h>
#include <csm/remarks.h>
#include <csm/session.h>
#include <csm/voices.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <mutex>
#include <string>

namespace {

using Samples = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Codes = nb::ndarray<const int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

const char *or_null(const std::optional<std::string> &text)
{
    return text ? text->c_str() : nullptr;
}

/* A name of an enum whose names the library tells. */
template <typename Enum>
Enum find(const char *what, const std::string &name, const char *(*name_of)(Enum), int count)
{
    std::string known;
    for (int i = 0; i < count; i++) {
        if (name == name_of(static_cast<Enum>(i)))
            return static_cast<Enum>(i);
        known += std::string(i == 0 ? "" : ", ") + name_of(static_cast<Enum>(i));
    }
    throw nb::value_error((std::string(what) + ": '" + name + "', expected one of " + known).c_str());
}

csm_strategy strategy_of(const std::string &name)
{
    return find("strategy", name, csm_strategy_name, CSM_STRATEGY_HYBRID + 1);
}

/* The model, shared by what was made of it: it is closed when the last of these is gone.
 * Any number of threads may use it at once; each call gives up the interpreter's lock. */
struct Handle {
    csm_model *model = nullptr;

    ~Handle() { csm_model_close(model); }
};

/* The handle of a model that is open, held for the call: another thread may close
 * the model meanwhile. */
std::shared_ptr<Handle> opened(const std::shared_ptr<Handle> &handle)
{
    if (handle == nullptr)
        throw nb::value_error("model: it was closed");
    return handle;
}

struct Turn {
    std::string text;
    int speaker;
    std::optional<Samples> samples;
    std::optional<Codes> codes;

    csm_turn view() const
    {
        csm_turn turn = {};
        turn.text = text.c_str();
        turn.speaker = speaker;
        if (samples) {
            turn.samples = samples->data();
            turn.n_samples = samples->shape(0);
        }
        if (codes) {
            turn.codes = codes->data();
            turn.n_frames = codes->shape(0);
        }
        return turn;
    }
};

nb::dict report_dict(const csm_report &r)
{
    nb::dict d;
    d["strategy"] = csm_strategy_name(r.strategy);
    d["reason"] = r.reason;
    d["fallback"] = r.fallback;
    d["engine"] = r.engine;
    d["engine_version"] = r.engine_version;
    d["codec_engine"] = r.codec_engine;
    d["stream"] = r.stream;
    d["sampler"] = r.sampler;
    d["dtype"] = r.dtype;
    d["mlx_version"] = r.mlx_version;
    d["seed"] = r.seed;
    d["temperature"] = r.temperature;
    d["depth_temperature"] = r.depth_temperature;
    d["top_k"] = r.top_k;
    d["depth_top_k"] = r.depth_top_k;
    d["top_p"] = r.top_p;
    d["depth_top_p"] = r.depth_top_p;
    d["min_p"] = r.min_p;
    d["depth_min_p"] = r.depth_min_p;
    d["code_rules"] = r.code_rules != nullptr ? r.code_rules : "";
    d["library"] = r.library;
    d["processor"] = r.processor;
    d["n_threads"] = r.n_threads;
    d["guarded"] = r.guarded;
    d["adapter"] = r.adapter;
    d["n_prompt"] = r.n_prompt;
    d["n_guessed"] = r.n_guessed;
    d["n_confirmed"] = r.n_confirmed;
    d["n_frames"] = r.n_frames;
    d["has_ended"] = r.has_ended;
    d["encode_ms"] = r.encode_ms;
    d["prompt_ms"] = r.prompt_ms;
    d["backbone_ms"] = r.backbone_ms;
    d["depth_ms"] = r.depth_ms;
    d["draw_ms"] = r.draw_ms;
    d["codec_ms"] = r.codec_ms;
    d["first_frame_ms"] = r.first_frame_ms;
    d["first_sound_ms"] = r.first_sound_ms;
    d["total_ms"] = r.total_ms;
    return d;
}

/* A copy of what the library lends until its next call; empty for NULL. */
template <typename T> std::vector<T> copied(const T *data, size_t n)
{
    return data == nullptr ? std::vector<T>() : std::vector<T>(data, data + n);
}

template <typename T> nb::object array_or_none(std::vector<T> values, std::vector<size_t> shape)
{
    if (values.empty())
        return nb::none();
    return nb::cast(numpy_array(std::move(values), std::move(shape)));
}

/* Speech under way: an iterator over frames. */
class Generation {
public:
    Generation(std::shared_ptr<Handle> handle, csm_generation *generation)
        : handle_(std::move(handle)), generation_(generation)
    {
    }
    ~Generation()
    {
        nb::gil_scoped_release released;
        csm_generation_close(generation_);
    }
    Generation(const Generation &) = delete;
    Generation &operator=(const Generation &) = delete;

    void cancel()
    {
        nb::gil_scoped_release released;
        csm_generation_cancel(generation_);
    }

    /* A generation has one reader at a time: the frame is copied before another may ask for
     * the next. The interpreter's lock is given up before that: neither waits for the other. */
    nb::dict next()
    {
        const csm_model_info *info = csm_model_describe(handle_->model);
        const size_t k = info->n_codebooks;
        const csm_frame *frame = nullptr;
        size_t index = 0;
        std::vector<int32_t> codes;
        std::vector<float> margins, probs, logits, samples;
        size_t n_samples = 0;
        csm_error err;
        csm_status status;
        {
            nb::gil_scoped_release released;
            std::lock_guard<std::mutex> lock(reading_);
            status = csm_generation_next(generation_, &frame, &err);
            if (status == CSM_OK && frame != nullptr) {
                index = frame->index;
                codes = copied(frame->codes, k);
                margins = copied(frame->margins, k);
                probs = copied(frame->probs, k);
                logits = copied(frame->logits, k * info->vocab);
                n_samples = frame->n_samples;
                samples = copied(frame->samples, n_samples);
            }
        }
        if (status == CSM_CANCELLED) /* by cancel() alone: it was closed */
            throw nb::stop_iteration();
        check(status, err);
        if (frame == nullptr)
            throw nb::stop_iteration();
        nb::dict d;
        d["index"] = index;
        d["codes"] = array_or_none(std::move(codes), {k});
        d["margins"] = array_or_none(std::move(margins), {k});
        d["probs"] = array_or_none(std::move(probs), {k});
        d["logits"] = array_or_none(std::move(logits), {k, info->vocab});
        d["samples"] = array_or_none(std::move(samples), {n_samples});
        return d;
    }

    nb::dict report()
    {
        csm_report report = {};
        {
            nb::gil_scoped_release released;
            report = csm_report_of(generation_);
        }
        return report_dict(report);
    }

    /* How it ended, once it has: (code, text) each. */
    Remarks remarks()
    {
        csm_report report = {};
        {
            nb::gil_scoped_release released;
            report = csm_report_of(generation_);
        }
        csm_remark found[CSM_ENDING_REMARKS];
        const size_t n =
            csm_remark_ending(&report, csm_model_describe(handle_->model)->frame_ms, found);
        return remarks_of(found, n);
    }

private:
    std::shared_ptr<Handle> handle_;
    csm_generation *generation_;
    std::mutex reading_;
};

class Model {
public:
    Model(std::optional<std::string> path, const std::string &strategy,
          std::optional<std::string> engine, const std::string &dtype, int threads,
          std::optional<std::string> device, std::optional<std::string> codec_engine,
          const std::vector<std::pair<std::string, double>> &adapters,
          const std::vector<std::tuple<std::string, std::string, double>> &named_adapters,
          std::optional<bool> speculate)
    {
        csm_model_options options = csm_model_defaults();
        std::vector<csm_adapter> merged;
        for (const auto &[directory, scale] : adapters)
            merged.push_back({directory.c_str(), scale});
        options.adapters = merged.data();
        options.n_adapters = merged.size();
        std::vector<csm_named_adapter> named;
        for (const auto &[name, directory, scale] : named_adapters)
            named.push_back({name.c_str(), {directory.c_str(), scale}});
        options.named_adapters = named.data();
        options.n_named_adapters = named.size();
        options.strategy = strategy_of(strategy);
        options.engine = or_null(engine);
        options.precision = find("dtype", dtype, csm_precision_name, CSM_PRECISION_Q4 + 1);
        options.n_threads = threads;
        options.device = or_null(device);
        options.codec_engine = or_null(codec_engine);
        if (speculate)
            options.speculation = *speculate ? CSM_SPECULATION_ON : CSM_SPECULATION_OFF;
        auto handle = std::make_shared<Handle>();
        csm_error err;
        csm_status status;
        {
            nb::gil_scoped_release released;
            status = csm_model_open(or_null(path), &options, &handle->model, &err);
        }
        check(status, err);
        handle_ = std::move(handle);
    }

    void close() { handle_.reset(); }

    nb::dict info() const
    {
        const csm_model_info *i = csm_model_describe(opened(handle_)->model);
        nb::dict d;
        d["path"] = i->path;
        d["name"] = i->name;
        d["layout"] = i->layout;
        d["digest"] = i->digest;
        d["strategy"] = csm_strategy_name(i->strategy);
        d["strategy_reason"] = i->strategy_reason;
        d["engine"] = i->engine;
        d["engine_version"] = i->engine_version;
        d["codec_engine"] = i->codec_engine;
        d["device"] = i->device;
        d["dtype"] = csm_precision_name(i->precision);
        d["stored_dtype"] = i->stored_dtype;
        d["threads"] = i->n_threads;
        d["has_draft"] = i->has_draft;
        d["n_codebooks"] = i->n_codebooks;
        d["vocab"] = i->vocab;
        d["text_vocab"] = i->text_vocab;
        d["n_entries"] = i->n_entries;
        d["max_positions"] = i->max_positions;
        d["n_parameters"] = i->n_parameters;
        d["sample_rate"] = i->sample_rate_hz;
        d["frame_samples"] = i->frame_samples;
        d["temperature"] = i->temperature;
        d["top_k"] = i->top_k;
        d["depth_temperature"] = i->depth_temperature;
        d["depth_top_k"] = i->depth_top_k;
        d["default_speaker"] = i->default_speaker;
        nb::list adapters;
        for (size_t a = 0; a < i->n_adapters; a++)
            adapters.append(i->adapters[a]);
        d["adapters"] = adapters;
        return d;
    }

    Generation *start(const std::string &text, int speaker, const std::vector<Turn> &context,
                      const std::string &strategy, uint64_t seed, double temperature, int top_k,
                      double depth_temperature, int depth_top_k, double top_p, double min_p,
                      double depth_top_p, double depth_min_p, size_t min_frames, bool guard,
                      std::optional<std::string> stream, std::optional<std::string> sampler,
                      std::optional<std::string> dtype, std::optional<std::string> mlx_version,
                      std::optional<std::string> adapter, size_t max_frames, bool sound, bool logits)
    {
        const std::shared_ptr<Handle> handle = opened(handle_);
        csm_model *model = handle->model;
        std::vector<csm_turn> turns;
        for (const Turn &turn : context) {
            const size_t n_codebooks = csm_model_describe(model)->n_codebooks;
            if (turn.codes && turn.codes->shape(1) != n_codebooks)
                throw nb::value_error(("context: codes: " + std::to_string(turn.codes->shape(1)) +
                                       " codebooks, expected the model's " +
                                       std::to_string(n_codebooks)).c_str());
            turns.push_back(turn.view());
        }
        csm_generate_options options = csm_generate_defaults();
        options.strategy = strategy_of(strategy);
        options.seed = seed;
        options.temperature = temperature;
        options.top_k = top_k;
        options.depth_temperature = depth_temperature;
        options.depth_top_k = depth_top_k;
        options.top_p = top_p;
        options.min_p = min_p;
        options.depth_top_p = depth_top_p;
        options.depth_min_p = depth_min_p;
        options.min_frames = min_frames;
        options.has_guard = guard;
        options.stream = or_null(stream);
        options.sampler = or_null(sampler);
        options.dtype = or_null(dtype);
        options.mlx_version = or_null(mlx_version);
        options.adapter = or_null(adapter);
        options.max_frames = max_frames;
        options.without_sound = !sound;
        options.keep_logits = logits;
        csm_request request = csm_request_of(text.c_str(), speaker);
        request.context = turns.data();
        request.n_context = turns.size();
        csm_generation *generation;
        csm_error err;
        csm_status status;
        {
            nb::gil_scoped_release released;
            status = csm_generation_open(model, &request, &options, &generation, &err);
        }
        check(status, err);
        return new Generation(handle, generation); /* Python's from here on */
    }

    nb::ndarray<nb::numpy, int32_t> tokenize(const std::string &text, int speaker)
    {
        const std::shared_ptr<Handle> handle = opened(handle_);
        int32_t *ids;
        size_t n;
        csm_error err;
        csm_status status;
        {
            nb::gil_scoped_release released;
            status = csm_model_tokenize(handle->model, text.c_str(), speaker, &ids, &n, &err);
        }
        check(status, err);
        std::vector<int32_t> values(ids, ids + n);
        csm_free(ids);
        return numpy_array(std::move(values), {n});
    }

    nb::ndarray<nb::numpy, int32_t> encode(const Samples &samples)
    {
        const std::shared_ptr<Handle> handle = opened(handle_);
        csm_model *model = handle->model;
        const csm_model_info *info = csm_model_describe(model);
        const size_t n_samples = samples.shape(0);
        const size_t n_frames = (n_samples + info->frame_samples - 1) / info->frame_samples;
        std::vector<int32_t> codes(n_frames * info->n_codebooks);
        csm_error err;
        csm_status status;
        {
            nb::gil_scoped_release released;
            status = csm_codec_encode(csm_model_codec(model), samples.data(), n_samples,
                                      info->n_codebooks, codes.data(), &err);
        }
        check(status, err);
        return numpy_array(std::move(codes), {n_frames, info->n_codebooks});
    }

    nb::ndarray<nb::numpy, float> decode(const Codes &codes)
    {
        const std::shared_ptr<Handle> handle = opened(handle_);
        csm_model *model = handle->model;
        const size_t n = codes.shape(0) * csm_model_describe(model)->frame_samples;
        std::vector<float> samples(n);
        csm_error err;
        csm_status status;
        {
            nb::gil_scoped_release released;
            status = csm_codec_decode(csm_model_codec(model), codes.data(), codes.shape(0),
                                      codes.shape(1), samples.data(), &err);
        }
        check(status, err);
        return numpy_array(std::move(samples), {n});
    }

    /* csm_frames_for_text */
    size_t frames_for(const std::string &text, int speaker, const std::vector<Turn> &context)
    {
        const std::shared_ptr<Handle> handle = opened(handle_);
        const std::vector<csm_turn> turns = views(context);
        return csm_frames_for_text(handle->model, turns.data(), turns.size(), text.c_str(), speaker);
    }

    /* csm_remark_speaker */
    Remarks remarks(int speaker, const std::vector<Turn> &context)
    {
        const std::shared_ptr<Handle> handle = opened(handle_);
        const std::vector<csm_turn> turns = views(context);
        csm_remark found;
        const size_t n =
            csm_remark_speaker(handle->model, speaker, turns.data(), turns.size(), &found);
        return remarks_of(&found, n);
    }

    /* A voice by name: the speaker, and its turns as (text, speaker, codes). */
    nb::tuple voice(const std::string &name)
    {
        const std::shared_ptr<Handle> handle = opened(handle_);
        const size_t k = csm_model_describe(handle->model)->n_codebooks;
        csm_voice voice;
        csm_session *session = nullptr;
        csm_error err;
        csm_status status = csm_voice_find(handle->model, name.c_str(), &voice, &err);
        if (status == CSM_OK && voice.path[0] != '\0') {
            status = csm_session_open(handle->model, &session, &err);
            if (status == CSM_OK)
                status = csm_session_load(session, voice.path, &err);
        }
        nb::list turns;
        const size_t n = status == CSM_OK && session != nullptr ? csm_session_count(session) : 0;
        for (size_t i = 0; i < n; i++) {
            const csm_turn turn = csm_session_turn(session, i);
            turns.append(nb::make_tuple(turn.text, turn.speaker,
                                        numpy_array(copied(turn.codes, turn.n_frames * k),
                                                    {turn.n_frames, k})));
            voice.speaker = turn.speaker;
        }
        csm_session_close(session);
        check(status, err);
        return nb::make_tuple(voice.speaker, turns);
    }

private:
    static std::vector<csm_turn> views(const std::vector<Turn> &context)
    {
        std::vector<csm_turn> turns;
        for (const Turn &turn : context)
            turns.push_back(turn.view());
        return turns;
    }

    std::shared_ptr<Handle> handle_;
};

} // namespace

void bind_model(nb::module_ &m)
{
    using namespace nb::literals;
    m.attr("FROM_MODEL") = static_cast<int>(CSM_FROM_MODEL);

    nb::class_<Turn>(m, "Turn", "An earlier turn: text, speaker, and samples or codes.")
        .def(
            "__init__",
            [](Turn *turn, std::string text, int speaker, std::optional<Samples> samples,
               std::optional<Codes> codes) {
                new (turn) Turn{std::move(text), speaker, std::move(samples), std::move(codes)};
            },
            "text"_a, "speaker"_a, "samples"_a = nb::none(), "codes"_a = nb::none());

    nb::class_<Generation>(m, "Generation", "Speech under way: iterate over its frames.")
        .def("__iter__", [](nb::handle self) { return self; })
        .def("__next__", &Generation::next)
        .def("cancel", &Generation::cancel)
        .def("report", &Generation::report)
        .def("remarks", &Generation::remarks);

    nb::class_<Model>(m, "Model", "An open model directory; None: the embedded voice.")
        .def(nb::init<std::optional<std::string>, const std::string &, std::optional<std::string>,
                      const std::string &, int, std::optional<std::string>,
                      std::optional<std::string>,
                      const std::vector<std::pair<std::string, double>> &,
                      const std::vector<std::tuple<std::string, std::string, double>> &,
                      std::optional<bool>>(),
             "path"_a = nb::none(), nb::kw_only(), "strategy"_a = "auto", "engine"_a = nb::none(),
             "dtype"_a = "stored", "threads"_a = 0, "device"_a = nb::none(),
             "codec_engine"_a = nb::none(),
             "adapters"_a = std::vector<std::pair<std::string, double>>(),
             "named_adapters"_a = std::vector<std::tuple<std::string, std::string, double>>(),
             "speculate"_a = nb::none())
        .def("close", &Model::close)
        .def("info", &Model::info)
        .def("start", &Model::start, "text"_a, "speaker"_a, "context"_a, nb::kw_only(),
             "strategy"_a = "auto", "seed"_a = 0, "temperature"_a = double(CSM_FROM_MODEL),
             "top_k"_a = int(CSM_FROM_MODEL), "depth_temperature"_a = double(CSM_FROM_MODEL),
             "depth_top_k"_a = int(CSM_FROM_MODEL), "top_p"_a = double(CSM_FROM_MODEL),
             "min_p"_a = double(CSM_FROM_MODEL), "depth_top_p"_a = double(CSM_FROM_MODEL),
             "depth_min_p"_a = double(CSM_FROM_MODEL), "min_frames"_a = 0, "guard"_a = false,
             "stream"_a = nb::none(),
             "sampler"_a = nb::none(), "dtype"_a = nb::none(), "mlx_version"_a = nb::none(),
             "adapter"_a = nb::none(), "max_frames"_a = 125, "sound"_a = true, "logits"_a = false)
        .def("tokenize", &Model::tokenize, "text"_a, "speaker"_a = 0)
        .def("frames_for", &Model::frames_for, "text"_a, "speaker"_a, "context"_a)
        .def("remarks", &Model::remarks, "speaker"_a, "context"_a)
        .def("voice", &Model::voice, "name"_a)
        .def("encode", &Model::encode, "samples"_a)
        .def("decode", &Model::decode, "codes"_a);
}
