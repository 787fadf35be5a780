/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_flat.h - products in float32, for convolutions: y[r][o] = bias[o] + the sum over k of
 * x[r][k] * weight[k][o], added up from the first k to the last by fused multiply-adds. That
 * order is all there is to a value: it does not depend on the rows beside it. */
#ifndef CSM_CUDA_FLAT_H
#define CSM_CUDA_FLAT_H

#include "engine/cuda/cuda_launch.cuh"

namespace csm_cuda {

struct flat_job {
    const float *x; /* row r's `depth` floats begin at r / each * between + r % each * hop */
    size_t between;
    int each, hop;
    int rows, outs, depth;
    const float *weight; /* [depth][flat_stride(outs)] */
    const float *bias;   /* [outs] or NULL */
    float *out;          /* [rows][outs] */
};

/* Outputs of a row of weights, filled up with zeros to whole fours. */
__host__ __device__ inline int flat_stride(int outs)
{
    return (outs + 3) / 4 * 4;
}

/* The weight's values [rows, cols] as a flat_job has them. */
void flatten(context &ctx, const weight_view &from, memory &to);
void launch_flat(context &ctx, const flat_job &job);

} // namespace csm_cuda
#endif
