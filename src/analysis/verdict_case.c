/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict_case.c - what every rule asks of a case: its first divergence, what its files
 * say, and words. */
#include "analysis/verdict_case.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/numbers.h"
#include "analysis/escape.h"
#include "analysis/stream_stats.h"

void csm_case_decide(struct csm_case *c, csm_verdict verdict, const char *cause, double confidence)
{
    c->out->verdict = verdict;
    c->out->cause = cause;
    c->out->confidence = confidence;
}

/* ---- the first divergence ------------------------------------------------------------- */

double csm_case_number(const float *values, const csm_tokens *t, size_t frame, size_t codebook)
{
    return values != NULL && frame < t->n_frames ? (double)values[frame * t->n_codebooks + codebook]
                                                 : NAN;
}

static bool has_ended_early(const struct csm_case *c)
{
    const csm_tokens *shorter = c->a->n_frames < c->b->n_frames ? c->a : c->b;
    const csm_stream_stats *stats = &c->analysis->stats[shorter == c->b];
    return c->a->n_frames != c->b->n_frames && stats->ended != CSM_ENDED_BY_LIMIT;
}

bool csm_case_keeps_end(const struct csm_case *c)
{
    const csm_tokens *longer = c->a->n_frames > c->b->n_frames ? c->a : c->b;
    const size_t n = c->out->n_frames * longer->n_codebooks, n_all = longer->n_frames * longer->n_codebooks;
    bool is_zero = n > 0 && n_all > n;
    for (size_t i = n; i < n_all && is_zero; i++)
        is_zero = longer->codes[i] == 0;
    return is_zero;
}

/* The logits of the two candidates; NaN where there are none. */
static double lead(const csm_tokens *t, const csm_divergence *d, float *row)
{
    if (d->code_a < 0 || d->code_b < 0 || (size_t)d->code_a >= t->vocab ||
        (size_t)d->code_b >= t->vocab || row == NULL ||
        !csm_tokens_logits(t, d->frame, d->codebook, row))
        return NAN;
    return (double)row[d->code_a] - row[d->code_b];
}

double csm_case_temperature(const csm_tokens *t, size_t codebook)
{
    double first = csm_tokens_number(t, "temperature", 0.9);
    double value = codebook == 0 ? first : csm_tokens_number(t, "depth_temperature", first);
    return value > 0 ? value : 1;
}

void csm_case_diverge(struct csm_case *c)
{
    const csm_tokens *a = c->a, *b = c->b;
    csm_divergence *d = &c->out->first;
    *d = (csm_divergence){.margin_a = NAN,
                          .margin_b = NAN,
                          .prob_a = NAN,
                          .prob_b = NAN,
                          .lead_a = NAN,
                          .lead_b = NAN,
                          .shift = NAN};
    size_t columns = c->out->n_codebooks;
    for (size_t f = 0; f < c->out->n_frames && !d->exists; f++)
        for (size_t k = 0; k < columns && !d->exists; k++)
            if (a->codes[f * a->n_codebooks + k] != b->codes[f * b->n_codebooks + k]) {
                *d = (csm_divergence){.exists = true, .frame = f, .codebook = k};
                d->code_a = a->codes[f * a->n_codebooks + k];
                d->code_b = b->codes[f * b->n_codebooks + k];
            }
    if (!d->exists && has_ended_early(c) && !csm_case_keeps_end(c)) { /* one drew the frame that ends speech */
        size_t f = c->out->n_frames;
        *d = (csm_divergence){.exists = true, .frame = f};
        d->code_a = f < a->n_frames ? a->codes[f * a->n_codebooks] : -1;
        d->code_b = f < b->n_frames ? b->codes[f * b->n_codebooks] : -1;
    }
    c->until = d->exists ? d->frame * columns + d->codebook : c->out->n_frames * columns;
    d->n_equal = c->until;
    d->margin_a = csm_case_number(a->margins, a, d->frame, d->codebook);
    d->margin_b = csm_case_number(b->margins, b, d->frame, d->codebook);
    d->prob_a = csm_case_number(a->probs, a, d->frame, d->codebook);
    d->prob_b = csm_case_number(b->probs, b, d->frame, d->codebook);
    size_t vocab = a->vocab > b->vocab ? a->vocab : b->vocab;
    float *row = malloc(vocab * sizeof *row + 1);
    d->lead_a = d->exists ? lead(a, d, row) : NAN;
    d->lead_b = d->exists ? lead(b, d, row) : NAN;
    d->shift = fabs(d->lead_a - d->lead_b) / csm_case_temperature(a, d->codebook);
    free(row);
}

