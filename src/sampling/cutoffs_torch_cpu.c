/* SPDX-License-Identifier: Apache-2.0
 *
 * cutoffs_torch_cpu.c - transformers' warpers of the entropy: TopHLogitsWarper,
 * TypicalLogitsWarper, EpsilonLogitsWarper, EtaLogitsWarper, on the CPU.
 *
 * Softmax, sums, running sums and sorts have ATen's bits. Its exp and log of a tensor are
 * MKL's (VML), which differ from the ones here (glibc's) in the last bit of one value in a
 * hundred. They decide nothing but where an entropy or a surprise lies within a rounding of
 * a cutoff: in a draw of millions, of which none was seen (tests/reference). */
#include <math.h>
#include <string.h>

#include "sampling/exact_math.h"
#include "sampling/sampler.h"
#include "sampling/softmax_torch_cpu.h"
#include "sampling/sort_torch_cpu.h"

/* ---- ATen's sum over a contiguous row: SumKernel.cpp, whose vectors hold 8 floats ------- */

enum { LANES = 8, AT_ONCE = 4, LEVELS = 4 };

/* Rows of `width` numbers, at most LANES * AT_ONCE, into sums [width]. */
static void sum_in_levels(const float *x, size_t n_rows, size_t width, float *sums)
{
    float level[LEVELS][LANES * AT_ONCE] = {{0}};
    size_t log2 = 0;
    while (((size_t)1 << log2) < n_rows)
        log2++;
    const size_t power = log2 / LEVELS > 4 ? log2 / LEVELS : 4;
    const size_t step = (size_t)1 << power;
    size_t row = 0;
    while (row + step <= n_rows) {
        for (size_t end = row + step; row < end; row++)
            for (size_t i = 0; i < width; i++)
                level[0][i] += x[row * width + i];
        for (size_t l = 1; l < LEVELS; l++) {
            for (size_t i = 0; i < width; i++) {
                level[l][i] += level[l - 1][i];
                level[l - 1][i] = 0.0f;
            }
            if ((row & (step - 1) << l * power) != 0)
                break;
        }
    }
    for (; row < n_rows; row++)
        for (size_t i = 0; i < width; i++)
            level[0][i] += x[row * width + i];
    for (size_t i = 0; i < width; i++) {
        for (size_t l = 1; l < LEVELS; l++)
            level[0][i] += level[l][i];
        sums[i] = level[0][i];
    }
}

static float sum_of(const float *x, size_t n)
{
    const size_t lanes = n < LANES ? 1 : LANES;
    const size_t n_vectors = n / lanes, n_rows = n_vectors / AT_ONCE;
    float sums[LANES * AT_ONCE];
    sum_in_levels(x, n_rows, lanes * AT_ONCE, sums);
    for (size_t v = n_rows * AT_ONCE; v < n_vectors; v++)
        for (size_t i = 0; i < lanes; i++)
            sums[i] += x[v * lanes + i];
    for (size_t k = 1; k < AT_ONCE; k++)
        for (size_t i = 0; i < lanes; i++)
            sums[i] += sums[k * lanes + i];
    float total = 0.0f;
    for (size_t i = n_vectors * lanes; i < n; i++)
        total += x[i];
    for (size_t i = 0; i < lanes; i++)
        total += sums[i];
    return total;
}

/* ---- torch.distributions.Categorical(logits=...) of a row [n], -inf where it is masked ---- */

/* x becomes x - logsumexp(x); e [n] is scratch. */
static void normalize(float *x, float *e, size_t n)
{
    float highest = x[0];
    for (size_t i = 1; i < n; i++)
        highest = x[i] > highest ? x[i] : highest;
    for (size_t i = 0; i < n; i++)
        e[i] = csm_libm_expf(x[i] - highest);
    const float total = csm_libm_logf(sum_of(e, n)) + highest;
    for (size_t i = 0; i < n; i++)
        x[i] -= total;
}

/* Of normalized logits and their probabilities; e [n] is scratch. */
static float entropy(const float *logits, const float *probs, float *e, size_t n)
{
    for (size_t i = 0; i < n; i++)
        e[i] = probs[i] > 0.0f ? logits[i] * probs[i] : 0.0f;
    return -sum_of(e, n);
}

/* ---- top-h --------------------------------------------------------------------------- */

void csm_cut_top_h(csm_sampler *s, size_t vocab)
{
    enum { MOST = 100 };
    const size_t n = vocab < MOST ? vocab : MOST;
    float logits[MOST], probs[MOST], e[MOST];
    uint32_t positions[MOST];
    size_t n_finite = 0;
    for (size_t i = 0; i < vocab; i++)
        s->scratch[i] = -s->scores[i];
    csm_lowest_torch_cpu(s->scratch, vocab, n, s->order);
    for (size_t i = 0; i < n; i++) {
        logits[i] = s->scores[s->order[i]];
        n_finite += logits[i] > -INFINITY;
        positions[i] = (uint32_t)i;
    }
    normalize(logits, e, n);
    memcpy(probs, logits, sizeof probs);
    csm_softmax_torch_cpu(probs, positions, n_finite, n, CSM_DTYPE_F32);
    for (size_t i = n_finite; i < n; i++)
        probs[i] = 0.0f;
    const float limit = entropy(logits, probs, e, n) * (float)s->config.cutoffs.top_h;
    for (size_t i = 0; i < vocab; i++)
        s->scratch[i] = -INFINITY;
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)(-probs[i] * csm_libm_logf(probs[i])); /* NaN of 0: left out */
        if (i == 0 || (float)sum <= limit)
            s->scratch[s->order[i]] = s->scores[s->order[i]];
    }
    memcpy(s->scores, s->scratch, vocab * sizeof *s->scores);
}

