/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "model/pass.h"

/* Inputs of the rows into pass->a: code k - 1's embedding for code k, and for k = 1 the
 * backbone's hidden row before it. */
static csm_status inputs(struct csm_pass *pass, const struct csm_sequence *sequence, size_t k,
                         size_t n, const int32_t *codes, csm_error *err)
{
    const struct csm_language *l = pass->language;
    const struct csm_engine_ops *ops = l->engine->ops;
    void *ctx = l->engine->ctx;
    csm_status st = csm_pass_ids(pass, n, err);
    if (st != CSM_OK)
        return st;
    for (size_t i = 0; i < n; i++)
        pass->ids[i] = (int32_t)((k - 1 + i) * l->vocab) + codes[i];
    if (k > 1)
        return ops->embed(ctx, l->depth_table, pass->ids, n, 1, pass->a, err);
    st = ops->embed(ctx, l->depth_table, pass->ids, n, 1, pass->b, err);
    if (st == CSM_OK)
        st = ops->copy_rows(ctx, sequence->hidden, 0, 1, pass->a, 0, err);
    return st == CSM_OK ? ops->copy_rows(ctx, pass->b, 0, n, pass->a, 1, err) : st;
}

csm_status csm_pass_codes(struct csm_pass *pass, const struct csm_sequence *sequence, size_t k,
                          size_t n, const int32_t *codes, size_t n_logits, float *logits,
                          csm_error *err)
{
    const struct csm_language *l = pass->language;
    const struct csm_engine_ops *ops = l->engine->ops;
    void *ctx = l->engine->ctx;
    const size_t n_before = k == 1, n_rows = n + n_before; /* position 0 has no head */
    struct csm_rows rows = {.n = n_rows};
    csm_status st = csm_pass_depth_lane(pass, 0, &rows.lane, err);
    if (st == CSM_OK)
        st = ops->lane_truncate(ctx, rows.lane, k == 1 ? 0 : k, err);
    if (st == CSM_OK)
        st = inputs(pass, sequence, k, n, codes, err);
    if (st == CSM_OK)
        st = ops->linear(ctx, l->projection, NULL, pass->a, pass->b, err);
    if (st == CSM_OK)
        st = csm_stack_run(l->engine, &l->depth, &rows, 1, n_rows, NULL, 0, pass->b, err);
    if (st == CSM_OK)
        st = ops->norm(ctx, &l->depth.norm, pass->b, pass->a, err);
    for (size_t i = n - n_logits; st == CSM_OK && i < n; i++, logits += l->vocab) {
        st = ops->copy_rows(ctx, pass->a, i + n_before, 1, pass->b, 0, err);
        if (st == CSM_OK)
            st = ops->linear(ctx, l->heads[k - 1 + i], NULL, pass->b, pass->c, err);
        if (st == CSM_OK)
            st = ops->read(ctx, pass->c, 1, l->vocab, logits, err);
    }
    return st;
}
