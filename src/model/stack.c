/* SPDX-License-Identifier: Apache-2.0 */
#include "model/stack.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"

csm_status csm_stack_new(struct csm_stack *stack, size_t n_layers, csm_error *err)
{
    stack->attention = calloc(n_layers, sizeof *stack->attention);
    stack->mlp = calloc(n_layers, sizeof *stack->mlp);
    if (stack->attention == NULL || stack->mlp == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "model: %zu layers", n_layers);
    stack->n_layers = n_layers;
    return CSM_OK;
}

void csm_stack_free(struct csm_stack *stack)
{
    free(stack->attention);
    free(stack->mlp);
    *stack = (struct csm_stack){0};
}

csm_status csm_watch_value(const struct csm_engine *engine, const struct csm_watch *watch,
                           const char *suffix, size_t rows, size_t cols, const csm_value *x,
                           csm_error *err)
{
    if (watch == NULL || watch->observe == NULL)
        return CSM_OK;
    float *host = malloc(rows * cols * sizeof *host);
    if (host == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "model: %zu x %zu values to observe", rows, cols);
    csm_status st = engine->ops->read(engine->ctx, x, rows, cols, host, err);
    if (st == CSM_OK) {
        char name[64];
        snprintf(name, sizeof name, "%s%s", watch->name, suffix);
        watch->observe(watch->user, name, watch->frame, watch->at, host, rows, cols);
    }
    free(host);
    return st;
}

csm_status csm_stack_run(const struct csm_engine *engine, const struct csm_stack *stack,
                         csm_cache *cache, size_t first_lane, size_t n_lanes, size_t rows,
                         const struct csm_watch *watch, csm_value *x, csm_error *err)
{
    const struct csm_engine_ops *ops = engine->ops;
    for (size_t l = 0; l < stack->n_layers; l++) {
        csm_status st = ops->attention(engine->ctx, &stack->attention[l], l, cache, first_lane,
                                       n_lanes, x, err);
        if (st == CSM_OK)
            st = ops->mlp(engine->ctx, &stack->mlp[l], x, err);
        if (st != CSM_OK)
            return st;
        if (watch != NULL && watch->observe != NULL) {
            char suffix[32];
            snprintf(suffix, sizeof suffix, ".layer%zu", l);
            st = csm_watch_value(engine, watch, suffix, rows, stack->attention[l].width, x, err);
            if (st != CSM_OK)
                return st;
        }
    }
    return CSM_OK;
}
