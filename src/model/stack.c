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

static bool is_watched(const struct csm_watch *watches, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (watches[i].observe != NULL)
            return true;
    return false;
}

csm_status csm_watch_value(const struct csm_engine *engine, const struct csm_watch *watches,
                           size_t n_watches, const char *suffix, size_t rows, size_t cols,
                           const csm_value *x, csm_error *err)
{
    if (!is_watched(watches, n_watches))
        return CSM_OK;
    float *host = malloc(rows * cols * sizeof *host);
    if (host == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "model: %zu x %zu values to observe", rows, cols);
    csm_status st = engine->ops->read(engine->ctx, x, rows, cols, host, err);
    for (size_t i = 0; st == CSM_OK && i < n_watches; i++) {
        const struct csm_watch *w = &watches[i];
        char name[64];
        if (w->observe == NULL)
            continue;
        snprintf(name, sizeof name, "%s%s", w->name, suffix);
        w->observe(w->user, name, w->frame, w->at, host + w->first * cols,
                   w->n != 0 ? w->n : rows, cols);
    }
    free(host);
    return st;
}

csm_status csm_stack_run(const struct csm_engine *engine, const struct csm_stack *stack,
                         const struct csm_rows *rows, size_t n_lanes, size_t n_rows,
                         const struct csm_watch *watches, size_t n_watches, csm_value *x,
                         csm_error *err)
{
    const struct csm_engine_ops *ops = engine->ops;
    for (size_t l = 0; l < stack->n_layers; l++) {
        csm_status st = ops->attention(engine->ctx, &stack->attention[l], l, rows, n_lanes, x, err);
        if (st == CSM_OK)
            st = ops->mlp(engine->ctx, &stack->mlp[l], x, err);
        if (st == CSM_OK && is_watched(watches, n_watches)) {
            char suffix[32];
            snprintf(suffix, sizeof suffix, ".layer%zu", l);
            st = csm_watch_value(engine, watches, n_watches, suffix, n_rows,
                                 stack->attention[l].width, x, err);
        }
        if (st != CSM_OK)
            return st;
    }
    return CSM_OK;
}
