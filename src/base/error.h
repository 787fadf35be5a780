/* SPDX-License-Identifier: Apache-2.0
 *
 * error.h - filling the caller's csm_error: csm_fail, which is public. */
#ifndef CSM_BASE_ERROR_H
#define CSM_BASE_ERROR_H

#include <csm/status.h>

#endif
