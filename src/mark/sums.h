/* SPDX-License-Identifier: Apache-2.0
 *
 * sums.h - the sums in which the mark and its detector spend their time, compiled once for
 * every processor of the kind and once for AVX2, chosen at run time. The order of each
 * addition is fixed and nothing is fused, so that both give the same bits. */
#ifndef CSM_MARK_SUMS_H
#define CSM_MARK_SUMS_H

#include <stddef.h>

#include "mark/rate.h"
#include "mark/shape.h"

enum { N_PLACES = 256, N_CHIPS = 8 };

struct mark_sums {
    /* to[t] = sum_k factors[k] x[k][t] from 0 on, t < N_STEP, n at least 8 */
    void (*terms)(float *to, const float *const *x, const float *factors, size_t n);
    /* r[lag] = sum_i x[i] x[i + lag], i < N_WINDOW, lag <= N_ORDER; x has 16 more */
    void (*lags)(const float *x, float *r);
    /* sums[i] += sum_k chips[k] x[k][i], i < N_PLACES, k < N_CHIPS */
    void (*chips)(float *sums, const float *const *x, const float *chips);
};

/* The fastest that this processor has. */
const struct mark_sums *csm_mark_sums(void);

extern const struct mark_sums csm_mark_sums_everywhere;
extern const struct mark_sums csm_mark_sums_avx2; /* where the compiler has it: CSM_MARK_AVX2 */

#endif
