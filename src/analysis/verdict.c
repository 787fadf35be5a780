/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict.c - from evidence to a verdict, the strongest evidence first: the rules of
 * docs/ANALYZER.md in their order, one file for each kind of evidence. */
#include "analysis/verdict.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/verdict_case.h"
#include "base/error.h"
#include "base/numbers.h"

const char *csm_verdict_name(csm_verdict verdict)
{
    static const char *const names[] = {"same", "rounding", "noise", "logits", "sampler"};
    return (size_t)verdict < sizeof names / sizeof *names ? names[verdict] : "?";
}

static csm_status deliberate(struct csm_case *c, csm_error *err)
{
    if (c->a->n_codebooks != c->b->n_codebooks)
        csm_print(c->text, "A has %zu codebooks, B has %zu: those that both have are compared. ",
                  c->a->n_codebooks, c->b->n_codebooks);
    if (!c->out->first.exists) {
        csm_case_decide(c, CSM_VERDICT_SAME, "none", 1);
        csm_print(c->text, "All %zu codes of %zu frames are equal. ",
                c->out->n_frames * c->out->n_codebooks, c->out->n_frames);
        if (csm_case_keeps_end(c))
            csm_print(c->text, "%s keeps the frame of zeros that ends speech. ",
                      c->a->n_frames < c->b->n_frames ? "B" : "A");
        else if (c->a->n_frames != c->b->n_frames)
            csm_print(c->text, "%s was cut by its length limit there. ",
                    c->a->n_frames < c->b->n_frames ? "A" : "B");
        if (csm_case_logits_differ(&c->logits))
            csm_print(c->text, "The logits differ by %.2g of their spread all the same. ",
                    c->logits.relative);
        return CSM_OK;
    }
    csm_case_tell_place(c);
    if (csm_rule_shift(c) || csm_rule_order(c) || csm_rule_moves(c) || csm_rule_vocabulary(c) ||
        csm_rule_forced(c) || csm_rule_logits(c) || csm_rule_replay(c) || csm_rule_beyond_reach(c) ||
        csm_rule_close_race(c))
        return CSM_OK;
    if (c->logits.is_known && (csm_rule_likelihood(c) || csm_rule_same_noise(c)))
        return CSM_OK;
    if (c->logits.is_known)
        fputs("The logits agree. ", c->text);
    /* Two texts are two prompts: what margins and noise would say of them is of no use. */
    if (!c->logits.is_known && csm_case_says_prompt(c) && csm_rule_claims(c))
        return CSM_OK;
    /* settings that differ by the files' word count for more than noise that does too */
    static const char *const settings[] = {"temperature", "topk", "depth_temperature",
                                           "depth_topk"};
    bool says_sampler = false;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        says_sampler = says_sampler || csm_case_setting_differs(c, settings[i]);
    if (!says_sampler && csm_rule_noise(c))
        return CSM_OK;
    bool is_decided;
    csm_status status = csm_rule_margins(c, &is_decided, err);
    if (status != CSM_OK || is_decided || csm_rule_claims(c))
        return status;
    if (c->logits.is_known) {
        bool is_one = c->explained[0].is_explained != c->explained[1].is_explained;
        csm_case_decide(c, CSM_VERDICT_NOISE, is_one ? "seed" : "unknown", 0.6);
        if (is_one)
            csm_print(c->text,
                    "Drawn again from their logits, %s's codes come out and %s's do not, under "
                    "no setting, offset or seed tried: most likely another seed, else noise that is "
                    "drawn in another way. ",
                    c->explained[0].is_explained ? "A" : "B",
                    c->explained[0].is_explained ? "B" : "A");
        else
            fputs("The draws come from other noise: a stream or seed that the files do not "
                  "name. ",
                  c->text);
        return CSM_OK;
    }
    csm_rule_codes(c);
    return CSM_OK;
}

csm_status csm_verdict_find(csm_analysis *analysis, const csm_analyze_options *options,
                            csm_error *err)
{
    csm_comparison *out = &analysis->comparison;
    struct csm_case c = {.a = analysis->a, .b = analysis->b, .analysis = analysis, .out = out};
    char *text = NULL;
    size_t size = 0;
    out->logit_error = out->logit_relative = NAN;
    csm_case_diverge(&c);

    csm_status status = csm_case_compare_forced(&c, err);
    if (status != CSM_OK)
        return status;
    /* With logits on both sides, rows up to the divergence are comparable, and those of
     * a history that both were given. */
    size_t n_rows = c.until + (out->first.exists && out->first.frame < out->n_frames);
    n_rows = out->forced.n_draws > n_rows ? out->forced.n_draws : n_rows;
    if ((status = csm_logits_compare(c.a, c.b, n_rows, &c.logits, err)) != CSM_OK)
        return status;
    if (c.logits.is_known) {
        out->logit_error = c.logits.largest;
        out->logit_relative = c.logits.relative;
        out->n_logit_rows = c.logits.n_rows;
    }
    if (out->n_codebooks == c.a->n_codebooks && out->n_codebooks == c.b->n_codebooks) {
        enum csm_grain grain = c.logits.is_known ? (c.logits.limit > 0.02    ? CSM_GRAIN_BF16
                                                    : c.logits.limit > 0.001 ? CSM_GRAIN_F16
                                                                             : CSM_GRAIN_F32)
                                                 : csm_case_grain(&c);
        size_t until = c.until != 0 && !out->first.exists ? c.until - 1 : c.until;
        csm_hidden_compare(c.a, c.b, until, &c.logits, grain, &c.hidden);
    }
    bool has_logits = c.a->logits.data != NULL || c.b->logits.data != NULL;
    bool has_margins = c.a->margins != NULL && c.b->margins != NULL;
    out->evidence = c.hidden.is_known ? "codes+logits+hidden"
                    : has_logits      ? "codes+logits"
                    : has_margins     ? "codes+margins"
                                      : "codes";
    if ((status = csm_case_replay(&c, options, err)) != CSM_OK)
        return status;

    if ((status = csm_case_find_noise(&c, options, err)) != CSM_OK)
        return status;

    if ((c.text = open_memstream(&text, &size)) == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "comparison: out of memory");
    status = deliberate(&c, err);
    if (status == CSM_OK && out->verdict == CSM_VERDICT_ROUNDING)
        csm_case_name_bits(&c);
    if (fclose(c.text) != 0 && status == CSM_OK)
        status = csm_fail(err, CSM_NO_MEMORY, "comparison: out of memory");
    if (status != CSM_OK) {
        free(text);
        return status;
    }
    while (size > 0 && text[size - 1] == ' ')
        text[--size] = '\0';
    out->explanation = text;
    out->holds = out->verdict == CSM_VERDICT_SAME || out->verdict == CSM_VERDICT_ROUNDING;
    return CSM_OK;
}
