/* SPDX-License-Identifier: Apache-2.0 */
#include "tally.h"

#include <stdio.h>

#include "command.h"

void held(struct tally *tally, bool is_held, const char *what, const char *detail)
{
    printf("%-6s %-46s %s\n", is_held ? "ok" : "FAILED", what, detail);
    tally->n_held += is_held;
    tally->n_failed += !is_held;
}

void left_out(struct tally *tally, const char *what, const char *why)
{
    printf("%-6s %-46s %s\n", "-", what, why);
    tally->n_left_out++;
}

int conclude(const struct tally *tally)
{
    printf("%d held, %d failed, %d left out\n", tally->n_held, tally->n_failed,
           tally->n_left_out);
    return tally->n_failed == 0 ? EXIT_OK : EXIT_CHECK_FAILED;
}
