/* SPDX-License-Identifier: Apache-2.0
 *
 * logits.h - a table of logits out of a safetensors file. */
#ifndef CSM_CLI_LOGITS_H
#define CSM_CLI_LOGITS_H

#include <stddef.h>

#include <csm/status.h>

struct logits {
    float *values; /* [rows, vocab]; the caller frees them */
    size_t rows, vocab;
};

/* Read a tensor of F64, F32, BF16 or F16, [vocab] or [..., vocab], whose rows are in the order of
 * memory; name NULL: the one that the file holds. */
csm_status logits_read(const char *path, const char *name, struct logits *logits, csm_error *err);

#endif
