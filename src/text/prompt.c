/* SPDX-License-Identifier: Apache-2.0 */
#include "text/prompt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* Put the id of `content`, if the tokenizer has it, at the front or the end. */
static csm_status put(const csm_tokenizer *tokenizer, const char *content, bool at_front,
                      int32_t **ids, size_t *n_ids, csm_error *err)
{
    const int32_t id = csm_tokenizer_id(tokenizer, content);
    if (id < 0)
        return CSM_OK;
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

csm_status csm_prompt_encode(const csm_tokenizer *tokenizer, const char *text, int speaker,
                             int32_t **ids, size_t *n_ids, csm_error *err)
{
    const size_t size = strlen(text) + 32;
    char *turn = malloc(size);
    if (turn == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "text: out of memory");
    const int n = snprintf(turn, size, "[%d]%s", speaker, text);
    int32_t *own = NULL;
    size_t n_own = 0;
    csm_status status =
        csm_tokenizer_encode(tokenizer, turn, (size_t)n, true, &own, &n_own, err);
    free(turn);
    if (status == CSM_OK && csm_tokenizer_before(tokenizer) == 0)
        status = put(tokenizer, "<|begin_of_text|>", true, &own, &n_own, err);
    if (status == CSM_OK && csm_tokenizer_after(tokenizer) == 0)
        status = put(tokenizer, "<|end_of_text|>", false, &own, &n_own, err);
    if (status != CSM_OK) {
        free(own);
        return status;
    }
    *ids = own;
    *n_ids = n_own;
    return CSM_OK;
}
