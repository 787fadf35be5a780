/* SPDX-License-Identifier: Apache-2.0 */
#include "analysis/series.h"

#include <math.h>
#include <string.h>

void csm_series_histogram(const csm_tokens *t, size_t vocab, size_t k, size_t n_bins, double *bins)
{
    memset(bins, 0, n_bins * sizeof *bins);
    size_t n = 0;
    for (size_t f = 0; f < t->n_frames; f++)
        for (size_t c = 0; c < t->n_codebooks; c++) {
            if (k < t->n_codebooks && c != k)
                continue;
            int32_t code = t->codes[f * t->n_codebooks + c];
            size_t value = code < 0 ? 0 : (size_t)code;
            size_t bin = (size_t)((double)value / (double)vocab * (double)n_bins);
            bins[bin < n_bins ? bin : n_bins - 1]++;
            n++;
        }
    for (size_t i = 0; n != 0 && i < n_bins; i++)
        bins[i] /= (double)n;
}

/* The frames of part i: never none, if there are any. */
static void part(size_t n_frames, size_t n_bins, size_t i, size_t *first, size_t *end)
{
    *first = n_frames * i / n_bins;
    *end = n_frames * (i + 1) / n_bins;
    if (*end == *first && *first < n_frames)
        *end = *first + 1;
}

void csm_series_differing(const csm_tokens *a, const csm_tokens *b, size_t n_codebooks,
                          size_t n_bins, double *bins)
{
    size_t n_frames = a->n_frames < b->n_frames ? a->n_frames : b->n_frames, first, end;
    for (size_t k = 0; k < n_codebooks; k++)
        for (size_t i = 0; i < n_bins; i++) {
            part(n_frames, n_bins, i, &first, &end);
            size_t n = 0;
            for (size_t f = first; f < end; f++)
                n += a->codes[f * a->n_codebooks + k] != b->codes[f * b->n_codebooks + k];
            bins[k * n_bins + i] = end > first ? (double)n / (double)(end - first) : NAN;
        }
}

static double margin_at(const csm_tokens *t, size_t f, size_t k)
{
    return t != NULL && t->margins != NULL && f < t->n_frames ? t->margins[f * t->n_codebooks + k]
                                                              : NAN;
}

void csm_series_margins(const csm_tokens *a, const csm_tokens *b, size_t n_codebooks,
                        size_t n_bins, double *bins)
{
    size_t n_frames = a->n_frames, first, end;
    if (b != NULL && b->n_frames < n_frames)
        n_frames = b->n_frames;
    for (size_t k = 0; k < n_codebooks; k++)
        for (size_t i = 0; i < n_bins; i++) {
            part(n_frames, n_bins, i, &first, &end);
            double sum = 0;
            size_t n = 0;
            for (size_t f = first; f < end; f++) {
                double margin = fmin(margin_at(a, f, k), margin_at(b, f, k)); /* fmin skips NaN */
                if (!(margin >= 0))
                    continue;
                sum += log10(margin < 1e-6 ? 1e-6 : margin > 1e3 ? 1e3 : margin);
                n++;
            }
            bins[k * n_bins + i] = n != 0 ? sum / (double)n : NAN;
        }
}

void csm_series_waveform(const csm_tokens *t, size_t n_shown, size_t n_bins, float *lowest,
                         float *highest)
{
    for (size_t i = 0; i < n_bins; i++) {
        size_t first = (size_t)((double)n_shown * (double)i / (double)n_bins);
        size_t end = (size_t)((double)n_shown * (double)(i + 1) / (double)n_bins);
        lowest[i] = highest[i] = 0;
        for (size_t s = first; s < end && s < t->n_samples; s++) {
            lowest[i] = t->samples[s] < lowest[i] ? t->samples[s] : lowest[i];
            highest[i] = t->samples[s] > highest[i] ? t->samples[s] : highest[i];
        }
    }
}
