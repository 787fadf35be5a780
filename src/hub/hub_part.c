/* SPDX-License-Identifier: Apache-2.0 */
#include "hub/hub_part.h"

#include <stdlib.h>
#include <string.h>

#include "files/path.h"
#include "hub/hub_cache.h"

/* In the order of what is smaller to have. kyutai's file is the same everywhere. */
static const struct source {
    enum csm_hub_part part;
    const char *repo, *file;
} sources[] = {
    {CSM_HUB_MIMI, "kyutai/mimi", "model.safetensors"},
    {CSM_HUB_MIMI, "kyutai/moshiko-pytorch-bf16", "tokenizer-e351c8d8-checkpoint125.safetensors"},
    {CSM_HUB_MIMI, "kyutai/moshika-pytorch-bf16", "tokenizer-e351c8d8-checkpoint125.safetensors"},
    {CSM_HUB_LLAMA_TOKENIZER, "unsloth/csm-1b", "tokenizer.json"},
    {CSM_HUB_LLAMA_TOKENIZER, "eustlb/csm-1b", "tokenizer.json"},
    {CSM_HUB_LLAMA_TOKENIZER, "sesame/csm-1b", "tokenizer.json"},
};

/* The snapshot of the repository's main, if it has the file; to be freed. */
static char *look(const char *repo, const char *file)
{
    const csm_hub_options offline = {.size = sizeof offline, .is_offline = true};
    struct csm_hub hub;
    char commit[41], *directory = NULL;
    if (csm_hub_open(&hub, repo, &offline, NULL) == CSM_OK && csm_hub_read_ref(&hub, commit))
        directory = csm_hub_snapshot_path(&hub, commit);
    csm_hub_close(&hub);
    if (directory != NULL && csm_path_has(directory, file))
        return directory;
    free(directory);
    return NULL;
}

bool csm_hub_find_part(enum csm_hub_part part, struct csm_hub_found *found)
{
    memset(found, 0, sizeof *found);
    for (size_t i = 0; i < sizeof sources / sizeof *sources && found->directory == NULL; i++)
        if (sources[i].part == part)
            *found = (struct csm_hub_found){look(sources[i].repo, sources[i].file),
                                            sources[i].repo, sources[i].file};
    if (found->directory == NULL)
        memset(found, 0, sizeof *found);
    return found->directory != NULL;
}

const char *csm_hub_part_command(enum csm_hub_part part)
{
    return part == CSM_HUB_MIMI ? "csm download kyutai/mimi"
                                : "csm download unsloth/csm-1b --file tokenizer.json";
}
