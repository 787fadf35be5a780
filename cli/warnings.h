/* SPDX-License-Identifier: Apache-2.0
 *
 * warnings.h - what was asked and does not come out as asked: each a line on standard error,
 * --quiet or not, and an entry of "warnings" in --json, "code: text". docs/CONVERSATION.md
 * lists the codes. */
#ifndef CSM_CLI_WARNINGS_H
#define CSM_CLI_WARNINGS_H

#include <jansson.h>

#include <csm/remarks.h>

/* Zero before the first. */
struct warnings {
    json_t *list; /* NULL: none */
};

/* Say it, with the option that helps, and keep it. */
void warn(struct warnings *warnings, const csm_remark *remark);

/* The list for --json, to be freed with json_decref; empty where there are none. */
json_t *warnings_json(const struct warnings *warnings);

void warnings_free(struct warnings *warnings);

#endif
