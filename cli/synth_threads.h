/* SPDX-License-Identifier: Apache-2.0
 *
 * synth_threads.h - one function on many threads. */
#ifndef CSM_CLI_SYNTH_THREADS_H
#define CSM_CLI_SYNTH_THREADS_H

#include <stdatomic.h>
#include <stddef.h>

#include <csm/status.h>

/* Run work(user) on n threads and wait for all of them. Where some cannot be begun, *is_stopped
 * becomes true, for the others to end by: CSM_NO_MEMORY. */
csm_status synth_threads_run(size_t n, void *(*work)(void *user), void *user,
                             atomic_bool *is_stopped, csm_error *err);

#endif
