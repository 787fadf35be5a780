/* SPDX-License-Identifier: Apache-2.0
 *
 * series.h - rows of numbers that reports draw, so that the terminal's sparklines
 * and the page's pictures show the same. */
#ifndef CSM_ANALYSIS_SERIES_H
#define CSM_ANALYSIS_SERIES_H

#include <csm/analysis.h>

/* Shares of codes of codebook k (n_codebooks: of all) in n_bins equal parts of
 * [0, vocab); what is out of range counts in the nearest. */
void csm_series_histogram(const csm_tokens *tokens, size_t vocab, size_t k, size_t n_bins,
                          double *bins);

/* A map of frames (columns, n_bins of them) by codebooks (rows): bins[k * n_bins + i]
 * is the mean over the frames of part i, NaN where there is nothing.
 *   differing  share of codes that differ between a and b
 *   margins    log10 of the margin, of the smaller one if both are given (b may be NULL) */
void csm_series_differing(const csm_tokens *a, const csm_tokens *b, size_t n_codebooks,
                          size_t n_bins, double *bins);
void csm_series_margins(const csm_tokens *a, const csm_tokens *b, size_t n_codebooks,
                        size_t n_bins, double *bins);

/* Lowest and highest sample of each of n_bins equal parts of n_shown samples (the
 * longer stream's, so that two waveforms have one time axis); 0 beyond the end. */
void csm_series_waveform(const csm_tokens *tokens, size_t n_shown, size_t n_bins, float *lowest,
                         float *highest);

#endif
