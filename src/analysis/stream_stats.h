/* SPDX-License-Identifier: Apache-2.0
 *
 * stream_stats.h - statistics of one stream. */
#ifndef CSM_ANALYSIS_STREAM_STATS_H
#define CSM_ANALYSIS_STREAM_STATS_H

#include <csm/analysis.h>

/* Fill *stats (to be emptied with csm_stream_stats_free, also after a failure).
 * CSM_BAD_ARG; CSM_NO_MEMORY. */
csm_status csm_stream_stats_make(const csm_tokens *tokens, const csm_analyze_options *options,
                                 csm_stream_stats *stats, csm_error *err);
void csm_stream_stats_free(csm_stream_stats *stats);

/* The logits' health. `health->rows` is to be freed. */
csm_status csm_health_check(const csm_tokens *tokens, csm_health *health, csm_error *err);

/* Temperature and rank of the draws of codebook 0 (fit[0]) and of the others. */
csm_status csm_sampler_fit_make(const csm_tokens *tokens, csm_sampler_fit fit[2], csm_error *err);

/* A number of the metadata; `missing` if it is absent or no number. */
double csm_tokens_number(const csm_tokens *tokens, const char *key, double missing);

#endif
