/* SPDX-License-Identifier: Apache-2.0
 *
 * sums_text.h - sums.h in C that compilers make vectors of; sums.c and sums_avx2.c are
 * this text under flags of their own. No include guard: each includes it once. */
#include <string.h>

#include "mark/sums.h"

/* Eight floats abreast, in one register or in two. */
typedef float lanes __attribute__((vector_size(32)));
typedef float half_lanes __attribute__((vector_size(16)));

enum { N_LANES = 8, N_STEP_LANES = N_STEP / N_LANES };

/* A step's sums stay in registers over all terms. */
static void terms(float *restrict to, const float *const *x, const float *factors, size_t n)
{
    lanes sums[N_STEP_LANES] = {{0}};
    for (size_t k = 0; k < n; k++)
        for (size_t v = 0; v < N_STEP_LANES; v++) {
            lanes in;
            memcpy(&in, x[k] + v * N_LANES, sizeof in);
            sums[v] = sums[v] + factors[k] * in;
        }
    memcpy(to, sums, sizeof sums);
}

/* Eight sums abreast for each lag, all lags at once. */
static void lags(const float *x, float *r)
{
    lanes sums[N_ORDER + 1] = {{0}};
    for (size_t i = 0; i < N_WINDOW; i += N_LANES) {
        lanes now, later;
        memcpy(&now, x + i, sizeof now);
        for (size_t lag = 0; lag <= N_ORDER; lag++) {
            memcpy(&later, x + i + lag, sizeof later);
            sums[lag] = sums[lag] + now * later;
        }
    }
    for (size_t lag = 0; lag <= N_ORDER; lag++) {
        half_lanes halves[2];
        memcpy(halves, &sums[lag], sizeof halves);
        const half_lanes s = halves[0] + halves[1];
        r[lag] = (s[0] + s[1]) + (s[2] + s[3]);
    }
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