/* ---- of what is left -------------------------------------------------------------------- */

/* Mask by how far the surprise -log p lies from the entropy, the farthest ones beyond the
 * mass. */
static void keep_typical(csm_sampler *s, size_t vocab)
{
    const size_t n = s->n_left;
    float *const log_p = s->scores, *const distance = s->scratch;
    memcpy(log_p, s->left, n * sizeof *log_p);
    csm_log_softmax_torch_cpu(log_p, s->scratch, s->index, n, vocab, CSM_DTYPE_F32);
    for (size_t i = 0; i < vocab; i++)
        s->scratch[i] = 0.0f;
    for (size_t i = 0; i < n; i++)
        s->scratch[s->index[i]] = log_p[i] * csm_libm_expf(log_p[i]);
    const float mean = -sum_of(s->scratch, vocab);

    for (size_t i = 0; i < vocab; i++)
        distance[i] = INFINITY;
    for (size_t i = 0; i < n; i++)
        distance[s->index[i]] = fabsf(-log_p[i] - mean);
    csm_sort_torch_cpu(distance, vocab, s->order);
    float *const probs = s->scores; /* in that order */
    for (size_t i = 0; i < vocab; i++)
        probs[i] = -INFINITY;
    for (size_t i = 0; i < n; i++)
        probs[s->index[i]] = s->left[i];
    float *const sorted = (float *)s->keys; /* room for twice as much */
    for (size_t i = 0; i < n; i++) {
        sorted[i] = probs[s->order[i]];
        s->positions[i] = (uint32_t)i;
    }
    csm_softmax_torch_cpu(sorted, s->positions, n, vocab, CSM_DTYPE_F32);
    double sum = 0.0;
    size_t last = 0;
    while (last < n) {
        sum += (double)sorted[last];
        if (!((float)sum < (float)s->config.cutoffs.typical_p))
            break;
        last++;
    }
    const float most = distance[s->order[last < n ? last : vocab - 1]];
    for (size_t i = 0; i < n; i++)
        if (distance[s->index[i]] > most)
            s->left[i] = -INFINITY;
    csm_drop_masked(s);
}

/* Mask what is less probable than `least`, but for the highest score. */
static void keep_probable(csm_sampler *s, size_t vocab, float least)
{
    float *const probs = s->scratch;
    float highest = s->left[0];
    memcpy(probs, s->left, s->n_left * sizeof *probs);
    csm_softmax_torch_cpu(probs, s->index, s->n_left, vocab, CSM_DTYPE_F32);
    for (size_t i = 1; i < s->n_left; i++)
        highest = s->left[i] > highest ? s->left[i] : highest;
    for (size_t i = 0; i < s->n_left; i++)
        if (probs[i] < least && s->left[i] < highest)
            s->left[i] = -INFINITY;
    csm_drop_masked(s);
}

/* The smaller of eta and sqrt(eta) exp(-entropy). */
static float eta_bound(csm_sampler *s, size_t vocab)
{
    float *const logits = s->scores, *const probs = s->scratch, *const e = (float *)s->keys;
    for (size_t i = 0; i < vocab; i++)
        logits[i] = -INFINITY;
    for (size_t i = 0; i < s->n_left; i++)
        logits[s->index[i]] = s->left[i];
    normalize(logits, e, vocab);
    for (size_t i = 0; i < s->n_left; i++)
        e[i] = logits[s->index[i]];
    csm_softmax_torch_cpu(e, s->index, s->n_left, vocab, CSM_DTYPE_F32);
    for (size_t i = 0; i < vocab; i++)
        probs[i] = 0.0f;
    for (size_t i = 0; i < s->n_left; i++)
        probs[s->index[i]] = e[i];
    const float eta = (float)s->config.cutoffs.eta;
    const float bound = sqrtf(eta) * csm_libm_expf(-entropy(logits, probs, e, vocab));
    return bound < eta ? bound : eta;
}

void csm_cut_improbable(csm_sampler *s, size_t vocab)
{
    const csm_cutoffs *const c = &s->config.cutoffs;
    if (c->typical_p > 0.0 && c->typical_p < 1.0)
        keep_typical(s, vocab);
    if (c->epsilon > 0.0 && c->epsilon < 1.0)
        keep_probable(s, vocab, (float)c->epsilon);
    if (c->eta > 0.0 && c->eta < 1.0)
        keep_probable(s, vocab, eta_bound(s, vocab));
}
