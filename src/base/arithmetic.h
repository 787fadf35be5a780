/* SPDX-License-Identifier: Apache-2.0
 *
 * arithmetic.h - the mode in which the processor computes: C's own, whatever the host's is.
 *
 * The mode is the thread's, and a new thread has that of the one that started it. A host may
 * have another: sound programs and libraries linked with -ffast-math flush denormals to zero
 * (torch.set_flush_denormal does), arithmetic of intervals rounds upward, a program under test
 * traps on a division by zero. Draws, sound and marks would be others there. So what computes
 * on a caller's thread does so between begin and end, some 0.2 us together, and each thread of
 * the library begins with csm_arithmetic_of_thread.
 *
 * What computes is a function of its own, called between the two, over memory: a compiler may
 * move arithmetic on its arguments beyond them (ISO C's FENV_ACCESS, which GCC does not have). */
#ifndef CSM_BASE_ARITHMETIC_H
#define CSM_BASE_ARITHMETIC_H

#include <fenv.h>

/* C's mode: to the nearest, denormals kept, nothing trapped. Returns the host's. */
static inline fenv_t csm_arithmetic_begin(void)
{
    fenv_t host;
    fegetenv(&host);
    fesetenv(FE_DFL_ENV);
    return host;
}

/* The host's again, its flags as they were. */
static inline void csm_arithmetic_end(const fenv_t *host)
{
    fesetenv(host);
}

/* For a thread that is the library's own. */
static inline void csm_arithmetic_of_thread(void)
{
    fesetenv(FE_DFL_ENV);
}

#endif
