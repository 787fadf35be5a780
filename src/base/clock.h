/* SPDX-License-Identifier: Apache-2.0
 *
 * clock.h - the monotonic clock, and waiting by it. */
#ifndef CSM_BASE_CLOCK_H
#define CSM_BASE_CLOCK_H

#include <pthread.h>
#include <stdbool.h>

double csm_now_ms(void);

/* A condition that csm_cond_wait waits at. */
void csm_cond_open(pthread_cond_t *cond);

/* Wait for a signal, until `end_ms` of csm_now_ms at most; false: that time has come. */
bool csm_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, double end_ms);

#endif
