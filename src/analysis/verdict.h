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

/* The same codes, moved by parts, by nine of ten codes and sixteen at least:
 *
 *   IN_TIME   each codebook by frames of its own: `codebook`, the first of them, is `by` frames
 *             later in b, the last one `by_last`
 *   IN_VALUE  each by codes of its own: b's are a's + `by`, of the last codebook + `by_last`
 *   FROM      b's frame f holds a's f - by from `frame` on, the first that differs
 *   TWICE, HALVED  b has each frame of a twice; every other one */
enum csm_code_move {
    CSM_NOT_MOVED,
    CSM_MOVED_IN_TIME,
    CSM_MOVED_IN_VALUE,
    CSM_MOVED_FROM,
    CSM_FRAMES_TWICE,
    CSM_FRAMES_HALVED
};
struct csm_code_moves {
    enum csm_code_move move;
    size_t codebook;
    long by, by_last;
    double agreement;
};
struct csm_code_moves csm_code_moves_find(const csm_tokens *a, const csm_tokens *b, size_t frame);

#endif
