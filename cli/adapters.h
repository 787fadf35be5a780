/* SPDX-License-Identifier: Apache-2.0
 *
 * adapters.h - --adapter DIR[:SCALE], repeatable; --adapter NAME=DIR[:SCALE] of csm serve. */
#ifndef CSM_CLI_ADAPTERS_H
#define CSM_CLI_ADAPTERS_H

#include <csm/csm.h>

#include "options.h"

enum { MAX_ADAPTERS = sizeof(((struct option_list *)0)->items) / sizeof(const char *) };

struct adapters {
    csm_adapter list[MAX_ADAPTERS];
    char paths[MAX_ADAPTERS][4096];
    size_t n;
};

/* Read what was given. What stands behind the last ':' is the scale if it is a number and
 * no directory has the whole name. CSM_BAD_ARG: a path too long or empty. */
csm_status adapters_read(const struct option_list *given, struct adapters *adapters,
                         csm_error *err);

/* Those that are kept beside the base, by name. */
struct named_adapters {
    struct adapters read;
    char names[MAX_ADAPTERS][64];
    csm_named_adapter list[MAX_ADAPTERS];
};
/* Read what was given. CSM_BAD_ARG. */
csm_status named_adapters_read(const struct option_list *given, struct named_adapters *adapters,
                               csm_error *err);

#endif
