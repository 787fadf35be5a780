/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict_margins.c - margins and probabilities of the draws before the first that
 * differs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/verdict_case.h"
#include "base/error.h"
#include "base/numbers.h"

struct pairs { /* of the draws before the divergence */
    size_t n_margins, n_probs;
    double margin_median;    /* |difference| */
    double prob_median;      /* |difference of logarithms| */
    double prob_sign;        /* share of the more frequent sign */
    double prob_correlation; /* of log p in a, and its difference to b */
};

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static csm_status compare_pairs(const struct csm_case *c, struct pairs *out, csm_error *err)
{
    memset(out, 0, sizeof *out);
    const csm_tokens *a = c->a, *b = c->b;
    size_t columns = c->out->n_codebooks;
    double *values = malloc((c->until + 1) * sizeof *values);
    if (values == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "comparison: out of memory");
    for (size_t i = 0; i < c->until && a->margins != NULL && b->margins != NULL; i++) {
        double x = csm_case_number(a->margins, a, i / columns, i % columns);
        double y = csm_case_number(b->margins, b, i / columns, i % columns);
        if (isfinite(x) && isfinite(y))
            values[out->n_margins++] = fabs(x - y);
    }
    if (out->n_margins != 0) {
        qsort(values, out->n_margins, sizeof *values, ascending);
        out->margin_median = values[out->n_margins / 2];
    }
    double sx = 0, sy = 0, sxx = 0, syy = 0, sxy = 0;
    size_t n = 0, n_up = 0, n_down = 0;
    for (size_t i = 0; i < c->until && a->probs != NULL && b->probs != NULL; i++) {
        double p = csm_case_number(a->probs, a, i / columns, i % columns);
        double q = csm_case_number(b->probs, b, i / columns, i % columns);
        if (!(p > 0) || !(q > 0) || p > 2 || q > 2)
            continue;
        double x = log(p), y = log(q) - log(p);
        values[n++] = fabs(y);
        n_up += y > 0;
        n_down += y < 0;
        sx += x;
        sy += y;
        sxx += x * x;
        syy += y * y;
        sxy += x * y;
    }
    out->n_probs = n;
    if (n != 0) {
        qsort(values, n, sizeof *values, ascending);
        out->prob_median = values[n / 2];
        out->prob_sign = (double)(n_up > n_down ? n_up : n_down) / (double)n;
        double count = (double)n, vx = sxx - sx * sx / count, vy = syy - sy * sy / count;
        out->prob_correlation = vx > 0 && vy > 0 ? (sxy - sx * sy / count) / sqrt(vx * vy) : 0;
    }
    free(values);
    return CSM_OK;
}

/* True if exactly one side's probabilities all end where bf16 does. */
static bool have_other_grain(const csm_tokens *a, const csm_tokens *b)
{
    const csm_tokens *sides[2] = {a, b};
    bool is_bf16[2];
    for (size_t i = 0; i < 2; i++) {
        size_t n = sides[i]->n_frames * sides[i]->n_codebooks;
        is_bf16[i] = true;
        if (sides[i]->probs == NULL || n < 8)
            return false;
        for (size_t j = 0; j < n && is_bf16[i]; j++) {
            uint32_t bits;
            memcpy(&bits, &sides[i]->probs[j], sizeof bits);
            is_bf16[i] = (bits & 0xffff) == 0;
        }
    }
    return is_bf16[0] != is_bf16[1];
}

/* By how much rounding of that grain moves a race: five standard deviations. */
static double race_limit(enum csm_grain grain)
{
    return grain == CSM_GRAIN_BF16 ? 0.5 : grain == CSM_GRAIN_F16 ? 0.08 : 0.005;
}

enum {
    FEW = 4,  /* so many pairs make a median */
    MANY = 16 /* so many a correlation, or a share of signs */
};

/* Whether the races before were others, though the same codes won them: then why. */
static bool have_other_races(struct csm_case *c, const struct pairs *p, double limit)
{
    if (p->n_margins < FEW || !(p->margin_median > limit / 3))
        return false;
    if (p->n_probs >= FEW && p->prob_median <= limit / 5) {
        csm_case_decide(c, CSM_VERDICT_NOISE,
                        csm_case_metadata_differs(c, "seed")     ? "seed"
                        : csm_case_metadata_differs(c, "stream") ? "stream"
                                                                 : "stream_offset",
                        0.85);
        fputs("The probabilities agree: same logits, other noise. ", c->text);
    } else if (csm_rule_claims(c)) {
        return true;
    } else if (p->n_probs >= MANY && fabs(p->prob_correlation) > 0.6) {
        csm_case_decide(c, CSM_VERDICT_SAMPLER, "temperature", 0.7);
        fputs(p->prob_correlation > 0
                  ? "Probable codes are more probable in B and rare ones rarer: another temperature. "
                  : "Probable codes are less probable in B and rare ones less rare: another "
                    "temperature. ",
              c->text);
    } else {
        csm_case_decide(c, CSM_VERDICT_LOGITS,
                        csm_case_says_quantized(c) ? "quantization" : "unknown", 0.7);
        fputs("The races before were others although the same codes won them: the logits differ "
              "by more than rounding. ",
              c->text);
    }
    return true;
}

