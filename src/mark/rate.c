/* SPDX-License-Identifier: Apache-2.0 */
#include "mark/rate.h"

#include <math.h>
#include <string.h>

#include "mark/chips.h"
#include "mark/sums.h"

static const double PI = 3.14159265358979323846;
static const double CUTOFF_HZ = 3800, KAISER_BETA = 4;

/* The modified Bessel function of order 0, by its series. */
static double bessel_i0(double x)
{
    double sum = 1, term = 1;
    for (int k = 1; k < 30; k++) {
        term *= x / 2 / k * (x / 2 / k);
        sum += term;
    }
    return sum;
}

void csm_mark_rate_init(struct rate *rate, size_t factor)
{
    memset(rate, 0, sizeof *rate);
    rate->factor = factor;
    const size_t n = N_SPAN * factor;
    double taps[N_SPAN * MAX_FACTOR + 1], sum = 0;
    for (size_t i = 0; i <= n; i++) {
        const double t = (double)i - (double)n / 2, x = 2 * t / (double)n;
        const double turn = 2 * PI * CUTOFF_HZ / CHIP_HZ / (double)factor * t;
        taps[i] = (t == 0 ? 1 : sin(turn) / turn) * bessel_i0(KAISER_BETA * sqrt(1 - x * x));
        sum += taps[i];
    }
    for (size_t i = 0; i <= n; i++) {
        const size_t at = n + factor - 1 - i;
        rate->taps[i] = (float)(taps[i] / sum);
        rate->up_taps[i % factor][i / factor] = rate->taps[i] * (float)factor;
        rate->down_terms[i] = rate->down[at % factor] + at / factor;
    }
    for (size_t k = 0; k <= N_SPAN; k++)
        rate->up_terms[k] = rate->up + N_SPAN - k;
}

void csm_mark_rate_down(struct rate *rate, const float *samples, float out[N_STEP])
{
    const size_t l = rate->factor;
    for (size_t p = 0; p < l; p++)
        for (size_t t = 0; t < N_STEP; t++)
            rate->down[p][N_SPAN + t] = samples[t * l + p];
    csm_mark_sums()->terms(out, rate->down_terms, rate->taps, N_SPAN * l + 1);
    for (size_t p = 0; p < l; p++)
        memmove(rate->down[p], rate->down[p] + N_STEP, N_SPAN * sizeof(float));
}

void csm_mark_rate_up(struct rate *rate, const float in[N_STEP], float phases[][N_STEP])
{
    memcpy(rate->up + N_SPAN, in, N_STEP * sizeof *in);
    for (size_t p = 0; p < rate->factor; p++)
        csm_mark_sums()->terms(phases[p], rate->up_terms, rate->up_taps[p], N_SPAN + (p == 0));
    memmove(rate->up, rate->up + N_STEP, N_SPAN * sizeof *rate->up);
}
