/* SPDX-License-Identifier: Apache-2.0
 *
 * The distance is sum (r - e)^2 as it stands, not |e|^2 - 2 r.e, which loses the
 * digits that decide between near entries. A codebook is turned once, so that
 * the inner loop runs over entries: independent sums, which the compiler turns
 * into vector code without reordering any of them. */
#include "model/rvq.h"

#include <stdlib.h>

#include "base/error.h"

/* turned [dim, n_entries] of entries [n_entries, dim] */
static void turn(const float *entries, size_t n_entries, size_t dim, float *turned)
{
    for (size_t e = 0; e < n_entries; e++)
        for (size_t d = 0; d < dim; d++)
            turned[d * n_entries + e] = entries[e * dim + d];
}

static size_t nearest(const float *turned, size_t n_entries, size_t dim, const float *r,
                      float *distance)
{
    for (size_t e = 0; e < n_entries; e++)
        distance[e] = 0.0f;
    for (size_t d = 0; d < dim; d++) {
        const float *row = turned + d * n_entries;
        float x = r[d];
        for (size_t e = 0; e < n_entries; e++) {
            float difference = x - row[e];
            distance[e] += difference * difference;
        }
    }
    size_t best = 0;
    for (size_t e = 1; e < n_entries; e++)
        if (distance[e] < distance[best])
            best = e;
    return best;
}

csm_status csm_rvq_search(const struct csm_rvq *rvq, float *residual, size_t n, size_t n_used,
                          int32_t *codes, size_t stride, csm_error *err)
{
    size_t dim = rvq->dim;
    float *turned = malloc(rvq->n_entries * dim * sizeof *turned);
    float *distance = malloc(rvq->n_entries * sizeof *distance);
    if (turned == NULL || distance == NULL) {
        free(turned);
        free(distance);
        return csm_fail(err, CSM_NO_MEMORY, "codec: a codebook of %zu", rvq->n_entries);
    }
    for (size_t k = 0; k < n_used; k++) {
        const float *entries = rvq->vectors + k * rvq->n_entries * dim;
        turn(entries, rvq->n_entries, dim, turned);
        for (size_t t = 0; t < n; t++) {
            float *r = residual + t * dim;
            size_t best = nearest(turned, rvq->n_entries, dim, r, distance);
            codes[t * stride + k] = (int32_t)best;
            for (size_t d = 0; d < dim; d++)
                r[d] -= entries[best * dim + d];
        }
    }
    free(turned);
    free(distance);
    return CSM_OK;
}
