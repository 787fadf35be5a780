/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_view.cuh - the number in a row and column of a weight as it lies in the file. */
#ifndef CSM_CUDA_VIEW_CUH
#define CSM_CUDA_VIEW_CUH

#include "engine/cuda/cuda_sums.cuh"

namespace csm_cuda {

__device__ inline float element(csm_dtype dtype, const void *data, size_t i)
{
    switch (dtype) {
    case CSM_DTYPE_F64:
        return static_cast<float>(static_cast<const double *>(data)[i]);
    case CSM_DTYPE_F16:
        return __half2float(static_cast<const __half *>(data)[i]);
    case CSM_DTYPE_BF16:
        return __bfloat162float(static_cast<const __nv_bfloat16 *>(data)[i]);
    default:
        return static_cast<const float *>(data)[i];
    }
}

__device__ inline float conv_element(const weight_view &w, int r, int k)
{
    int i = k % w.in, at = k / w.in;
    if (w.kind == weight_view::CONV) {
        if (at % w.dilation != 0)
            return 0.0f;
        return element(w.dtype, w.data,
                       (static_cast<size_t>(r) * w.in + i) * w.kernel + at / w.dilation);
    }
    /* Tap t reaches phase t % stride of the step t / stride later. */
    int o = r % w.out, tap = r / w.out + (w.window - 1 - at) * w.stride;
    if (tap >= w.kernel)
        return 0.0f;
    return element(w.dtype, w.data, (static_cast<size_t>(i) * w.out + o) * w.kernel + tap);
}

__device__ inline float weight_value(const weight_view &w, size_t r, size_t k)
{
    if (w.kind >= weight_view::CONV)
        return conv_element(w, static_cast<int>(r), static_cast<int>(k));
    if (w.kind == weight_view::AFFINE) {
        size_t i = r * w.cols + k, g = i >> (__ffs(w.group) - 1); /* which is a power of two */
        uint32_t word = static_cast<const uint32_t *>(w.data)[i * w.bits / 32];
        uint32_t code = word >> (i * w.bits % 32) & ((1u << w.bits) - 1);
        return element(w.dtype, w.scales, g) * static_cast<float>(code) +
               element(w.dtype, w.biases, g);
    }
    float v = element(w.dtype, w.data, w.transposed ? k * w.rows + r : r * w.cols + k);
    if (w.round == weight_view::TO_BF16)
        v = rounded(v);
    if (w.round == weight_view::TO_F16)
        v = __half2float(__float2half_rn(v));
    return v;
}

} // namespace csm_cuda
#endif
