/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/unwrap.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* Before a name, or between two dots in it. */
static const char *const anywhere[] = {"_orig_mod.", "_fsdp_wrapped_module.",
                                       "_checkpoint_wrapped_module.", NULL};
static const char *const before[] = {"module.", "base_model.model.", "_forward_module.", NULL};
static const char *const inside[] = {"base_layer.", "modules_to_save.default.", NULL};
/* What "model." may stand before: other layouts have names of their own that begin so. */
static const char *const hf_roots[] = {"backbone_model.",    "depth_decoder.", "codec_model.",
                                       "embed_text_tokens.", "lm_head.",       NULL};

static const char *match(const char *text, const char *const *list)
{
    for (; *list != NULL; list++)
        if (strncmp(text, *list, strlen(*list)) == 0)
            return *list;
    return NULL;
}

/* The wrapper that `text` begins with, or NULL. */
static const char *wrapper_at(const char *text, bool is_start)
{
    const char *found = match(text, anywhere);
    if (found == NULL)
        found = match(text, is_start ? before : inside);
    if (found == NULL && is_start && strncmp(text, "model.", 6) == 0) {
        /* Another wrapper may follow it. */
        const char *rest = text + 6, *next;
        while ((next = match(rest, anywhere)) != NULL || (next = match(rest, before)) != NULL)
            rest += strlen(next);
        if (match(rest, hf_roots) != NULL)
            found = "model.";
    }
    return found;
}

csm_status csm_unwrap(const char *name, char **out, char **wrapper, csm_error *err)
{
    *out = NULL;
    char *copy = NULL;
    size_t n = 0;
    bool is_start = true, at_word = true;
    for (const char *c = name; *c != '\0';) {
        const char *found = at_word ? wrapper_at(c, is_start) : NULL;
        if (found == NULL) {
            is_start = false;
            at_word = *c == '.';
            if (copy != NULL)
                copy[n] = *c;
            n++;
            c++;
            continue;
        }
        if (copy == NULL && (copy = malloc(strlen(name) + 1)) != NULL)
            memcpy(copy, name, n);
        if (*wrapper == NULL)
            *wrapper = strdup(found);
        if (copy == NULL || *wrapper == NULL) {
            free(copy);
            return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", name);
        }
        c += strlen(found);
    }
    if (copy != NULL)
        copy[n] = '\0';
    *out = copy;
    return CSM_OK;
}
