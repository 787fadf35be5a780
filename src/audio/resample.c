/* SPDX-License-Identifier: Apache-2.0
 *
 * resample.c - csm_audio_resample.
 *
 * torchaudio's: with rates reduced to o (from) and n (to), base = 0.99 min(o, n),
 *   y[m n + i] = sum over j of k_i[j] x[m o + j]
 *   k_i[j]     = sinc(pi t) cos^2(pi t / 12) base / o,  t = (j / o - i / n) base
 * where |t| < 6 and 0 elsewhere. torchaudio lays all j in a table of n rows; here
 * a row holds only those that are not 0, so that odd rates need little memory. */
#include <csm/audio.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "audio/resample_stream.h"
#include "base/arithmetic.h"
#include "base/error.h"

enum { MAX_HZ = 768000 };
static const double ROLLOFF = 0.99;
static const double HALF_WIDTH = 6; /* zero crossings on each side */
static const double PI = 3.14159265358979323846;

static long greatest_common_divisor(long a, long b)
{
    while (b != 0) {
        long rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* The taps of phase i: from the returned j on, n_taps of them. */
static long fill_phase(double *taps, size_t n_taps, long i, long o, long n)
{
    const double base = ROLLOFF * (double)(o < n ? o : n);
    const double centre = (double)i / (double)n;
    const long first = (long)ceil((centre - HALF_WIDTH / base) * (double)o);
    for (size_t k = 0; k < n_taps; k++) {
        const double t = ((double)(first + (long)k) / (double)o - centre) * base;
        const double window = fabs(t) < HALF_WIDTH ? cos(PI * t / (2 * HALF_WIDTH)) : 0;
        const double sinc = t == 0 ? 1 : sin(PI * t) / (PI * t);
        taps[k] = sinc * window * window * base / (double)o;
    }
    return first;
}

static csm_status resample_torchaudio(const float *x, size_t n_x, int from_hz, int to_hz, float *y,
                                      size_t n_y, csm_error *err)
{
    const long divisor = greatest_common_divisor(from_hz, to_hz);
    const long o = from_hz / divisor, n = to_hz / divisor;
    const double base = ROLLOFF * (double)(o < n ? o : n);
    const size_t n_taps = (size_t)(2 * HALF_WIDTH * (double)o / base) + 2;
    const size_t n_phases = (size_t)n < n_y ? (size_t)n : n_y;
    double *taps = malloc(n_phases * n_taps * sizeof *taps);
    long *first = malloc(n_phases * sizeof *first);
    if (taps == NULL || first == NULL) {
        free(taps);
        free(first);
        return csm_fail(err, CSM_NO_MEMORY, "resampling %d to %d Hz: out of memory", from_hz,
                        to_hz);
    }
    for (size_t i = 0; i < n_phases; i++)
        first[i] = fill_phase(taps + i * n_taps, n_taps, (long)i, o, n);

    for (size_t at = 0; at < n_y; at++) {
        const size_t phase = at % (size_t)n;
        const double *k = taps + phase * n_taps;
        const long long begin = (long long)(at / (size_t)n) * o + first[phase];
        double sum = 0;
        for (size_t j = 0; j < n_taps; j++) {
            const long long source = begin + (long long)j;
            if (source >= 0 && source < (long long)n_x)
                sum += k[j] * (double)x[source];
        }
        y[at] = (float)sum;
    }
    free(taps);
    free(first);
    return CSM_OK;
}

static csm_status resample(csm_resampler resampler, const float *samples, size_t n_samples,
                           int from_hz, int to_hz, float **out, size_t *n_out, csm_error *err)
{
    if (from_hz < 1 || from_hz > MAX_HZ || to_hz < 1 || to_hz > MAX_HZ)
        return csm_fail(err, CSM_BAD_ARG, "resampling %d to %d Hz: expected 1 to %d Hz", from_hz,
                        to_hz, MAX_HZ);
    if (n_samples > SIZE_MAX / sizeof(float) / MAX_HZ / 2)
        return csm_fail(err, CSM_BAD_ARG, "resampling %zu samples: too many", n_samples);
    const size_t n = (n_samples * (size_t)to_hz + (size_t)from_hz - 1) / (size_t)from_hz;
    float *result = malloc((n + 1) * sizeof *result);
    if (result == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "resampling: %zu samples", n);
    csm_status status = CSM_OK;
    if (from_hz == to_hz)
        memcpy(result, samples, n * sizeof *result);
    else if (resampler == CSM_RESAMPLER_TORCHAUDIO)
        status = resample_torchaudio(samples, n_samples, from_hz, to_hz, result, n, err);
    else
        status = csm_resample_soxr(samples, n_samples, from_hz, to_hz, result, n, err);
    if (status != CSM_OK) {
        free(result);
        return status;
    }
    *out = result;
    *n_out = n;
    return CSM_OK;
}

csm_status csm_audio_resample(csm_resampler resampler, const float *samples, size_t n_samples,
                              int from_hz, int to_hz, float **out, size_t *n_out, csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin();
    const csm_status st = resample(resampler, samples, n_samples, from_hz, to_hz, out, n_out, err);
    csm_arithmetic_end(&host);
    return st;
}

uint64_t csm_resampled_count(uint64_t n, int from_hz, int to_hz)
{
    return (n * (uint64_t)to_hz + (uint64_t)from_hz - 1) / (uint64_t)from_hz;
}
