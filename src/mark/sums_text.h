/* SPDX-License-Identifier: Apache-2.0
 *
 * sums_text.h - sums.h in C that compilers make vectors of; sums.c and sums_avx2.c are
 * this text under flags of their own. No include guard: each includes it once. */
#include "mark/sums.h"

/* Several terms abreast, so that `to` is loaded and stored once for all of them; called with
 * constant n. from NULL: 0. */
static inline void add_terms(float *to, const float *from, const float *const *x, const float *factors,
                             size_t n)
{
    for (size_t t = 0; t < N_STEP; t++) {
        float sum = from != NULL ? from[t] : 0;
        for (size_t k = 0; k < n; k++)
            sum += factors[k] * x[k][t];
        to[t] = sum;
    }
}

static void terms(float *restrict to, const float *const *x, const float *factors, size_t n)
{
    add_terms(to, NULL, x, factors, 8);
    size_t k = 8;
    for (; k + 8 <= n; k += 8)
        add_terms(to, to, x + k, factors + k, 8);
    for (; k < n; k++)
        add_terms(to, to, x + k, factors + k, 1);
}

/* Eight sums abreast. */
static float lag_product(const float *x, const float *y)
{
    float s[8] = {0};
    for (int i = 0; i < N_WINDOW; i += 8)
        for (int k = 0; k < 8; k++)
            s[k] += x[i + k] * y[i + k];
    for (int k = 0; k < 4; k++)
        s[k] += s[k + 4];
    return (s[0] + s[1]) + (s[2] + s[3]);
}

static void lags(const float *x, float *r)
{
    /* GCC 12 makes no vectors of it where it is inlined: so it is not. */
    float (*volatile product)(const float *, const float *) = lag_product;
    for (int lag = 0; lag <= N_ORDER; lag++)
        r[lag] = product(x, x + lag);
}

static void chips(float *restrict sums, const float *const *x, const float *signs)
{
    for (size_t i = 0; i < N_PLACES; i++) {
        float sum = sums[i];
        for (size_t k = 0; k < N_CHIPS; k++)
            sum += signs[k] * x[k][i];
        sums[i] = sum;
    }
}
