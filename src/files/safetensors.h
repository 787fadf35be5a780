/* SPDX-License-Identifier: Apache-2.0
 *
 * safetensors.h - of an open file, what include/csm/tensors.h does not show. */
#ifndef CSM_FILES_SAFETENSORS_H
#define CSM_FILES_SAFETENSORS_H

#include <csm/tensors.h>

/* The JSON header's bytes as they lie in the file; live as long as it. */
const void *csm_tensors_header(const csm_tensors *file, size_t *n_bytes);

#endif
