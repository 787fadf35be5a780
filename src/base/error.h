/* SPDX-License-Identifier: Apache-2.0
 *
 * error.h - filling the caller's csm_error. */
#ifndef CSM_BASE_ERROR_H
#define CSM_BASE_ERROR_H

#include <csm/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Write a message into `err` (may be NULL) and return `status`, so that a
 * failing path is one line:  return csm_fail(err, CSM_BAD_FILE, "...", ...);
 * A caller that adds its own context passes the old err->text as "%s". Control
 * characters, newlines too, become '?'. */
csm_status csm_fail(csm_error *err, csm_status status, const char *format, ...) CSM_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif
#endif
