/* SPDX-License-Identifier: Apache-2.0 */
#include "warnings.h"

#include <stdio.h>
#include <string.h>

/* What to do about it. */
static const char *hint(const char *code)
{
    static const struct {
        const char *code, *hint;
    } hints[] = {
        {"cut", "; --max-audio-length-ms N allows more"},
        {"no-sound", " (--seed N, --min-audio-length-ms N)"},
        {"other-speaker", "; --speaker N says who speaks, --context-speaker N who spoke"},
    };
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
        if (strcmp(hints[i].code, code) == 0)
            return hints[i].hint;
    return "";
}

void warn(struct warnings *w, const csm_remark *remark)
{
    fprintf(stderr, "csm: %s%s\n", remark->text, hint(remark->code));
    if (w->list == NULL)
        w->list = json_array();
    json_array_append_new(w->list, json_sprintf("%s: %s", remark->code, remark->text));
}

json_t *warnings_json(const struct warnings *w)
{
    return w->list != NULL ? json_incref(w->list) : json_array();
}

void warnings_free(struct warnings *w)
{
    json_decref(w->list);
    w->list = NULL;
}
