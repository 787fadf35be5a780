/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_math.h - NVIDIA's elementary functions in float32, bit for bit: the
 * hardware's approximations (PTX lg2.approx, ex2.approx), and CUDA's expf, logf
 * and __logf over them. */
#ifndef CSM_SAMPLING_CUDA_MATH_H
#define CSM_SAMPLING_CUDA_MATH_H

/* __logf: ATen's at::log, used by exponential_. x positive, normal. */
float csm_cuda_fast_logf(float x);

/* expf of x <= 0, -inf included. */
float csm_cuda_expf(float x);

/* logf of positive normal x. */
float csm_cuda_logf(float x);

#endif
