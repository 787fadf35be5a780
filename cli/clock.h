/* SPDX-License-Identifier: Apache-2.0
 *
 * clock.h - wall time for the eye. */
#ifndef CSM_CLI_CLOCK_H
#define CSM_CLI_CLOCK_H

#include <time.h>

/* Milliseconds of a clock that only goes forward. */
static inline double clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

#endif
