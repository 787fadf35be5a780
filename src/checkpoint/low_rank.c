/* SPDX-License-Identifier: Apache-2.0 */
#define LOW_RANK csm_low_rank_generic
#define LOW_RANK_BYTES 16
#define LOW_RANK_VECTORS 2
#include "checkpoint/low_rank_text.h"

csm_low_rank csm_low_rank_best(void)
{
#ifdef CSM_LOW_RANK_X86
    if (__builtin_cpu_supports("avx512f"))
        return csm_low_rank_avx512;
    if (__builtin_cpu_supports("avx2"))
        return csm_low_rank_avx2;
#endif
    return csm_low_rank_generic;
}
