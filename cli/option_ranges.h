/* SPDX-License-Identifier: Apache-2.0
 *
 * option_ranges.h - the numbers that options of csm generate take. */
#ifndef CSM_CLI_OPTION_RANGES_H
#define CSM_CLI_OPTION_RANGES_H

#include <stdbool.h>

#include "options.h"

/* Whether every number that was given is one that its option takes. Says which is not, on
 * standard error. Arguments as options_go_together. */
bool options_are_in_range(const struct option_spec *options, const bool *given);

#endif
