/* SPDX-License-Identifier: Apache-2.0
 *
 * sampler_fit.c - the temperature at which the codes drawn are most probable,
 * given their logits.
 *
 * With b = 1 / temperature, a code c of the k most probable is drawn with
 * probability exp(b x_c) / sum exp(b x). The likelihood of many draws is concave in
 * b: Newton's steps find its maximum, where the drawn logits' sum equals its
 * expectation; the expected logits' variances give the standard error. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/stream_stats.h"
#include "base/error.h"

enum {
    MAX_ROWS = 2000,        /* more draws than these are thinned out evenly */
    MAX_VALUES = 1 << 22,   /* logits held at once */
    STEPS = 30
};

/* One draw: its code's logit and those of the codes that could be drawn. */
struct draw {
    float chosen;
    size_t first, n;
};

struct draws {
    struct draw *draws;
    size_t n_draws;
    float *values;
    size_t n_values;
    size_t highest_rank;
};

/* The k-th highest of n values, 1 <= k <= n, with a heap of the k highest so far
 * whose root is the lowest of them. */
static float kth_highest(const float *values, size_t n, size_t k, float *heap)
{
    for (size_t i = 0; i < n; i++) {
        size_t at;
        if (i < k) { /* grow: the new one rises */
            for (at = i; at > 0 && heap[(at - 1) / 2] > values[i]; at = (at - 1) / 2)
                heap[at] = heap[(at - 1) / 2];
        } else if (values[i] > heap[0]) { /* replace the root: the new one sinks */
            for (at = 0; 2 * at + 1 < k;) {
                size_t child = 2 * at + 1;
                if (child + 1 < k && heap[child + 1] < heap[child])
                    child++;
                if (heap[child] >= values[i])
                    break;
                heap[at] = heap[child];
                at = child;
            }
        } else {
            continue;
        }
        heap[at] = values[i];
    }
    return heap[0];
}

/* Copy those that top-k keeps, ties with the k-th too; how many. k 0: all. */
static size_t copy_kept(const float *row, size_t n, size_t k, float *kept)
{
    float threshold = k == 0 || k >= n ? -INFINITY : kth_highest(row, n, k, kept);
    size_t n_kept = 0;
    for (size_t i = 0; i < n; i++)
        if (row[i] >= threshold && row[i] > -INFINITY)
            kept[n_kept++] = row[i];
    return n_kept;
}

static size_t rank_in(const float *row, size_t n, float value)
{
    size_t rank = 1;
    for (size_t i = 0; i < n; i++)
        rank += row[i] > value;
    return rank;
}

/* Gather the draws of codebooks first..last, `step` draws apart. */
static void gather(const csm_tokens *t, size_t first, size_t last, size_t top_k, size_t step,
                   float *row, struct draws *out)
{
    size_t count = 0;
    for (size_t f = 0; f < t->n_frames; f++)
        for (size_t k = first; k <= last; k++) {
            if (count++ % step != 0)
                continue;
            int32_t code = t->codes[f * t->n_codebooks + k];
            if (code < 0 || (size_t)code >= t->vocab)
                continue;
            csm_tokens_logits(t, f, k, row);
            bool is_finite = isfinite(row[code]);
            for (size_t i = 0; i < t->vocab && is_finite; i++)
                is_finite = !isnan(row[i]) && row[i] != INFINITY;
            if (!is_finite)
                continue;
            float chosen = row[code];
            size_t rank = rank_in(row, t->vocab, chosen);
            if (rank > out->highest_rank)
                out->highest_rank = rank;
            if (out->n_values + t->vocab > MAX_VALUES)
                continue;
            size_t n = copy_kept(row, t->vocab, top_k, out->values + out->n_values);
            if (rank > n)
                continue;
            out->draws[out->n_draws++] = (struct draw){chosen, out->n_values, n};
            out->n_values += n;
        }
}

/* First and second derivative of the log likelihood at b. */
static void derivatives(const struct draws *all, double b, double *slope, double *curvature)
{
    *slope = 0;
    *curvature = 0;
    for (size_t d = 0; d < all->n_draws; d++) {
        const struct draw *draw = &all->draws[d];
        const float *x = all->values + draw->first;
        double highest = x[0];
        for (size_t i = 1; i < draw->n; i++)
            highest = x[i] > highest ? x[i] : highest;
        double s0 = 0, s1 = 0, s2 = 0;
        for (size_t i = 0; i < draw->n; i++) {
            double y = x[i] - highest;
            if (!(b * y > -40))
                continue;
            double w = (double)expf((float)(b * y));
            s0 += w;
            s1 += w * y;
            s2 += w * y * y;
        }
        double mean = s1 / s0;
        *slope += draw->chosen - highest - mean;
        *curvature += s2 / s0 - mean * mean;
    }
}

static void fit_temperature(const struct draws *all, csm_sampler_fit *fit)
{
    enum { ENOUGH = 20 };
    fit->n = all->n_draws;
    fit->highest_rank = all->highest_rank;
    if (all->n_draws < ENOUGH)
        return;
    double b = 1, slope, curvature;
    for (int step = 0; step < STEPS; step++) {
        derivatives(all, b, &slope, &curvature);
        if (!(curvature > 1e-12))
            return;
        double next = b + slope / curvature;
        next = next < b / 2 ? b / 2 : next > b * 2 ? b * 2 : next;
        bool is_there = fabs(next - b) < 1e-7 * b;
        b = next;
        if (is_there)
            break;
    }
    if (b < 1e-3 || b > 1e3)
        return;
    fit->has_fit = true;
    fit->temperature = 1 / b;
    fit->error = 1 / (b * b * sqrt(curvature)); /* d(1/b) = db / b^2 */
}

csm_status csm_sampler_fit_make(const csm_tokens *t, csm_sampler_fit fit[2], csm_error *err)
{
    memset(fit, 0, 2 * sizeof *fit);
    if (t->logits.data == NULL || t->n_frames == 0)
        return CSM_OK;
    csm_status status = CSM_OK;
    struct draws all = {0};
    float *row = malloc(t->vocab * sizeof *row);
    all.draws = malloc((MAX_ROWS + 1) * sizeof *all.draws);
    all.values = malloc(MAX_VALUES * sizeof *all.values);
    if (row == NULL || all.draws == NULL || all.values == NULL) {
        status = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", t->name);
        goto end;
    }
    for (size_t part = 0; part < 2; part++) {
        size_t first = part == 0 ? 0 : 1, last = part == 0 ? 0 : t->n_codebooks - 1;
        if (first > last)
            continue;
        size_t n = (last - first + 1) * t->n_frames, step = (n + MAX_ROWS - 1) / MAX_ROWS;
        double claimed = csm_tokens_number(t, "topk", 0);
        if (part == 1)
            claimed = csm_tokens_number(t, "depth_topk", claimed);
        size_t top_k = claimed > 0 && claimed < (double)t->vocab ? (size_t)claimed : 0;
        for (;;) {
            all.n_draws = all.n_values = all.highest_rank = 0;
            gather(t, first, last, top_k, step, row, &all);
            /* Without a mask that is known, the ranks drawn tell it. A rank of the
             * last quarter of the vocabulary says that there was none. */
            if (top_k != 0 && all.highest_rank <= top_k)
                break;
            if (all.highest_rank == 0 || 4 * all.highest_rank > 3 * t->vocab ||
                top_k == all.highest_rank)
                break;
            top_k = all.highest_rank;
        }
        fit_temperature(&all, &fit[part]);
    }
end:
    free(all.values);
    free(all.draws);
    free(row);
    return status;
}
