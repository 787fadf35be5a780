/* SPDX-License-Identifier: Apache-2.0
 *
 * prefixes.h - keys and values that were read before, for prompts that begin alike. */
#ifndef CSM_GENERATE_PREFIXES_H
#define CSM_GENERATE_PREFIXES_H

#include "engine/open.h"
#include "generate/prompt.h"

struct csm_prefix {
    struct csm_prompt prompt;
    csm_lane *lane; /* holds all of the prompt's positions */
    uint64_t used;  /* when last: a count */
};

struct csm_prefixes {
    const struct csm_engine *engine;
    size_t n_codebooks;
    size_t most_bytes; /* 0: none is kept */
    struct csm_prefix *all;
    size_t n, n_rooms;
    uint64_t clock;
};

/* The one with the longest beginning of the prompt, or NULL; `n_shared` receives its length. */
const csm_lane *csm_prefixes_find(struct csm_prefixes *prefixes, const struct csm_prompt *prompt,
                                  size_t *n_shared);

/* Keep a lane and the prompt whose first positions it holds; both are taken over, and given
 * up where they do not fit. */
void csm_prefixes_keep(struct csm_prefixes *prefixes, struct csm_prompt *prompt, csm_lane *lane);

size_t csm_prefixes_bytes(const struct csm_prefixes *prefixes);
void csm_prefixes_close(struct csm_prefixes *prefixes);

#endif
