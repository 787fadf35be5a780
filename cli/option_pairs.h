/* SPDX-License-Identifier: Apache-2.0
 *
 * option_pairs.h - which options of csm generate go together. */
#ifndef CSM_CLI_OPTION_PAIRS_H
#define CSM_CLI_OPTION_PAIRS_H

#include <stdbool.h>

#include "options.h"

/* Whether the options that were given go together, and each has those that it needs. Says of
 * the first two that do not, with both names and the reason, on standard error.
 *
 *   options   the table that parse_options_given has read
 *   given     for each of its entries
 *   has_dash  the operand "-" was given */
bool options_go_together(const struct option_spec *options, const bool *given, bool has_dash);

#endif
