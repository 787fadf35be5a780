/* SPDX-License-Identifier: Apache-2.0 */
#include "sampling/row_kernels.h"

const struct row_kernels *row_kernels_best(void)
{
#ifdef CSM_KERNELS_X86
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        return &row_kernels_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &row_kernels_avx2;
#endif
    return &row_kernels_generic;
}
