/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict.h - why two streams differ. docs/ANALYZER.md states the rules. */
#ifndef CSM_ANALYSIS_VERDICT_H
#define CSM_ANALYSIS_VERDICT_H

#include <csm/analysis.h>

/* Fill what csm_two_sample_test left open in analysis->comparison. CSM_NO_MEMORY. */
csm_status csm_verdict_find(csm_analysis *analysis, const csm_analyze_options *options,
                            csm_error *err);

/* One array a shifted copy of the other? Of codes where at least nine of ten agree
 * so, and as they stand fewer than half do:
 *
 *   codebooks  b's codebook k holds a's k - codebooks
 *   frames     b's frame f holds a's f - frames
 *   codes      b's code is a's plus codes */
struct csm_code_shift {
    bool is_shifted;
    int codebooks, frames, codes;
    double agreement;
};
struct csm_code_shift csm_code_shift_find(const csm_tokens *a, const csm_tokens *b);

/* The same codes in other places, by the same shares:
 *
 *   is_exchanged  b's frames are a's codebooks
 *   is_permuted   n_moved codebooks of b hold other ones of a: `codebook`, the first of
 *                 them, a's codebook `source` */
struct csm_code_order {
    bool is_exchanged, is_permuted;
    size_t n_moved, codebook, source;
    double agreement;
};
struct csm_code_order csm_code_order_find(const csm_tokens *a, const csm_tokens *b);

#endif
