/* SPDX-License-Identifier: Apache-2.0
 *
 * workers.h - threads for what would hold up the event loop: reading and encoding
 * recordings, waiting for a lane to be free. */
#ifndef CSM_SERVER_WORKERS_H
#define CSM_SERVER_WORKERS_H

#include <stdbool.h>
#include <stddef.h>

#include <event2/event.h>

#include <csm/status.h>

struct workers;

/* The base has been made ready for threads. CSM_NO_MEMORY. */
csm_status workers_new(struct event_base *base, size_t n_threads, struct workers **out,
                       csm_error *err);

/* Call work(job) on a thread, then done(job) on the loop's. In order of the calls, with one
 * thread. false: out of memory, nothing is called. */
bool workers_do(struct workers *workers, void (*work)(void *job), void (*done)(void *job),
                void *job);

/* Waits for the work that was given; calls what is done. Takes NULL. */
void workers_free(struct workers *workers);

#endif
