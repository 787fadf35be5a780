/* SPDX-License-Identifier: Apache-2.0
 *
 * adapter_kept.c - an adapter that is not merged: its pairs, one after the other, in the order
 * of the base's rows. */
#include <math.h>
#include <stdlib.h>

#include "base/error.h"
#include "checkpoint/adapter.h"
#include "checkpoint/checkpoint_parts.h"
#include "checkpoint/low_rank.h"

struct csm_kept_adapter {
    const csm_checkpoint *checkpoint;
    const char *path;
    struct csm_adapters adapters;
    size_t at;          /* the patch that comes next */
    float *left, *right; /* of the one before */
};

csm_status csm_kept_adapter_open(const csm_checkpoint *checkpoint, const csm_adapter *adapter,
                                 struct csm_kept_adapter **out, csm_error *err)
{
    *out = NULL;
    if (adapter->path == NULL || !isfinite(adapter->scale))
        return csm_fail(err, CSM_BAD_ARG, "adapter %s: scale %g, expected a number",
                        adapter->path != NULL ? adapter->path : "without a path", adapter->scale);
    struct csm_kept_adapter *kept = calloc(1, sizeof *kept);
    if (kept == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "adapter %s: out of memory", adapter->path);
    kept->checkpoint = checkpoint;
    kept->path = adapter->path;
    csm_status st = csm_adapters_add(&kept->adapters, checkpoint, adapter->path, adapter->scale,
                                     err);
    if (st != CSM_OK) {
        csm_kept_adapter_close(kept);
        return st;
    }
    *out = kept;
    return CSM_OK;
}

static bool is_projection(const struct csm_patch *patch)
{
    static const enum csm_role roles[] = {CSM_ROLE_Q,    CSM_ROLE_K,  CSM_ROLE_V,   CSM_ROLE_O,
                                          CSM_ROLE_GATE, CSM_ROLE_UP, CSM_ROLE_DOWN};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (patch->role == roles[i])
            return patch->part == CSM_BACKBONE || patch->part == CSM_DEPTH;
    return false;
}

/* What is kept beside the base is a low-rank pair; the rest changes the weight itself. What a
 * model that is opened would tell of, nobody can be told here. */
static csm_status check(const struct csm_kept_adapter *kept, const struct csm_patch *patch,
                        csm_error *err)
{
    const char *what = NULL;
    if (kept->adapters.n_unnamed > 0)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "adapter %s: it has a pair of %s, which its target_modules do not name: PEFT "
                        "leaves it out",
                        kept->path, kept->adapters.unnamed);
    if (csm_part_is_codec(patch->part))
        what = "a pair of the codec";
    else if (patch->whole.data != NULL)
        what = "a module kept whole";
    else if (patch->n_own_rows > 0)
        what = "rows of a table";
    else if (!is_projection(patch))
        what = "a pair of a table or a head";
    else if (patch->deltas[0].delta.magnitude != NULL)
        what = "a magnitude (DoRA)";
    return what == NULL ? CSM_OK
                        : csm_fail(err, CSM_BAD_FORMAT,
                                   "adapter %s: it has %s, expected low-rank pairs of the layers' "
                                   "projections alone to keep it beside the base: merge it",
                                   kept->path, what);
}

csm_status csm_kept_adapter_next(struct csm_kept_adapter *kept, struct csm_kept_pair *pair,
                                 csm_error *err)
{
    *pair = (struct csm_kept_pair){0};
    while (kept->at < kept->adapters.n && kept->adapters.patches[kept->at].n == 0 &&
           kept->adapters.patches[kept->at].n_own_rows == 0 &&
           kept->adapters.patches[kept->at].whole.data == NULL)
        kept->at++;
    if (kept->at == kept->adapters.n)
        return CSM_OK;
    const struct csm_patch *patch = &kept->adapters.patches[kept->at++];
    csm_status st = check(kept, patch, err);
    if (st != CSM_OK)
        return st;
    const struct csm_patched *patched = &patch->deltas[0];
    const struct csm_delta *delta = &patched->delta;
    const bool is_rotated = patch->role == CSM_ROLE_Q || patch->role == CSM_ROLE_K;
    const size_t head_dim =
        is_rotated ? csm_part_transformer(&kept->checkpoint->config, patch->part)->head_dim : 0;
    const bool base_has_pairs = csm_layout_has_pairs(kept->checkpoint->language.layout);
    free(kept->left);
    free(kept->right);
    kept->left = malloc(delta->rows * delta->rank * sizeof(float));
    kept->right = malloc(delta->rank * delta->cols * sizeof(float));
    if (kept->left == NULL || kept->right == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "adapter %s: out of memory", kept->path);
    for (size_t r = 0; r < delta->rows; r++) {
        const size_t from = csm_adapter_row(r, head_dim, base_has_pairs, patched->has_pairs);
        for (size_t k = 0; k < delta->rank; k++)
            kept->left[r * delta->rank + k] = delta->left[from * delta->rank + k];
    }
    for (size_t k = 0; k < delta->rank; k++)
        for (size_t c = 0; c < delta->cols; c++)
            kept->right[k * delta->cols + c] = delta->right[csm_low_rank_at(delta->rank, k, c)];
    *pair = (struct csm_kept_pair){.part = patch->part,
                                   .role = patch->role,
                                   .index = patch->index,
                                   .rank = delta->rank,
                                   .left = kept->left,
                                   .right = kept->right};
    return CSM_OK;
}

void csm_kept_adapter_close(struct csm_kept_adapter *kept)
{
    if (kept == NULL)
        return;
    csm_adapters_free(&kept->adapters);
    free(kept->left);
    free(kept->right);
    free(kept);
}
