// SPDX-License-Identifier: Apache-2.0
//
// torch_bits.cpp - what decides PyTorch's bits on the CPU: its version and oneDNN's, the
// instructions that ATen and oneDNN find, their caps, threads. docs/ENGINES.md, "Whose bits".
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/headeronly/version.h>

#include "csm/status.h"
#include "engine/bits.h"

namespace {

// "3.12.0" of "Intel(R) MKL-DNN v3.12.0 (Git Hash ...)"; "" where the build has none.
std::string onednn_version()
{
    const std::string text = at::get_mkldnn_version();
    const size_t at = text.find(" v");
    return at == std::string::npos ? "" : text.substr(at + 2, text.find(' ', at + 2) - at - 2);
}

// Those of the processor's flags by which oneDNN chooses 16-bit kernels.
std::string instructions()
{
    std::ifstream file("/proc/cpuinfo");
    std::string line, found;
    while (std::getline(file, line))
        if (line.rfind("flags", 0) == 0) {
            std::istringstream words(line);
            for (std::string word; words >> word;)
                if (word == "avx512_bf16" || word == "avx512_fp16" || word == "amx_bf16" ||
                    word == "amx_fp16")
                    found.append(" ").append(word);
            break;
        }
    return found;
}

} // namespace

extern "C" CSM_API void csm_engine_torch_bits(struct csm_engine_bits *out) noexcept;

extern "C" void csm_engine_torch_bits(struct csm_engine_bits *out) noexcept
{
    *out = {};
    out->n_threads = at::get_num_threads();
    try {
        std::string library = "PyTorch " TORCH_VERSION, processor = at::get_cpu_capability();
        const std::string onednn = onednn_version();
        if (!onednn.empty())
            library.append(", oneDNN ").append(onednn);
        processor += instructions();
        for (const char *name : {"ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"})
            if (const char *value = std::getenv(name); value != nullptr && *value != '\0')
                processor.append(" ").append(name).append("=").append(value);
        std::snprintf(out->library, sizeof out->library, "%s", library.c_str());
        std::snprintf(out->processor, sizeof out->processor, "%s", processor.c_str());
    } catch (...) { // no memory: nothing is told
        out->library[0] = out->processor[0] = '\0';
    }
}
