/* SPDX-License-Identifier: Apache-2.0
 *
 * speech.cpp - csm/text.h, and of csm/audio.h and csm/remarks.h what arrays of sound need. */
#include "module.h"

#include <csm/audio.h>
#include <csm/remarks.h>
#include <csm/text.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <string>
#include <utility>

namespace {

using Samples = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

std::string normalize(const std::string &text)
{
    char *words = nullptr;
    csm_error err;
    check(csm_text_normalize(text.c_str(), &words, &err), err);
    std::string result(words);
    csm_free(words);
    return result;
}

/* Compiled with the first text, for all: that takes longer than a sentence's words. */
const csm_text_rules *rules()
{
    static const std::unique_ptr<csm_text_rules, void (*)(csm_text_rules *)> compiled(
        [] {
            csm_text_rules *opened = nullptr;
            csm_error err;
            check(csm_text_rules_open(&opened, &err), err);
            return opened;
        }(),
        csm_text_rules_close);
    return compiled.get();
}

/* (text, pause_ms after it) each */
std::vector<std::pair<std::string, int>> pieces(const std::string &text, size_t max_bytes)
{
    csm_text_piece *found = nullptr;
    size_t n = 0;
    csm_error err;
    check(csm_text_rules_say(rules(), text.c_str(), max_bytes, &found, &n, &err), err);
    std::vector<std::pair<std::string, int>> all;
    for (size_t i = 0; i < n; i++)
        all.emplace_back(found[i].text, found[i].pause_ms);
    csm_text_pieces_free(found, n);
    return all;
}

/* How many bytes of a text, which begins with no white space, are its first sentence. */
size_t sentence(const std::string &text, size_t max_bytes)
{
    return csm_text_sentence(text.c_str(), max_bytes);
}

nb::ndarray<nb::numpy, float> resample(const Samples &samples, int from_hz, int to_hz,
                                       bool is_torchaudio)
{
    float *out = nullptr;
    size_t n = 0;
    csm_error err;
    csm_status status;
    {
        nb::gil_scoped_release released;
        status = csm_audio_resample(is_torchaudio ? CSM_RESAMPLER_TORCHAUDIO : CSM_RESAMPLER_SOXR,
                                    samples.data(), samples.shape(0), from_hz, to_hz, &out, &n, &err);
    }
    check(status, err);
    std::vector<float> values(out, out + n);
    csm_free(out);
    return numpy_array(std::move(values), {n});
}

/* `text` is what is said in the recording. */
Remarks remark_recording(const std::string &name, const Samples &samples, int rate_hz, const std::string &text)
{
    csm_remark found[CSM_REFERENCE_REMARKS];
    const size_t n = csm_remark_reference(name.c_str(), text.c_str(), samples.data(), samples.shape(0),
                                          rate_hz, found);
    return remarks_of(found, n);
}

Remarks remark_text(const std::string &text, bool is_normalized, bool is_embedded)
{
    csm_remark found[2];
    size_t n = is_normalized && csm_remark_thoughts(text.c_str(), found);
    n += is_embedded && csm_remark_letters(text.c_str(), found + n);
    return remarks_of(found, n);
}

} // namespace

void bind_speech(nb::module_ &m)
{
    using namespace nb::literals;
    m.def("normalize", &normalize, "text"_a);
    m.def("pieces", &pieces, "text"_a, "max_bytes"_a);
    m.def("sentence", &sentence, "text"_a, "max_bytes"_a);
    m.def("resample", &resample, "samples"_a, "from_hz"_a, "to_hz"_a, "is_torchaudio"_a = false);
    m.def("remark_text", &remark_text, "text"_a, "is_normalized"_a, "is_embedded"_a);
    m.def("remark_recording", &remark_recording, "name"_a, "samples"_a, "rate_hz"_a,
          "text"_a);
}
