/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict_forced.c - two streams that were given one history: every draw of one is
 * comparable with that of the other, and one that differs explains itself. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/verdict_case.h"
#include "base/error.h"
#include "base/numbers.h"

/* What a stream went on with at frame f. */
static const int32_t *history_at(const csm_tokens *t, size_t f)
{
    return (f < t->n_forced ? t->forced : t->codes) + f * t->n_codebooks;
}

/* Frames from the first on that both went on with alike. */
static size_t count_shared(const csm_tokens *a, const csm_tokens *b)
{
    size_t most = a->n_frames < b->n_frames ? a->n_frames : b->n_frames, n = 0;
    if ((a->n_forced == 0 && b->n_forced == 0) || a->n_codebooks != b->n_codebooks)
        return 0;
    while (n < most &&
           memcmp(history_at(a, n), history_at(b, n), a->n_codebooks * sizeof *a->codes) == 0)
        n++;
    return n;
}

/* The two rows of a draw; false where a side has none. */
static bool read_rows(const csm_tokens *a, const csm_tokens *b, size_t frame, size_t codebook,
                      float *rows)
{
    return a->vocab == b->vocab && csm_tokens_logits(a, frame, codebook, rows) &&
           csm_tokens_logits(b, frame, codebook, rows + a->vocab);
}

csm_status csm_case_compare_forced(struct csm_case *c, csm_error *err)
{
    const csm_tokens *a = c->a, *b = c->b;
    csm_forced *out = &c->out->forced;
    *out = (csm_forced){.n_frames = count_shared(a, b), .logit_error = NAN};
    if (out->n_frames == 0)
        return CSM_OK;
    size_t columns = a->n_codebooks;
    out->n_draws = out->n_frames * columns;
    for (size_t i = 0; i < out->n_draws; i++)
        out->n_equal += a->codes[i] == b->codes[i];
    out->unequal = calloc(out->n_draws - out->n_equal + 1, sizeof *out->unequal);
    float *rows = malloc(2 * a->vocab * sizeof *rows + 1);
    if (out->unequal == NULL || rows == NULL) {
        free(rows);
        return csm_fail(err, CSM_NO_MEMORY, "comparison: out of memory");
    }
    for (size_t i = 0, n = 0; i < out->n_draws; i++) {
        size_t frame = i / columns, codebook = i % columns;
        double error = NAN;
        if (read_rows(a, b, frame, codebook, rows)) {
            error = csm_rows_compare(rows, rows + a->vocab, a->vocab).largest;
            out->logit_error = fmax(out->logit_error, error); /* not NaN if one is not */
        }
        if (a->codes[i] == b->codes[i])
            continue;
        double margin_a = csm_case_number(a->margins, a, frame, codebook);
        double margin_b = csm_case_number(b->margins, b, frame, codebook);
        double reach = 2 * error / csm_case_temperature(a, codebook);
        out->unequal[n++] =
            (csm_unequal_draw){frame,       codebook, a->codes[i],
                               b->codes[i], margin_a, margin_b,
                               error,       reach,    fmin(margin_a, margin_b) <= reach};
        out->n_close += out->unequal[n - 1].is_close;
    }
    free(rows);
    return CSM_OK;
}

bool csm_rule_forced(struct csm_case *c)
{
    const csm_forced *f = &c->out->forced;
    size_t n_unequal = f->n_draws - f->n_equal;
    /* With a first divergence among them; logits that differ by more are another rule's. */
    if (n_unequal == 0 || f->n_close != n_unequal || csm_case_logits_differ(&c->logits))
        return false;
    csm_case_decide(c, CSM_VERDICT_ROUNDING, "rounding", 0.99);
    csm_print(c->text,
            "Given one history, %zu of %zu draws are equal (%.4f %%), and each of the others was "
            "won by no more than the logits differ by there, which is rounding (at most %.3g). ",
            f->n_equal, f->n_draws, 100 * (double)f->n_equal / (double)f->n_draws, f->logit_error);
    return true;
}

bool csm_rule_beyond_reach(struct csm_case *c)
{
    const csm_forced *f = &c->out->forced;
    size_t n_unequal = f->n_draws - f->n_equal, i = 0;
    if (isnan(f->logit_error) || f->n_close == n_unequal)
        return false;
    while (f->unequal[i].is_close)
        i++;
    csm_case_decide(c, CSM_VERDICT_NOISE, "unknown", 0.7);
    csm_print(
        c->text,
        "Given one history, %zu of the %zu draws that differ were won by more than their logits "
        "explain, the first at frame %zu, codebook %zu: there the noise, or the sampler, is "
        "another. ",
        n_unequal - f->n_close, n_unequal, f->unequal[i].frame, f->unequal[i].codebook);
    return true;
}
