/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "analysis/stream_stats.h"
#include "analysis/two_sample.h"
#include "analysis/verdict.h"
#include "base/arithmetic.h"
#include "base/error.h"

static csm_status analyze(const csm_tokens *a, const csm_tokens *b,
                          const csm_analyze_options *options, csm_analysis **out, csm_error *err)
{
    const csm_analyze_options defaults = {0};
    if (options == NULL)
        options = &defaults;
    csm_analysis *analysis = calloc(1, sizeof *analysis);
    if (analysis == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "analysis: out of memory");
    analysis->a = a;
    analysis->b = b;
    csm_status status = csm_stream_stats_make(a, options, &analysis->stats[0], err);
    if (status == CSM_OK && b != NULL) {
        if ((status = csm_stream_stats_make(b, options, &analysis->stats[1], err)) == CSM_OK &&
            (status = csm_two_sample_test(a, b, options->seed, &analysis->comparison, err)) ==
                CSM_OK)
            status = csm_verdict_find(analysis, options, err);
    }
    if (status != CSM_OK) {
        csm_analysis_close(analysis);
        return status;
    }
    *out = analysis;
    return CSM_OK;
}

csm_status csm_analyze_distributions(const csm_tokens *a, const csm_tokens *b,
                                     const csm_analyze_options *options, csm_analysis **out,
                                     csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin();
    const csm_status st = analyze(a, b, options, out, err);
    csm_arithmetic_end(&host);
    return st;
}

void csm_analysis_close(csm_analysis *analysis)
{
    if (analysis == NULL)
        return;
    free((char *)analysis->comparison.explanation);
    free(analysis->comparison.codebooks);
    free(analysis->comparison.forced.unequal);
    csm_stream_stats_free(&analysis->stats[0]);
    csm_stream_stats_free(&analysis->stats[1]);
    free(analysis);
}
