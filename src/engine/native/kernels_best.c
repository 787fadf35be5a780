/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels_best.c - which tables this processor runs, fastest first. */
#include "engine/native/kernels.h"
#include "engine/native/kernels_amx.h"

#if defined(CSM_KERNELS_ARM) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

static bool always(void)
{
    return true;
}

#ifdef CSM_KERNELS_X86
static bool has_avx2(void)
{
    /* F16C, too, which every processor with AVX2 has and clang 14 cannot ask for. */
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni") && has_avx2();
}

/* Its own prefetching asks memory too late for one row. */
static bool is_intel_avx512(void)
{
    return __builtin_cpu_is("intel") && has_avx512();
}

static bool has_amx(void)
{
    return is_intel_avx512() && csm_has_amx();
}
#endif

#ifdef CSM_KERNELS_ARM
static bool has_neon(void)
{
#ifdef __linux__
    /* What kernels_neon.c is compiled with: dot products, halves (scalar and vector). */
    const unsigned long needed = HWCAP_ASIMDDP | HWCAP_FPHP | HWCAP_ASIMDHP;
    return (getauxval(AT_HWCAP) & needed) == needed;
#else
    return true; /* every processor of Apple's has both */
#endif
}
#endif

static const struct {
    const struct kernels *table;
    bool (*runs)(void);
} tables[] = {
#ifdef CSM_KERNELS_X86
    {&csm_kernels_amx, has_amx},
    {&csm_kernels_avx512_ahead, is_intel_avx512},
    {&csm_kernels_avx512, has_avx512},
    {&csm_kernels_avx2, has_avx2},
#endif
#ifdef CSM_KERNELS_ARM
    {&csm_kernels_neon, has_neon},
#endif
    {&csm_kernels_generic, always},
};

const struct kernels *csm_kernels_fast(size_t i)
{
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        if (tables[t].runs() && i-- == 0)
            return tables[t].table;
    return NULL;
}

const struct kernels *csm_kernels_best(void)
{
#ifdef CSM_CHECK_KERNELS
    return &csm_kernels_check;
#else
    return csm_kernels_fast(0);
#endif
}
