/* SPDX-License-Identifier: Apache-2.0 */
#include "model/seanet.h"

#include <stdlib.h>

#include "base/error.h"

csm_status csm_seanet_new(struct csm_seanet *net, size_t n_steps, csm_error *err)
{
    net->steps = calloc(n_steps, sizeof *net->steps);
    if (net->steps == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "codec: %zu convolutions", n_steps);
    net->n_steps = n_steps;
    return CSM_OK;
}

void csm_seanet_free(struct csm_seanet *net)
{
    free(net->steps);
    *net = (struct csm_seanet){0};
}

csm_status csm_seanet_state_open(const struct csm_engine *engine, const struct csm_seanet *net,
                                 struct csm_seanet_state *state, csm_error *err)
{
    *state = (struct csm_seanet_state){0};
    state->past = calloc(2 * net->n_steps, sizeof(csm_conv_state *));
    if (state->past == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "codec: state of %zu convolutions", net->n_steps);
    state->n_past = 2 * net->n_steps;
    for (size_t i = 0; i < net->n_steps; i++) {
        const struct csm_seanet_step *step = &net->steps[i];
        csm_status st =
            engine->ops->conv_state_new(engine->ctx, &step->conv, &state->past[2 * i], err);
        if (st == CSM_OK && step->is_residual)
            st = engine->ops->conv_state_new(engine->ctx, &step->second, &state->past[2 * i + 1],
                                             err);
        if (st != CSM_OK)
            return st;
    }
    return CSM_OK;
}

csm_status csm_seanet_state_reset(const struct csm_engine *engine, struct csm_seanet_state *state,
                                  csm_error *err)
{
    for (size_t i = 0; i < state->n_past; i++) {
        if (state->past[i] == NULL)
            continue;
        csm_status st = engine->ops->conv_state_reset(engine->ctx, state->past[i], err);
        if (st != CSM_OK)
            return st;
    }
    return CSM_OK;
}

void csm_seanet_state_close(const struct csm_engine *engine, struct csm_seanet_state *state)
{
    for (size_t i = 0; i < state->n_past; i++)
        engine->ops->conv_state_free(engine->ctx, state->past[i]);
    free(state->past);
    *state = (struct csm_seanet_state){0};
}

csm_status csm_conv_run(const struct csm_engine *engine, const struct csm_conv *conv,
                        csm_conv_state *const *pasts, size_t n, const csm_value *x,
                        csm_value *out, csm_error *err)
{
    return n == 1 ? engine->ops->conv(engine->ctx, conv, pasts[0], x, out, err)
                  : engine->ops->conv_lanes(engine->ctx, conv, pasts, n, x, out, err);
}

/* Convolution i of the states' list, 2 a step. */
static csm_status run_conv(const struct csm_engine *engine, const struct csm_conv *conv,
                           struct csm_seanet_state *const *states, size_t n, size_t i,
                           csm_conv_state **pasts, const csm_value *x, csm_value *out,
                           csm_error *err)
{
    for (size_t s = 0; s < n; s++)
        pasts[s] = states[s]->past[i];
    return csm_conv_run(engine, conv, pasts, n, x, out, err);
}

csm_status csm_seanet_run(const struct csm_engine *engine, const struct csm_seanet *net,
                          struct csm_seanet_state *const *states, size_t n,
                          csm_conv_state **pasts, csm_value *const *spare, csm_value *x,
                          csm_value *out, csm_error *err)
{
    csm_value *now = x; /* the signal so far; the two others are free */
    csm_value *next = spare[0];
    csm_value *third = spare[1];
    for (size_t i = 0; i < net->n_steps; i++) {
        const struct csm_seanet_step *step = &net->steps[i];
        csm_status st;
        if (step->is_residual) {
            st = run_conv(engine, &step->conv, states, n, 2 * i, pasts, now, next, err);
            if (st == CSM_OK)
                st = run_conv(engine, &step->second, states, n, 2 * i + 1, pasts, next, third, err);
            if (st == CSM_OK)
                st = engine->ops->add(engine->ctx, now, third, err);
        } else {
            csm_value *to = i + 1 == net->n_steps ? out : next;
            st = run_conv(engine, &step->conv, states, n, 2 * i, pasts, now, to, err);
            next = now;
            now = to;
        }
        if (st != CSM_OK)
            return st;
    }
    return CSM_OK;
}
