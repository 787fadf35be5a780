/* SPDX-License-Identifier: Apache-2.0 */
#include "model/adapted.h"

#include "base/error.h"

static csm_weight *matrix(const struct csm_language *language, const struct csm_kept_pair *pair)
{
    const struct csm_stack *stack = pair->part == CSM_BACKBONE ? &language->backbone
                                                               : &language->depth;
    switch (pair->role) {
    case CSM_ROLE_Q:
        return stack->attention[pair->index].q;
    case CSM_ROLE_K:
        return stack->attention[pair->index].k;
    case CSM_ROLE_V:
        return stack->attention[pair->index].v;
    case CSM_ROLE_O:
        return stack->attention[pair->index].o;
    case CSM_ROLE_GATE:
        return stack->mlp[pair->index].gate;
    case CSM_ROLE_UP:
        return stack->mlp[pair->index].up;
    default: /* csm_kept_adapter_next gives no others */
        return stack->mlp[pair->index].down;
    }
}

csm_status csm_language_adapt(struct csm_language *language, const csm_checkpoint *checkpoint,
                              const csm_adapter *adapter, size_t number, csm_error *err)
{
    const struct csm_engine_ops *ops = language->engine->ops;
    if (ops->weight_adapter == NULL)
        return csm_fail(err, CSM_BAD_ARG,
                        "adapter %s: engine %s keeps none beside the base, expected engine native, "
                        "or the adapter merged",
                        adapter->path, ops->name);
    struct csm_kept_adapter *kept;
    struct csm_kept_pair pair;
    csm_status st = csm_kept_adapter_open(checkpoint, adapter, &kept, err);
    while (st == CSM_OK) {
        st = csm_kept_adapter_next(kept, &pair, err);
        if (st != CSM_OK || pair.rank == 0)
            break;
        st = ops->weight_adapter(language->engine->ctx, matrix(language, &pair), number, pair.left,
                                 pair.right, pair.rank, err);
    }
    csm_kept_adapter_close(kept);
    return st;
}
