/* SPDX-License-Identifier: Apache-2.0
 *
 * hub_part.h - what a model directory may lack, in the repositories that are known to
 * have it. */
#ifndef CSM_HUB_PART_H
#define CSM_HUB_PART_H

#include <stdbool.h>

enum csm_hub_part {
    CSM_HUB_MIMI,           /* the codec of every CSM so far: 32 codebooks of 2048 entries */
    CSM_HUB_LLAMA_TOKENIZER /* csm-1b's, of Llama 3.2: 128,256 ids */
};

struct csm_hub_found {
    char *directory;  /* to be freed */
    const char *repo; /* "kyutai/mimi" */
    const char *file; /* in the directory */
};

/* Look for a part in the cache, at revision main of each repository; asks nobody.
 * False where there is none, and `found` is zeroed. */
bool csm_hub_find_part(enum csm_hub_part part, struct csm_hub_found *found);

/* The command that brings it: "csm download kyutai/mimi". */
const char *csm_hub_part_command(enum csm_hub_part part);

#endif
