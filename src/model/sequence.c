/* SPDX-License-Identifier: Apache-2.0 */
#include "model/sequence.h"

#include "base/error.h"

/* The lane is there, or what failed was it. */
static csm_status open_rest(csm_status st, struct csm_sequence *s, csm_error *err)
{
    const struct csm_engine *engine = s->language->engine;
    if (st == CSM_OK)
        st = engine->ops->value_new(engine->ctx, &s->hidden, err);
    if (st != CSM_OK)
        csm_sequence_close(s);
    return st;
}

csm_status csm_sequence_open(const struct csm_language *language, size_t capacity,
                             struct csm_sequence *s, csm_error *err)
{
    const struct csm_engine *engine = language->engine;
    *s = (struct csm_sequence){.language = language, .capacity = capacity};
    return open_rest(engine->ops->lane_open(engine->ctx, language->backbone.attention,
                                            language->backbone.n_layers, capacity, &s->lane, err),
                     s, err);
}

csm_status csm_sequence_fork(const struct csm_language *language, const csm_lane *lane, size_t n,
                             size_t capacity, struct csm_sequence *s, csm_error *err)
{
    const struct csm_engine *engine = language->engine;
    *s = (struct csm_sequence){.language = language, .capacity = capacity, .n_positions = n};
    return open_rest(engine->ops->lane_fork(engine->ctx, lane, n, &s->lane, err), s, err);
}

void csm_sequence_adapt(struct csm_sequence *s, size_t adapter)
{
    const struct csm_engine *engine = s->language->engine;
    s->adapter = adapter;
    if (engine->ops->lane_adapter != NULL)
        engine->ops->lane_adapter(engine->ctx, s->lane, adapter);
}

void csm_sequence_close(struct csm_sequence *s)
{
    if (s->language != NULL) {
        const struct csm_engine *engine = s->language->engine;
        engine->ops->lane_close(engine->ctx, s->lane);
        engine->ops->value_free(engine->ctx, s->hidden);
    }
    *s = (struct csm_sequence){0};
}

csm_status csm_sequence_truncate(struct csm_sequence *s, size_t n, csm_error *err)
{
    const struct csm_engine *engine = s->language->engine;
    csm_status st = engine->ops->lane_truncate(engine->ctx, s->lane, n, err);
    if (st == CSM_OK)
        s->n_positions = n;
    return st;
}

csm_status csm_sequence_reserve(struct csm_sequence *s, size_t n, csm_error *err)
{
    const struct csm_engine *engine = s->language->engine;
    if (n > s->capacity - s->n_positions)
        return csm_fail(err, CSM_BAD_ARG,
                        "model: %zu positions after %zu, expected at most %zu in all", n,
                        s->n_positions, s->capacity);
    return engine->ops->lane_reserve != NULL
               ? engine->ops->lane_reserve(engine->ctx, s->lane, n, err)
               : CSM_OK;
}