/* ---- words ---------------------------------------------------------------------------- */

static const char *part_name(size_t codebook)
{
    return codebook == 0 ? "the backbone's draw" : "a draw of the depth decoder";
}

void csm_case_tell_place(struct csm_case *c)
{
    const csm_divergence *d = &c->out->first;
    const bool a_ended = d->frame >= c->a->n_frames, b_ended = d->frame >= c->b->n_frames;
    if (a_ended || b_ended)
        csm_print(c->text, "Equal for %zu frames, then %s ended its speech and %s went on. ",
                d->frame, a_ended ? "A" : "B", a_ended ? "B" : "A");
    else
        csm_print(c->text,
                "First difference at frame %zu, codebook %zu (%s), after %zu equal draws: "
                "A has %" PRId32 ", B has %" PRId32 ". ",
                d->frame, d->codebook, part_name(d->codebook), d->n_equal, d->code_a, d->code_b);
}

void csm_case_quote(const struct csm_case *c, const char *text)
{
    size_t n = csm_escape_cut(text, 60);
    for (size_t i = 0; i < n; i++)
        fputc((unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i], c->text);
}

/* ---- what the files say --------------------------------------------------------------- */

bool csm_case_metadata_differs(const struct csm_case *c, const char *key)
{
    const char *a = csm_tokens_metadata(c->a, key), *b = csm_tokens_metadata(c->b, key);
    return a != NULL && b != NULL && strcmp(a, b) != 0;
}

const char *csm_case_claim(const csm_tokens *t, const char *key, const char *absent)
{
    const char *value = csm_tokens_metadata(t, key);
    return value != NULL ? value : absent;
}

bool csm_case_claim_differs(const struct csm_case *c, const char *key, const char *absent)
{
    const char *a = csm_case_claim(c->a, key, absent), *b = csm_case_claim(c->b, key, absent);
    if (a == NULL || b == NULL || strcmp(a, b) == 0)
        return false;
    const double off = absent != NULL && absent[0] <= '9' ? absent[0] - '0' : NAN; /* a digit */
    const double na = csm_tokens_number(c->a, key, off), nb = csm_tokens_number(c->b, key, off);
    return isnan(na) || isnan(nb) || na != nb;
}

bool csm_case_setting_differs(const struct csm_case *c, const char *key)
{
    return csm_case_claim_differs(c, key, NULL);
}

const char *csm_case_precision(const csm_tokens *t)
{
    const char *precision = csm_tokens_metadata(t, "precision");
    return precision != NULL ? precision : csm_tokens_metadata(t, "dtype");
}

static bool is_quantized(const char *precision)
{
    return precision != NULL && (precision[0] == 'q' || strstr(precision, "bit") != NULL ||
                                 strncmp(precision, "int", 3) == 0);
}

bool csm_case_says_quantized(const struct csm_case *c)
{
    const char *a = csm_case_precision(c->a), *b = csm_case_precision(c->b);
    return a != NULL && b != NULL &&
           (is_quantized(a) != is_quantized(b) || (is_quantized(a) && strcmp(a, b) != 0));
}

enum csm_grain csm_case_grain(const struct csm_case *c)
{
    enum csm_grain grain = CSM_GRAIN_F32;
    const csm_tokens *sides[2] = {c->a, c->b};
    for (size_t i = 0; i < 2; i++) {
        const char *name = csm_case_precision(sides[i]);
        if (name == NULL || strncasecmp(name, "bf", 2) == 0 || is_quantized(name) ||
            strcmp(name, "stored") == 0)
            return CSM_GRAIN_BF16;
        if (strcasecmp(name, "f16") == 0 || strcasecmp(name, "float16") == 0)
            grain = CSM_GRAIN_F16;
    }
    return grain;
}
