/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels_best.c - which tables this processor runs, fastest first. */
#include "engine/native/kernels.h"

static bool always(void)
{
    return true;
}

#ifdef CSM_KERNELS_X86
static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("avx2");
}
#endif

static const struct {
    const struct kernels *table;
    bool (*runs)(void);
} tables[] = {
#ifdef CSM_KERNELS_X86
    {&csm_kernels_avx512, has_avx512},
#endif
    {&csm_kernels_generic, always},
};

const struct kernels *csm_kernels_at(size_t i)
{
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        if (tables[t].runs() && i-- == 0)
            return tables[t].table;
    return NULL;
}
