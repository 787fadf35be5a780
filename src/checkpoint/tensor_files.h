/* SPDX-License-Identifier: Apache-2.0
 *
 * tensor_files.h - safetensors files as one set: a file, the shards that an index
 * names, or shards that are numbered and have no index. */
#ifndef CSM_CHECKPOINT_TENSOR_FILES_H
#define CSM_CHECKPOINT_TENSOR_FILES_H

#include "checkpoint/tensor_set.h"
#include "files/folder.h"

/* Open the folder's file NAME as a set of that name.
 *
 *   name  *.safetensors: that file; if it is called STEM-0000i-of-0000n, all n, which
 *         must be there. *.index.json: the shards of its weight_map, which must lie in
 *         the same directory and hold what the map says of them; a tensor that a shard
 *         holds and the map forgets belongs to the set, as it does for transformers
 *
 * Returns CSM_OK; CSM_BAD_FILE, CSM_BAD_FORMAT, CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_tensor_files_open(const struct csm_folder *folder, const char *name,
                                              struct csm_tensor_set **out, csm_error *err);

/* Whether NAME is one of numbered shards; `stem` (may be NULL) receives how long
 * their common beginning is, `n` of how many. */
bool csm_is_shard(const char *name, size_t *stem, size_t *n);

#endif
