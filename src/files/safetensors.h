/* SPDX-License-Identifier: Apache-2.0
 *
 * safetensors.h - of an open file, what include/csm/tensors.h does not show. */
#ifndef CSM_FILES_SAFETENSORS_H
#define CSM_FILES_SAFETENSORS_H

#include <csm/tensors.h>

#include "files/mapped.h"

/* Whether a file begins as a pickle does that is no zip. */
bool csm_is_pickle(const unsigned char *bytes, size_t n);

/* As csm_tensors_open, of bytes that are mapped or borrowed already; takes them over, in case
 * of failure too. `path` is for messages. */
CSM_MUST_USE csm_status csm_tensors_of(const char *path, struct csm_mapped *bytes,
                                       csm_tensors **out, csm_error *err);

/* The JSON header's bytes as they lie in the file; live as long as it. */
const void *csm_tensors_header(const csm_tensors *file, size_t *n_bytes);

#endif
