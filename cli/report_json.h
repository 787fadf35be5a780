/* SPDX-License-Identifier: Apache-2.0
 *
 * report_json.h - what csm generate --json prints. */
#ifndef CSM_CLI_REPORT_JSON_H
#define CSM_CLI_REPORT_JSON_H

#include <csm/csm.h>

/* One JSON object on standard output. CSM_BAD_FILE if it cannot be written. */
csm_status report_json(const csm_model_info *info, const csm_result *result, const char *text,
                       int speaker, const char *output, double open_ms, csm_error *err);

#endif
