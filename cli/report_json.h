/* SPDX-License-Identifier: Apache-2.0
 *
 * report_json.h - what csm generate --json prints. */
#ifndef CSM_CLI_REPORT_JSON_H
#define CSM_CLI_REPORT_JSON_H

#include <jansson.h>

#include <csm/csm.h>

/* One JSON object on standard output; `warnings` becomes its own. CSM_BAD_FILE if it cannot be written. */
csm_status report_json(const csm_model_info *info, const csm_result *result, const char *text,
                       int speaker, const char *output, double open_ms, json_t *warnings,
                       csm_error *err);

#endif
