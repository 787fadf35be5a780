/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels_avx512.c - AVX-512 where the processor asks memory early enough by itself:
 * AMD's from Zen 4 on, which lose a little by being told. */
#define FAR_AHEAD 0
#include "engine/native/kernel_avx512_text.h"

const struct kernels csm_kernels_avx512 = {TABLE("avx512"), .dots_affine = dots_affine};
