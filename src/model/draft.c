/* SPDX-License-Identifier: Apache-2.0 */
#include "model/draft.h"

#include <stdlib.h>

#include "base/error.h"

csm_status csm_draft_open(const struct csm_language *language, struct csm_draft *draft,
                          csm_error *err)
{
    struct csm_language *d = &draft->language;
    const size_t n = language->n_codebooks;
    const csm_checkpoint *checkpoint = language->binder.checkpoint;
    *draft = (struct csm_draft){.language = *language};
    d->binder = (struct csm_binder){
        .engine = language->engine, .checkpoint = checkpoint, .to_bits = 4};
    d->depth = (struct csm_stack){0};
    d->heads = calloc(n, sizeof(csm_weight *));
    if (d->heads == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "model: %zu heads", n);
    csm_status st = csm_bind_stack(&d->binder, CSM_DEPTH,
                                   &csm_checkpoint_config(checkpoint)->depth, &d->depth, err);
    if (st == CSM_OK)
        st = csm_bind(&d->binder, CSM_DEPTH, CSM_ROLE_PROJECTION, 0, &d->projection, err);
    for (size_t k = 1; st == CSM_OK && k < n; k++)
        st = csm_bind(&d->binder, CSM_DEPTH, CSM_ROLE_HEAD, k - 1, &d->heads[k - 1], err);
    return st == CSM_OK ? csm_pass_open(d, &draft->pass, err) : st;
}

void csm_draft_close(struct csm_draft *draft)
{
    csm_pass_close(&draft->pass);
    csm_binder_free(&draft->language.binder);
    csm_stack_free(&draft->language.depth);
    free(draft->language.heads);
    *draft = (struct csm_draft){0};
}
