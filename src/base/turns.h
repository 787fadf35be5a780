/* SPDX-License-Identifier: Apache-2.0
 *
 * turns.h - one at a time, in the order of asking: a lock that nobody starves at, for work
 * that takes milliseconds. */
#ifndef CSM_BASE_TURNS_H
#define CSM_BASE_TURNS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct csm_turns {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint64_t n_asked, n_done;
    pid_t process; /* that opened it: a fork of it has none of its threads, and locks as they were */
};

void csm_turns_open(struct csm_turns *turns);
void csm_turns_close(struct csm_turns *turns);

/* Whether this process opened it; in a fork whoever waits would wait for ever. */
bool csm_turns_are_ours(const struct csm_turns *turns);
/* The same as CSM_OK or CSM_BAD_ARG. */
csm_status csm_turns_check(const struct csm_turns *turns, csm_error *err);

/* Wait for one's turn; give it up. */
void csm_turns_take(struct csm_turns *turns);
void csm_turns_give(struct csm_turns *turns);

/* Whether somebody waits for the turn of the one who has it, and asks. */
bool csm_turns_are_wanted(struct csm_turns *turns);

#endif
