/* SPDX-License-Identifier: Apache-2.0 */
#include "sampling/row_kernels.h"

const struct row_kernels *csm_row_kernels_best(void)
{
#ifdef CSM_KERNELS_X86
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        return &csm_row_kernels_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &csm_row_kernels_avx2;
#endif
    return &csm_row_kernels_generic;
}
