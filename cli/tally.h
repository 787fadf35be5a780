/* SPDX-License-Identifier: Apache-2.0
 *
 * tally.h - what the tests for users found. */
#ifndef CSM_CLI_TALLY_H
#define CSM_CLI_TALLY_H

#include <stdbool.h>

struct tally {
    int n_held, n_failed, n_left_out;
};

/* A line for each check: what, and in a few words how it came out. */
void held(struct tally *tally, bool is_held, const char *what, const char *detail);
void left_out(struct tally *tally, const char *what, const char *why);

/* The last line; the exit code. */
int conclude(const struct tally *tally);

#endif
