/* SPDX-License-Identifier: Apache-2.0
 *
 * threads.h - a pool of threads for many short parallel loops.
 *
 * A decoding step is hundreds of loops of some microseconds each, so workers
 * wait for the next one spinning; after a millisecond without work they sleep.
 * Each thread begins with a stretch of its own, the same one whenever n is the same,
 * and helps others when that is done, in pieces of at least `grain` items: a core
 * that others use too does less. Results must not depend on who does what. */
#ifndef CSM_BASE_THREADS_H
#define CSM_BASE_THREADS_H

#include <stddef.h>

#include <csm/status.h>

typedef struct csm_threads csm_threads;

/* Do items first..end-1; `thread` < csm_threads_count names the one that does. */
typedef void (*csm_work)(void *user, size_t first, size_t end, int thread);

/* A pool of n_threads, the caller's among them; 0: one per core that this process
 * may use (cores.h). To be freed with csm_threads_free.
 * Returns CSM_OK; CSM_BAD_ARG (negative, above 1024); CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_threads_new(int n_threads, csm_threads **out, csm_error *err);
void csm_threads_free(csm_threads *threads); /* takes NULL */

/* For a pool whose loops come milliseconds apart, between a card's frames: workers sleep once they
 * find nothing to do, and leave their cores to others. Before or between loops, by the caller. */
void csm_threads_rest_early(csm_threads *threads);

int csm_threads_count(const csm_threads *threads);

/* Do n items and return when all are done. One caller at a time; not from inside work. */
void csm_threads_run(csm_threads *threads, csm_work work, void *user, size_t n, size_t grain);

#endif
