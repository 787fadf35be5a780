/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_memory.cu - memory of the card, and what is said when a call of it fails. */
#include <cstdarg>
#include <cstdio>
#include <utility>

#include "engine/cuda/cuda_engine.h"

namespace csm_cuda {

std::string shaped(const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return text;
}

void check(cudaError_t error, const char *what)
{
    if (error == cudaSuccess)
        return;
    /* After one of these every call fails until the process ends. */
    bool is_lost = error == cudaErrorLaunchFailure || error == cudaErrorIllegalAddress ||
                   error == cudaErrorECCUncorrectable || error == cudaErrorLaunchTimeout ||
                   error == cudaErrorDeviceUninitialized || error == cudaErrorUnknown ||
                   error == cudaErrorNvlinkUncorrectable || error == cudaErrorHardwareStackError ||
                   error == cudaErrorIllegalInstruction || error == cudaErrorMisalignedAddress ||
                   error == cudaErrorInvalidAddressSpace || error == cudaErrorInvalidPc ||
                   error == cudaErrorAssert || error == cudaErrorDevicesUnavailable;
    throw failure(error, is_lost ? shaped("%s: the card is lost: %s", what, cudaGetErrorString(error))
                                 : shaped("%s: %s", what, cudaGetErrorString(error)));
}

memory::memory(size_t n)
{
    reserve(n);
}

memory::memory(memory &&other) noexcept
    : data(std::exchange(other.data, nullptr)), n_bytes(std::exchange(other.n_bytes, 0))
{
}

memory &memory::operator=(memory &&other) noexcept
{
    std::swap(data, other.data);
    std::swap(n_bytes, other.n_bytes);
    return *this;
}

/* Frees after all work that was put on the card before: cudaFree waits for it. */
memory::~memory()
{
    if (data != nullptr)
        cudaFree(data);
}

void memory::reserve(size_t n)
{
    if (n <= n_bytes)
        return;
    if (data != nullptr) {
        cudaFree(data);
        data = nullptr;
        n_bytes = 0;
        n += n / 2; /* what creeps up does not allocate each time */
    }
    cudaError_t error = cudaMalloc(&data, n);
    if (error == cudaErrorMemoryAllocation) {
        cudaGetLastError(); /* it is told here; later calls shall not find it */
        size_t n_free = 0, n_total = 0;
        cudaMemGetInfo(&n_free, &n_total);
        data = nullptr;
        throw failure(error, shaped("no room for %zu MB more: %zu of the card's %zu MB are free",
                                    n >> 20, n_free >> 20, n_total >> 20));
    }
    check(error, "memory of the card");
    n_bytes = n;
}

} // namespace csm_cuda

void csm_value::shape(size_t n_rows, size_t n_cols)
{
    size_t n = n_rows * n_cols * sizeof(float);
    memory.reserve(n);
    rows = n_rows;
    cols = n_cols;
}
