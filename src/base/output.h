/* SPDX-License-Identifier: Apache-2.0
 *
 * output.h - a file that is written whole or not at all.
 *
 * Bytes go to a file beside the target; commit syncs it and renames it over the
 * target, so that a full disk, an error or a killed process leaves the old file
 * or none. What is no regular file (a pipe, /dev/stdout, /dev/null) is written
 * straight. A symbolic link stays, and the file it points to is replaced, or made where
 * there is none. */
#ifndef CSM_BASE_OUTPUT_H
#define CSM_BASE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <csm/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct csm_output csm_output;

/* Begin writing `path`, or with "-" standard output, which is left open at the end.
 * `*out` is to be ended by commit or discard; untouched on failure.
 * Returns CSM_OK; CSM_BAD_FILE with errno's text; CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_output_open(const char *path, csm_output **out, csm_error *err);

/* Append n bytes. Returns CSM_OK or CSM_BAD_FILE (a full disk, a closed pipe). */
CSM_MUST_USE csm_status csm_output_write(csm_output *out, const void *bytes, size_t n,
                                         csm_error *err);

/* Overwrite n bytes at an offset that was written before; only for files that
 * can seek: see csm_output_can_seek. */
CSM_MUST_USE csm_status csm_output_rewrite(csm_output *out, uint64_t offset, const void *bytes,
                                           size_t n, csm_error *err);

/* Whether what is written can be rewritten later: not so for pipes and terminals. */
bool csm_output_can_seek(const csm_output *out);

/* Sync, close and rename; frees `out` in any case. Returns CSM_OK, or
 * CSM_BAD_FILE, after which the target is as it was before. */
CSM_MUST_USE csm_status csm_output_commit(csm_output *out, csm_error *err);

/* Give up: remove what was written beside the target. Takes NULL. */
void csm_output_discard(csm_output *out);

#ifdef __cplusplus
}
#endif
#endif
