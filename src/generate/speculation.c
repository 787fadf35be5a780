/* SPDX-License-Identifier: Apache-2.0
 *
 * How many codes are guessed before they are confirmed follows from what guesses and
 * confirmations have taken and how many were right: with a share p of right ones, m guesses
 * settle 1 + p + ... + p^m codes on average. */
#include "generate/speculation.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"

enum {
    MOST_GUESSES = 15,
    FIRST_GUESSES = 4, /* where nothing is known yet */
    TRY_AGAIN = 64,    /* frames, where guessing did not pay */
    LEAST_BYTES = 32 << 20 /* of the depth decoder's layers: fewer stay in a cache */
};

/* ---- open and close ------------------------------------------------------------------ */

/* Bytes of a matrix's value as it is multiplied; 0: it is no float. */
static size_t value_bytes(const struct csm_host *host, const csm_checkpoint *checkpoint)
{
    struct csm_weight_source source;
    csm_error err;
    if (csm_checkpoint_find(checkpoint, CSM_DEPTH, CSM_ROLE_UP, 0, &source, &err) != CSM_OK ||
        source.format != CSM_WEIGHT_FLOAT)
        return 0;
    switch (host->precision) {
    case CSM_PRECISION_STORED: return csm_dtype_size(source.tensor.dtype);
    case CSM_PRECISION_F32: return 4;
    case CSM_PRECISION_BF16:
    case CSM_PRECISION_F16: return 2;
    default: return 0;
    }
}

static bool is_possible(const struct csm_host *host, const csm_checkpoint *checkpoint)
{
    return host->traits->independent_rows && host->traits->lanes && !host->traits->whole_frame &&
           csm_checkpoint_config(checkpoint)->n_codebooks > 2 && value_bytes(host, checkpoint) > 0;
}

static bool can_pay(const struct csm_host *host, const csm_checkpoint *checkpoint)
{
    const struct csm_transformer_config *d = &csm_checkpoint_config(checkpoint)->depth;
    const size_t of_heads = 2 * (d->n_heads + d->n_kv_heads) * d->head_dim;
    return d->n_layers * d->width * (of_heads + 3 * d->hidden) * value_bytes(host, checkpoint) >=
           LEAST_BYTES;
}

csm_status csm_speculation_open(struct csm_host *host, const csm_checkpoint *checkpoint,
                                bool is_wanted, csm_error *err)
{
    if (!is_possible(host, checkpoint))
        return !is_wanted ? CSM_OK
                          : csm_fail(err, CSM_BAD_ARG,
                                     "speculation: not with this model on engine %s, expected "
                                     "float matrices (f32, bf16, f16) on native",
                                     host->engine.ops->name);
    if (!is_wanted && !can_pay(host, checkpoint))
        return CSM_OK;
    const size_t n = host->language.n_codebooks;
    struct csm_speculation *s = calloc(1, sizeof *s);
    if (s == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "speculation: no memory");
    s->is_wanted = is_wanted;
    s->share = 0.8;
    s->logits = malloc(n * host->language.vocab * sizeof *s->logits);
    s->codes = malloc(n * sizeof *s->codes);
    csm_status st = s->logits != NULL && s->codes != NULL
                        ? csm_draft_open(&host->language, &s->draft, err)
                        : csm_fail(err, CSM_NO_MEMORY, "speculation: %zu codes", n);
    if (st == CSM_OK)
        host->speculation = s;
    else
        csm_speculation_close(s);
    return st;
}

void csm_speculation_close(struct csm_speculation *s)
{
    if (s == NULL)
        return;
    csm_draft_close(&s->draft);
    free(s->logits);
    free(s->codes);
    free(s);
}

bool csm_speculation_fits(const struct csm_host *host, const csm_generation *g)
{
    return host->speculation != NULL && g->observe == NULL;
}

/* ---- how many ---------------------------------------------------------------------------- */

static void learn(double *mean, double value)
{
    *mean = *mean == 0 ? value : *mean + 0.1 * (value - *mean);
}

/* The number of guesses that settles most codes a millisecond. */
static size_t best_number(const struct csm_speculation *s, size_t most)
{
    size_t best = 0;
    double best_rate = 0, settled = 0, power = 1;
    for (size_t m = 0; m <= most; m++) {
        settled += power;
        power *= s->share;
        const double rate = settled / ((double)m * (s->guess_ms + s->more_ms) + s->one_ms);
        if (rate > best_rate) {
            best_rate = rate;
            best = m;
        }
    }
    return best;
}

static size_t number_of_guesses(const struct csm_speculation *s)
{
    if (s->n_frames == 0)
        return 0; /* what a code takes without */
    if (s->n_frames == 1)
        return FIRST_GUESSES;
    const size_t best = best_number(s, MOST_GUESSES);
    return best == 0 && (s->is_wanted || s->n_frames % TRY_AGAIN == 0) ? FIRST_GUESSES : best;
}

