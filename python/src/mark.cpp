/* SPDX-License-Identifier: Apache-2.0
 *
 * mark.cpp - csm/mark.h for Python. */
#include "module.h"

#include <csm/audio.h>
#include <csm/mark.h>
#include <nanobind/stl/optional.h>

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace {

using Samples = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Key = std::optional<nb::bytes>;

csm_mark_options options_of(int rate_hz, const Key &key)
{
    csm_mark_options options = csm_mark_defaults();
    options.rate_hz = rate_hz;
    if (key) {
        if (key->size() != CSM_MARK_KEY_BYTES)
            throw nb::value_error("key: must be 32 bytes");
        options.key = reinterpret_cast<const unsigned char *>(key->c_str());
    }
    return options;
}

class Marker {
public:
    Marker(int rate_hz, const Key &key, uint8_t maker, uint16_t model, uint8_t free_bits)
    {
        csm_mark_options options = options_of(rate_hz, key);
        options.payload = {maker, model, free_bits};
        csm_mark *opened = nullptr;
        csm_error err;
        check(csm_mark_open(&options, &opened, &err), err);
        mark.reset(opened);
    }

    nb::ndarray<nb::numpy, float> push(Samples samples)
    {
        std::vector<float> out(samples.size());
        csm_mark_push(mark.get(), samples.data(), samples.size(), out.data());
        return numpy_array(std::move(out), {samples.size()});
    }

private:
    struct Close {
        void operator()(csm_mark *m) const { csm_mark_close(m); }
    };
    std::unique_ptr<csm_mark, Close> mark;
};

class Detector {
public:
    /* Of any rate: what is no multiple of 8,000 Hz is resampled by push. */
    Detector(int rate_hz, const Key &key) : rate_hz(rate_hz)
    {
        own_hz = rate_hz >= 8000 && rate_hz <= 48000 && rate_hz % 8000 == 0 ? rate_hz : 24000;
        const csm_mark_options options = options_of(own_hz, key);
        csm_detector *opened = nullptr;
        csm_error err;
        check(csm_detector_open(&options, &opened, &err), err);
        detector.reset(opened);
    }

    void push(Samples samples)
    {
        const float *x = samples.data();
        size_t n = samples.size();
        float *resampled = nullptr;
        csm_error err;
        csm_status status = CSM_OK;
        {
            nb::gil_scoped_release release;
            std::lock_guard<std::mutex> lock(mutex);
            if (own_hz != rate_hz) {
                status = csm_audio_resample(CSM_RESAMPLER_TORCHAUDIO, x, n, rate_hz, own_hz,
                                            &resampled, &n, &err);
                x = resampled;
            }
            if (status == CSM_OK)
                status = csm_detector_push(detector.get(), x, n, &err);
            csm_free(resampled);
        }
        check(status, err);
    }

    /* [(start_s, end_s, p_value, speed, payload or None)], smallest p_value */
    nb::tuple result()
    {
        std::vector<csm_mark_found> found;
        double p_value = 1;
        csm_error err;
        csm_status status;
        {
            nb::gil_scoped_release release;
            std::lock_guard<std::mutex> lock(mutex);
            const csm_mark_found *all = nullptr;
            size_t n = 0;
            status = csm_detector_result(detector.get(), &all, &n, &p_value, &err);
            if (status == CSM_OK)
                found.assign(all, all + n);
        }
        check(status, err);
        nb::list list;
        for (const csm_mark_found &f : found) {
            const csm_mark_payload &p = f.payload;
            const nb::object payload =
                f.has_payload ? nb::object(nb::make_tuple(p.maker, p.model, p.free_bits))
                              : nb::object(nb::none());
            list.append(nb::make_tuple(f.start_s, f.end_s, f.p_value, f.speed, payload));
        }
        return nb::make_tuple(list, p_value);
    }

private:
    struct Close {
        void operator()(csm_detector *d) const { csm_detector_close(d); }
    };
    std::unique_ptr<csm_detector, Close> detector;
    std::mutex mutex; /* threads that share a detector take turns */
    int rate_hz, own_hz;
};

} // namespace

void bind_mark(nb::module_ &m)
{
    using namespace nb::literals;
    nb::class_<Marker>(m, "Marker", "Marks a stream of sound: csm/mark.h.")
        .def(nb::init<int, const Key &, uint8_t, uint16_t, uint8_t>(), "rate"_a = 24000,
             "key"_a.none() = nb::none(), "maker"_a = 1, "model"_a = 0, "free_bits"_a = 0)
        .def("push", &Marker::push, "samples"_a, "The next samples, marked, without delay.");
    nb::class_<Detector>(m, "Detector", "Looks for marks in a stream of sound: csm/mark.h.")
        .def(nb::init<int, const Key &>(), "rate"_a = 24000, "key"_a.none() = nb::none())
        .def("push", &Detector::push, "samples"_a, "The next samples.")
        .def("result", &Detector::result, "The stretches found, and the smallest bound.");
}
