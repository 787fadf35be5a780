/* SPDX-License-Identifier: Apache-2.0
 *
 * complain.h - an error of the command's own, said as the library says its. */
#ifndef CSM_CLI_COMPLAIN_H
#define CSM_CLI_COMPLAIN_H

#include <csm/status.h>

/* Fill err and return status. */
csm_status complain(csm_error *err, csm_status status, const char *format, ...) CSM_PRINTF(3, 4);

#endif
