/* SPDX-License-Identifier: Apache-2.0
 *
 * native_adapter.c - adapters kept beside the base: y = W x + left (right x) for rows of lanes
 * that have one, each sum in float32.
 *
 * A pair is two small matrices of floats like any other, so a row's numbers depend on it and its
 * adapter alone. */
#include <stdlib.h>

#include "base/error.h"
#include "engine/native/native_lane.h"

/* A matrix of floats, copied into the form for products. */
static csm_status small_matrix(struct native *native, const csm_weight *of, const float *values,
                               size_t rows, size_t cols, csm_weight **out, csm_error *err)
{
    const struct csm_weight_source source = {
        .tensor = {.name = of->source.tensor.name,
                   .dtype = CSM_DTYPE_F32,
                   .rank = 2,
                   .shape = {rows, cols},
                   .data = values,
                   .n_bytes = rows * cols * sizeof *values},
        .exact = true};
    return csm_native_weight_new(native, &source, out, err);
}

csm_status csm_native_weight_adapter(void *ctx, csm_weight *w, size_t number, const float *left,
                                     const float *right, size_t rank, csm_error *err)
{
    struct native *native = ctx;
    struct native_pair pair = {.adapter = number};
    struct native_pair *grown = realloc(w->pairs, (w->n_pairs + 1) * sizeof *grown);
    if (grown == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "native: %s: no memory for an adapter",
                        w->source.tensor.name);
    w->pairs = grown;
    csm_status st = small_matrix(native, w, left, w->rows, rank, &pair.left, err);
    if (st == CSM_OK)
        st = small_matrix(native, w, right, rank, w->cols, &pair.right, err);
    if (st != CSM_OK) {
        csm_native_weight_free(native, pair.left);
        return st;
    }
    w->pairs[w->n_pairs++] = pair;
    return CSM_OK;
}

void csm_native_pairs_free(csm_weight *w)
{
    for (size_t i = 0; i < w->n_pairs; i++) {
        csm_native_weight_free(NULL, w->pairs[i].left);
        csm_native_weight_free(NULL, w->pairs[i].right);
    }
    free(w->pairs);
}

void csm_native_lane_adapter(void *ctx, csm_lane *lane, size_t number)
{
    (void)ctx;
    lane->adapter = number;
}

csm_status csm_native_value_adapters(csm_value *x, const struct csm_rows *rows, size_t n_lanes,
                                     csm_error *err)
{
    x->has_adapters = false;
    for (size_t i = 0; i < n_lanes; i++)
        x->has_adapters = x->has_adapters || rows[i].lane->adapter != 0;
    if (!x->has_adapters)
        return CSM_OK;
    csm_status st = csm_native_reserve(&x->adapters, x->rows * sizeof(size_t), err);
    size_t *to = x->adapters.data;
    for (size_t i = 0; st == CSM_OK && i < n_lanes; i++)
        for (size_t t = 0; t < rows[i].n; t++)
            *to++ = rows[i].lane->adapter;
    return st;
}

const size_t *csm_native_adapters_of(const csm_value *x)
{
    return x->has_adapters ? x->adapters.data : NULL;
}

static const struct native_pair *pair_of(const csm_weight *w, size_t adapter)
{
    for (size_t i = 0; i < w->n_pairs; i++)
        if (w->pairs[i].adapter == adapter)
            return &w->pairs[i];
    return NULL;
}

/* Rows first.. , n of them, all of one adapter. */
static csm_status add_pair(struct native *native, const struct native_pair *pair,
                           const struct product *p, struct rows x, size_t first, size_t n,
                           csm_error *err)
{
    const struct finishing store = {.kind = FINISH_STORE};
    const size_t rank = pair->right->rows, rows = pair->left->rows;
    float *small, *added;
    csm_status st = csm_native_scratch(native, SCRATCH_SMALL, n * rank, &small, err);
    if (st == CSM_OK)
        st = csm_native_scratch(native, SCRATCH_ADDED, n * rows, &added, err);
    if (st != CSM_OK)
        return st;
    const struct product right = {.weight = pair->right, .out = small, .ld_out = rank};
    const struct product left = {.weight = pair->left, .out = added, .ld_out = rows};
    st = csm_native_product(native, &right, 1, store,
                            (struct rows){.values = x.values + first * x.ld, .ld = x.ld, .n = n},
                            err);
    if (st == CSM_OK)
        st = csm_native_product(native, &left, 1, store,
                                (struct rows){.values = small, .ld = rank, .n = n}, err);
    for (size_t t = 0; st == CSM_OK && t < n; t++)
        for (size_t r = 0; r < rows; r++)
            p->out[(first + t) * p->ld_out + r] += added[t * rows + r];
    return st;
}

csm_status csm_native_pairs_add(struct native *native, const struct product *p, struct rows x,
                                csm_error *err)
{
    csm_status st = CSM_OK;
    for (size_t first = 0, end; st == CSM_OK && first < x.n; first = end) {
        for (end = first + 1; end < x.n && x.adapters[end] == x.adapters[first];)
            end++;
        const struct native_pair *pair = pair_of(p->weight, x.adapters[first]);
        if (pair != NULL)
            st = add_pair(native, pair, p, x, first, end - first, err);
    }
    return st;
}
