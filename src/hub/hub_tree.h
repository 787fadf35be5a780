/* SPDX-License-Identifier: Apache-2.0
 *
 * hub_tree.h - the files of a repository at one commit, as the hub lists them, as
 * huggingface_hub keeps them in trees/COMMIT.json, or as a snapshot shows them; and
 * which of them a CSM reads. */
#ifndef CSM_HUB_TREE_H
#define CSM_HUB_TREE_H

#include <jansson.h>

#include "hub/hub_settings.h"

struct csm_hub_file {
    char *path;
    uint64_t n_bytes;
    char blob_id[41];  /* git's SHA-1; "" of a snapshot that is only looked at */
    char sha256[65];   /* of large storage; "": none */
    char xet_hash[65]; /* its name in the shared store; "": none */
};

/* All zero: none. */
struct csm_hub_tree {
    struct csm_hub_file *files;
    size_t n, capacity;
};
void csm_hub_tree_free(struct csm_hub_tree *tree);

/* The name of a file's content: its ETag at the hub, its blob in the cache. */
const char *csm_hub_file_etag(const struct csm_hub_file *file);

/* The file of that name, or NULL. */
const struct csm_hub_file *csm_hub_tree_find(const struct csm_hub_tree *tree, const char *path);

/* Add one file; CSM_BAD_FORMAT where its name is none for a file of a directory,
 * or a sum is no sum. `where` is for messages. */
CSM_MUST_USE csm_status csm_hub_tree_add(struct csm_hub_tree *tree, const struct csm_hub_file *file,
                                         const char *where, csm_error *err);

/* Add one page of the hub's list: a JSON array. CSM_BAD_FORMAT, CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_hub_tree_add_page(struct csm_hub_tree *tree, const char *where,
                                              const char *bytes, size_t n, csm_error *err);

/* trees/COMMIT.json in a repository's folder. Reading: false when there is none that
 * can be used, `tree` then being empty. Writing may fail: it is asked for again next time. */
bool csm_hub_tree_read(struct csm_hub_tree *tree, const char *folder, const char *commit);
void csm_hub_tree_write(const struct csm_hub_tree *tree, const char *folder, const char *commit);

/* The names of what a CSM reads beside its weights; NULL ends the list. */
extern const char *const csm_hub_settings_files[];

/* Mark what is wanted: want[i] for tree->files[i], beside what is marked already, by
 * the rule of csm/hub.h or by options.files. What only a file can tell (config.json
 * the weights' name, an index its shards) is marked if the snapshot has that file: so
 * this is called again when what it marked is there, until it marks no more.
 *
 * CSM_BAD_ARG: several GGUF files and none named; CSM_BAD_FILE: a file that is named
 * and not there, or no weights at all; CSM_BAD_FORMAT: no JSON, or no index. */
CSM_MUST_USE csm_status csm_hub_choose(const struct csm_hub *hub, const char *snapshot,
                                       const struct csm_hub_tree *tree, bool *want,
                                       csm_error *err);

#endif
