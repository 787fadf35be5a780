/* SPDX-License-Identifier: Apache-2.0
 *
 * weights.h - the tensors of one safetensors file, or of the shards that an
 * index file names, as one set. */
#ifndef CSM_FILES_WEIGHTS_H
#define CSM_FILES_WEIGHTS_H

#include <stddef.h>

#include <csm/tensors.h>

struct csm_weights;

/* Open DIRECTORY/NAME: *.safetensors, or *.index.json with its shards, which
 * must lie in the same directory and hold what the index says.
 *
 * Returns CSM_OK; CSM_BAD_FILE, CSM_BAD_FORMAT, CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_weights_open(const char *directory, const char *name,
                                         struct csm_weights **out, csm_error *err);
void csm_weights_close(struct csm_weights *weights); /* takes NULL */

/* The tensor of that name, or NULL; `file` (may be NULL) receives the name of
 * the file that it lies in. Of a sharded set, the index decides. */
const csm_tensor *csm_weights_find(const struct csm_weights *weights, const char *name,
                                   const char **file);

/* The files of the set: how many, and the i-th one's tensors. */
size_t csm_weights_count(const struct csm_weights *weights);
const csm_tensors *csm_weights_at(const struct csm_weights *weights, size_t i);
/* The name that the set was opened by. */
const char *csm_weights_name(const struct csm_weights *weights);

#endif
