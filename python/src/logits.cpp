/* SPDX-License-Identifier: Apache-2.0 */
#include "module.h"

#include <cmath>
#include <cstring>

namespace {

float widen_bf16(uint16_t half)
{
    uint32_t bits = static_cast<uint32_t>(half) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

float widen_f16(uint16_t half)
{
    int exponent = half >> 10 & 31;
    int fraction = half & 1023;
    float value;
    if (exponent == 31)
        value = fraction == 0 ? INFINITY : NAN;
    else if (exponent == 0)
        value = std::ldexp(static_cast<float>(fraction), -24);
    else
        value = std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
    return half & 0x8000 ? -value : value;
}

csm_dtype dtype_of(const nb::dlpack::dtype &type)
{
    const auto code = static_cast<nb::dlpack::dtype_code>(type.code);
    if (code == nb::dlpack::dtype_code::Float && type.bits == 32)
        return CSM_DTYPE_F32;
    if (code == nb::dlpack::dtype_code::Float && type.bits == 16)
        return CSM_DTYPE_F16;
    if (code == nb::dlpack::dtype_code::Bfloat && type.bits == 16)
        return CSM_DTYPE_BF16;
    throw nb::type_error("logits: dtype must be float32, bfloat16 or float16");
}

} // namespace

Logits::Logits(nb::handle object)
{
    if (!nb::try_cast(object, array))
        throw nb::type_error("logits: expected an array on the CPU, contiguous, of float32, "
                             "bfloat16 or float16");
    if (array.ndim() != 1 && array.ndim() != 2)
        throw nb::value_error("logits: shape must be [vocab] or [rows, vocab]");
    dtype = dtype_of(array.dtype());
    rows = array.ndim() == 2 ? array.shape(0) : 1;
    vocab = array.shape(array.ndim() - 1);
    if (rows == 0 || vocab == 0)
        throw nb::value_error("logits: there are none");
    if (dtype == CSM_DTYPE_F32) {
        data = static_cast<const float *>(array.data());
        return;
    }
    const auto *halves = static_cast<const uint16_t *>(array.data());
    widened.resize(rows * vocab);
    for (size_t i = 0; i < widened.size(); i++)
        widened[i] = dtype == CSM_DTYPE_BF16 ? widen_bf16(halves[i]) : widen_f16(halves[i]);
    data = widened.data();
}
