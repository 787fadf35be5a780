/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <errno.h>
#include <math.h>
#include <time.h>

double csm_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

#ifdef __APPLE__ /* its conditions know the wall's clock alone, or a time from now on */

void csm_cond_open(pthread_cond_t *cond)
{
    pthread_cond_init(cond, NULL);
}

bool csm_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, double end_ms)
{
    const double ms = fmax(end_ms - csm_now_ms(), 0);
    const struct timespec left = {(time_t)(ms / 1e3), (long)(fmod(ms, 1e3) * 1e6)};
    return pthread_cond_timedwait_relative_np(cond, mutex, &left) != ETIMEDOUT;
}

#else

void csm_cond_open(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

bool csm_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, double end_ms)
{
    const struct timespec end = {(time_t)(end_ms / 1e3), (long)(fmod(end_ms, 1e3) * 1e6)};
    return pthread_cond_timedwait(cond, mutex, &end) != ETIMEDOUT;
}

#endif
