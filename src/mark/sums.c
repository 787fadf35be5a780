/* SPDX-License-Identifier: Apache-2.0 */
#include "mark/sums_text.h"

const struct mark_sums csm_mark_sums_everywhere = {terms, lags, chips};

const struct mark_sums *csm_mark_sums(void)
{
#ifdef CSM_MARK_AVX2
    if (__builtin_cpu_supports("avx2"))
        return &csm_mark_sums_avx2;
#endif
    return &csm_mark_sums_everywhere;
}