/* A race that rounding may turn, unless the weights of the two are not the same.
 *   needed      both margins together; NaN where one is not known
 *   margin_one  the one that is; NaN where both are, or none */
static void decide_close(struct csm_case *c, const struct pairs *p, double needed, double margin_one)
{
    const csm_divergence *d = &c->out->first;
    if (csm_case_says_quantized(c)) {
        csm_case_decide(c, CSM_VERDICT_LOGITS, "quantization", 0.8);
        fputs("A close race, and by the files' own word the weights are quantized differently: "
              "that moves logits by more than rounding. ",
              c->text);
        return;
    }
    csm_case_decide(c, CSM_VERDICT_ROUNDING, "rounding", p->n_margins >= FEW ? 0.9 : 0.7);
    csm_print(c->text, "This draw was won by %.3g in %s", isnan(needed) ? margin_one : d->margin_a,
              isnan(needed) && isnan(d->margin_a) ? "B" : "A");
    if (!isnan(needed))
        csm_print(c->text, " and by %.3g in B", d->margin_b);
    fputs(": a race so close turns on rounding. ", c->text);
}

static bool decide(struct csm_case *c, const struct pairs *p)
{
    const csm_divergence *d = &c->out->first;
    const double limit = race_limit(csm_case_grain(c));
    const double needed = d->margin_a + d->margin_b; /* what lets B win by its margin where A did */
    const double margin_one = !isnan(needed) ? NAN : isnan(d->margin_a) ? d->margin_b : d->margin_a;
    if (isnan(needed) && isnan(margin_one) && p->n_margins == 0 && p->n_probs < FEW)
        return false;
    if (p->n_margins >= FEW)
        csm_print(c->text, "Margins of the %zu draws before differ by %.2g (median). ", p->n_margins,
                  p->margin_median);

    if (have_other_grain(c->a, c->b)) {
        csm_case_decide(c, CSM_VERDICT_SAMPLER, "dtype", 0.9);
        fputs("The probabilities of one side are bf16 numbers, of the other float32: the softmax "
              "has another dtype. ",
              c->text);
        return true;
    }
    if (have_other_races(c, p, limit))
        return true;
    if (p->n_margins >= FEW && p->n_probs >= MANY && p->prob_sign >= 0.9 &&
        p->margin_median <= 1e-3 && p->prob_median > 5e-4) {
        csm_case_decide(c, CSM_VERDICT_SAMPLER, "top_k", 0.85);
        fputs("The margins agree while all probabilities are shifted one way: another top-k. ",
              c->text);
        return true;
    }
    if (needed <= limit || margin_one <= limit / 2) {
        decide_close(c, p, needed, margin_one);
        return true;
    }
    if (csm_rule_claims(c))
        return true;
    if (csm_case_is_ending(c) && !isnan(margin_one)) {
        csm_case_decide_ending(c);
        return true;
    }
    if (isnan(needed) || p->n_margins < FEW)
        return false;
    const bool is_same_noise = csm_case_is_same_noise(c);
    if (is_same_noise)
        csm_case_decide(c, CSM_VERDICT_LOGITS, "unknown", 0.5);
    else
        csm_case_decide(c, CSM_VERDICT_NOISE, "stream_offset", 0.5);
    csm_print(c->text,
              "Up to here the races agree, and then one with margins %.3g and %.3g turns: the "
              "%s, or a mask differs (top-k). Logits on both sides would tell. ",
              d->margin_a, d->margin_b,
              is_same_noise ? "noise is that of both all along, so the logits part here (cache, "
                              "positions, how codes go back)"
                            : "stream slips");
    return true;
}

csm_status csm_rule_margins(struct csm_case *c, bool *is_decided, csm_error *err)
{
    struct pairs pairs;
    csm_status status = compare_pairs(c, &pairs, err);
    *is_decided = status == CSM_OK && decide(c, &pairs);
    return status;
}
