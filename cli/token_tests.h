/* SPDX-License-Identifier: Apache-2.0
 *
 * token_tests.h - the two parts of test_token_generation. Both give its exit code. */
#ifndef CSM_CLI_TOKEN_TESTS_H
#define CSM_CLI_TOKEN_TESTS_H

#include <csm/csm.h>

#include "tally.h"

int test_samplers(void);

struct text_test {
    const char *text, *voice, *engine, *device, *save_dir; /* but text: NULL for the default */
    bool use_exact, is_forced, debug;
    size_t iterations, max_frames, hidden_frames;
    size_t top_k;       /* SIZE_MAX: the model's */
    double temperature; /* negative: the model's */
    uint64_t seed;
};
int test_text(const struct text_test *args);

#endif
