/* SPDX-License-Identifier: Apache-2.0
 *
 * rvq.h - residual vector quantization: the tables of one branch of Mimi's
 * quantizer, and the search of the nearest entry. */
#ifndef CSM_MODEL_RVQ_H
#define CSM_MODEL_RVQ_H

#include "engine/engine.h"

/* One branch, semantic or acoustic: n_codebooks tables, one after the other. */
struct csm_rvq {
    size_t n_codebooks, n_entries, dim;
    float *vectors;         /* [n_codebooks * n_entries + 1, dim]; what `table` was made of */
    csm_weight *table;      /* the same; its last row, n_codebooks * n_entries, is zero */
    csm_weight *into, *out; /* [dim, width], [width, dim] */
};

/* Codes of the nearest entries, codebook after codebook, each of what the one
 * before left over; the lowest index of equally near ones.
 *
 *   threads   that share the work; NULL: the caller alone
 *   residual  [n, dim]: what is to be coded; receives what is left over
 *   n_used    codebooks, at most n_codebooks
 *   codes     [n, stride], of which columns 0..n_used-1 are written */
csm_status csm_rvq_search(const struct csm_rvq *rvq, struct csm_threads *threads, float *residual,
                          size_t n, size_t n_used, int32_t *codes, size_t stride, csm_error *err);

#endif
