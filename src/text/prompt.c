/* SPDX-License-Identifier: Apache-2.0 */
#include "text/prompt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* The first of two tokens that the tokenizer has, or NULL. */
static const char *first_of(const csm_tokenizer *tokenizer, const char *content, const char *or_else)
{
    if (csm_tokenizer_id(tokenizer, content) >= 0)
        return content;
    return csm_tokenizer_id(tokenizer, or_else) >= 0 ? or_else : NULL;
}

struct csm_prompt_ends csm_prompt_ends(const csm_tokenizer *tokenizer)
{
    struct csm_prompt_ends ends = {NULL, NULL};
    if (csm_tokenizer_before(tokenizer) == 0)
        ends.before = first_of(tokenizer, "<|begin_of_text|>", "<|im_start|>");
    if (csm_tokenizer_after(tokenizer) == 0)
        ends.after = first_of(tokenizer, "<|end_of_text|>", "<|im_end|>");
    return ends;
}

/* Put a token's id at the front or the end; NULL: none. */
static csm_status put(const csm_tokenizer *tokenizer, const char *content, bool at_front,
                      int32_t **ids, size_t *n_ids, csm_error *err)
{
    if (content == NULL)
        return CSM_OK;
    const int32_t id = csm_tokenizer_id(tokenizer, content);
    int32_t *grown = realloc(*ids, (*n_ids + 1) * sizeof *grown);
    if (grown == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "text: out of memory");
    if (at_front)
        memmove(grown + 1, grown, *n_ids * sizeof *grown);
    grown[at_front ? 0 : *n_ids] = id;
    *ids = grown;
    (*n_ids)++;
    return CSM_OK;
}

/* Behind the white space that a text begins with: what Python's str.lstrip drops. */
static const char *after_space(const char *text)
{
    static const char *const spaces[] = {
        " ",      "\t",     "\n",     "\v",     "\f",     "\r",     "\x1c",   "\x1d",
        "\x1e",   "\x1f",   "\xc2\x85", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002",
        "\u2003", "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
        "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces;) {
        const size_t n = strlen(spaces[i]);
        if (strncmp(text, spaces[i], n) != 0) {
            i++;
            continue;
        }
        text += n;
        i = 0;
    }
    return text;
}

csm_status csm_prompt_encode(const csm_tokenizer *tokenizer, bool has_space, const char *text,
                             int speaker, int32_t **ids, size_t *n_ids, csm_error *err)
{
    csm_status status = csm_tokenizer_check(text, strlen(text), err); /* its own bytes are told */
    if (status != CSM_OK)
        return status;
    const size_t size = strlen(text) + 32;
    char *turn = malloc(size);
    if (turn == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "text: out of memory");
    const int n = snprintf(turn, size, "[%d]%s%s", speaker, has_space ? " " : "",
                           has_space ? after_space(text) : text);
    int32_t *own = NULL;
    size_t n_own = 0;
    status = csm_tokenizer_encode(tokenizer, turn, (size_t)n, true, &own, &n_own, err);
    free(turn);
    const struct csm_prompt_ends ends = csm_prompt_ends(tokenizer);
    if (status == CSM_OK)
        status = put(tokenizer, ends.before, true, &own, &n_own, err);
    if (status == CSM_OK)
        status = put(tokenizer, ends.after, false, &own, &n_own, err);
    if (status != CSM_OK) {
        free(own);
        return status;
    }
    *ids = own;
    *n_ids = n_own;
    return CSM_OK;
}
