/* SPDX-License-Identifier: Apache-2.0
 *
 * two_sample.h - do two streams come from one distribution? */
#ifndef CSM_ANALYSIS_TWO_SAMPLE_H
#define CSM_ANALYSIS_TWO_SAMPLE_H

#include <csm/analysis.h>

/* Fill all, codebooks, n_codebooks, n_permutations, block_frames, is_alike,
 * detectable and frames_needed of *out; `codebooks` is to be freed. All frames of
 * both streams count; of the codebooks those that both have. CSM_NO_MEMORY. */
csm_status csm_two_sample_test(const csm_tokens *a, const csm_tokens *b, uint64_t seed,
                               csm_comparison *out, csm_error *err);

#endif