/* ---- a frame ------------------------------------------------------------------------------- */

/* A frame at work: its codes as far as they are settled or guessed. */
struct frame {
    struct csm_host *host;
    csm_generation *g;
    const int32_t *forced; /* or NULL */
    float *rows;
    size_t at; /* the draft has read what stands before code `at` */
};

/* Of the benchmark, whose codes are forced: right as often as was asked for. */
static int32_t pretend(const struct frame *f, size_t k)
{
    const uint64_t x = (f->g->n_drawn * 64 + k + 1) * 0x9e3779b97f4a7c15u;
    const bool is_right = (double)(x >> 40) < f->g->pretended_share * (double)(1 << 24);
    return is_right ? f->forced[k] : f->forced[k] != 0 ? 0 : 1;
}

/* Codes that are forced need no guess. */
static bool is_known(const struct frame *f)
{
    return f->forced != NULL && f->g->pretended_share == 0;
}

/* Codes k..k+n-1 as the draft would draw them. */
static csm_status guess(struct frame *f, size_t k, size_t n, csm_error *err)
{
    csm_generation *g = f->g;
    struct csm_speculation *s = f->host->speculation;
    if (is_known(f))
        memcpy(s->codes + k, f->forced + k, n * sizeof *s->codes);
    if (is_known(f) || n == 0)
        return CSM_OK;
    const double start = csm_now_ms();
    csm_status st = csm_drawing_guess_from_here(g, err);
    for (size_t i = k; st == CSM_OK && i < k + n; i++) {
        st = csm_pass_codes(&s->draft.pass, &g->sequence, f->at, i + 1 - f->at, s->codes + f->at - 1, 1,
                            s->logits, err);
        f->at = i + 1;
        if (st == CSM_OK)
            st = csm_drawing_guess(g, s->logits, f->rows, &s->codes[i], err);
        if (st == CSM_OK && g->pretended_share > 0)
            s->codes[i] = pretend(f, i);
    }
    learn(&s->guess_ms, (csm_now_ms() - start) / (double)n);
    return st;
}

/* Codes k..k+n of the true weights' logits, up to the first that is not as guessed; gives
 * how many are settled. */
static csm_status confirm(struct frame *f, size_t k, size_t n, size_t *n_settled, csm_error *err)
{
    csm_generation *g = f->g;
    struct csm_speculation *s = f->host->speculation;
    const size_t vocab = f->host->language.vocab;
    struct csm_slot *slot = csm_drawing_slot(g);
    const double start = csm_now_ms();
    csm_status st = csm_pass_codes(&f->host->pass, &g->sequence, k, n + 1, s->codes + k - 1, n + 1,
                                   s->logits, err);
    const double took = csm_now_ms() - start;
    bool is_right = true;
    *n_settled = 0;
    for (size_t i = k; st == CSM_OK && is_right && i <= k + n; i++) {
        st = csm_drawing_draw(g, slot, i, s->logits + (i - k) * vocab, f->rows, NULL, err);
        g->fed[i] = f->forced != NULL ? f->forced[i] : slot->codes[i];
        is_right = i == k + n || g->fed[i] == s->codes[i];
        s->codes[i] = g->fed[i];
        ++*n_settled;
        if (!is_right && f->at > i + 1)
            f->at = i + 1;
        if (i < k + n && !is_known(f)) {
            g->work.n_guessed++;
            g->work.n_confirmed += is_right;
            s->share += 0.02 * (is_right - s->share);
        }
    }
    g->work.draw_ms += csm_now_ms() - start - took;
    if (n == 0)
        learn(&s->one_ms, took);
    else
        learn(&s->more_ms, took > s->one_ms ? (took - s->one_ms) / (double)n : 0);
    return st;
}

void csm_speculation_draw(struct csm_host *host, csm_generation *g, float *rows)
{
    struct csm_speculation *s = host->speculation;
    const size_t n_codebooks = host->language.n_codebooks;
    struct frame f = {
        .host = host, .g = g, .forced = csm_drawing_forced(g), .rows = rows, .at = 1};
    const size_t most = is_known(&f) ? MOST_GUESSES : number_of_guesses(s);
    csm_error err;
    csm_status st = CSM_OK;
    const double start = csm_now_ms(), drawn = g->work.draw_ms;
    s->codes[0] = g->fed[0];
    for (size_t k = 1, n_settled; st == CSM_OK && k < n_codebooks; k += n_settled) {
        const size_t left = n_codebooks - 1 - k, n = left < most ? left : most;
        n_settled = 0;
        st = guess(&f, k, n, &err);
        if (st == CSM_OK)
            st = confirm(&f, k, n, &n_settled, &err);
    }
    s->n_frames += !is_known(&f);
    g->work.depth_ms += csm_now_ms() - start - (g->work.draw_ms - drawn);
    if (st != CSM_OK) {
        g->failed = st;
        g->failure = err;
    }
}
