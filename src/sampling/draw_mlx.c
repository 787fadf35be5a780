/* SPDX-License-Identifier: Apache-2.0
 *
 * draw_mlx.c - the samplers of MLX programs: mlx-lm's make_sampler, and csm-mlx,
 * which hands it log-probabilities.
 *
 *   csm-mlx      x - logsumexp(x, keepdims=True), both rounded to the dtype; without
 *                an axis, that goes over all rows of a batch. One row since MLX 0.29.0:
 *                a single operation in float32. Else five, each rounded; before 0.32.3
 *                the sum of a 16-bit type is rounded at every entry
 *   make_sampler top-p, min-p, top-k, then categorical(x * (1 / temperature)), the
 *                factor and the product rounded to the dtype
 *   categorical  float32. One row, MLX 0.32.1 and later: the inverse CDF with one
 *                uniform. Else Gumbel: argmax(x - log(-log u)), the first maximum
 *
 * mlx-lm compiles its functions (mx.compile), and the constants of a compiled kernel
 * are printed into its source: before MLX 0.32.3 with seven digits, which are not
 * enough for float32 (mlx/backend/common/compiled.h, print_float_constant). */
#include <stdlib.h>

#include "base/error.h"
#include "base/numbers.h"
#include "sampling/exact_math.h"
#include "sampling/noise.h"
#include "sampling/sampler.h"

/* What a compiled kernel has for a constant. */
static float compiled(const csm_sampler *s, float constant)
{
    char text[24];
    if (s->mlx_version >= MLX_0_32_3)
        return constant;
    csm_format(text, sizeof text, "%.7g", (double)constant);
    (void)csm_read_float(text, &constant);
    return constant;
}

/* mx.random.uniform in such a kernel. */
struct uniform {
    float words, below_one;
};

static struct uniform open_uniform(const csm_sampler *s)
{
    return (struct uniform){compiled(s, 0x1p32f), compiled(s, 1.0f - 0x1p-24f)};
}

static float uniform_of(struct uniform uniform, uint32_t word)
{
    float u = (float)word / uniform.words;
    return u < uniform.below_one ? u : uniform.below_one;
}

/* The single operation. */
static float log_sum_exp(const float *x, size_t n)
{
    float m = x[0], sum = 0.0f;
    for (size_t i = 1; i < n; i++)
        m = x[i] > m ? x[i] : m;
    for (size_t i = 0; i < n; i++)
        sum += mlx_expf(x[i] - m);
    return csm_libm_logf(sum) + m;
}

csm_status csm_mlx_prepare(csm_sampler *s, const float *logits, size_t rows, size_t vocab,
                       csm_error *err)
{
    csm_dtype dtype = s->config.dtype;
    float m = -INFINITY, sum = 0.0f;
    csm_status st = CSM_OK;
    for (size_t row = 0; row < rows; row++) {
        st = csm_load_logits(logits, row, vocab, dtype, s->scores, err);
        if (st != CSM_OK)
            return st;
        for (size_t i = 0; i < vocab; i++)
            m = s->scores[i] > m ? s->scores[i] : m;
    }
    if (s->config.sampler == CSM_SAMPLER_MLX_CATEGORICAL)
        return CSM_OK;
    if (rows == 1 && s->mlx_version >= MLX_0_29_0) {
        s->log_total = csm_round_to(dtype, log_sum_exp(s->scores, vocab));
        return CSM_OK;
    }
    csm_dtype sum_dtype = s->mlx_version >= MLX_0_32_3 ? CSM_DTYPE_F32 : dtype;
    for (size_t row = 0; row < rows; row++) {
        (void)csm_load_logits(logits, row, vocab, dtype, s->scores, NULL);
        for (size_t i = 0; i < vocab; i++) {
            float weight = csm_round_to(dtype, mlx_expf(csm_round_to(dtype, s->scores[i] - m)));
            sum = csm_round_to(sum_dtype, sum + weight);
        }
    }
    float log_sum = csm_round_to(dtype, csm_libm_logf(csm_round_to(dtype, sum)));
    s->log_total = csm_round_to(dtype, log_sum + m);
    return CSM_OK;
}

void csm_mlx_scores(csm_sampler *s, const float *logits, size_t row, size_t vocab)
{
    csm_dtype dtype = s->config.dtype;
    (void)csm_load_logits(logits, row, vocab, dtype, s->scores, NULL);
    if (s->config.sampler == CSM_SAMPLER_MLX_CATEGORICAL)
        return;
    for (size_t i = 0; i < vocab; i++)
        s->scores[i] = csm_round_to(dtype, s->scores[i] - s->log_total);
}

/* argpartition's order: value first, then index, so that exactly k stay and of
 * equal ones the first. */
static void keep_top_k(csm_sampler *s, size_t vocab)
{
    size_t k = s->config.top_k;
    float lowest = csm_kth_score(s, vocab, k);
    size_t n_above = 0;
    for (size_t i = 0; i < vocab; i++)
        n_above += s->scores[i] > lowest;
    size_t n_equal = k - n_above;
    for (size_t i = 0; i < vocab; i++) {
        if (s->scores[i] > lowest)
            continue;
        if (s->scores[i] == lowest && n_equal > 0)
            n_equal--;
        else
            s->scores[i] = -INFINITY;
    }
}

/* mlx-lm 0.25.1 to 0.31.3: from the least probable on, drop entries until their
 * sum, rounded to the dtype at each step, is above 1 - top_p. */
static void keep_top_p_by_sum(csm_sampler *s, size_t vocab)
{
    csm_dtype dtype = s->config.dtype;
    float limit = csm_round_to(dtype, compiled(s, (float)(1.0 - s->config.top_p))), sum = 0.0f;
    csm_sort_ascending(s, s->scores, vocab);
    for (size_t i = 0; i < vocab; i++) {
        float *score = &s->scores[s->order[i]];
        sum = csm_round_to(dtype, sum + csm_round_to(dtype, mlx_expf(*score)));
        if (!(sum > limit))
            *score = -INFINITY;
    }
}

/* mlx-lm 0.32: drop what lies below the first entry, in ascending order, that has
 * less than top_p of the mass above it; float32. */
static void keep_top_p_by_threshold(csm_sampler *s, size_t vocab)
{
    csm_sort_ascending(s, s->scores, vocab);
    float *above = s->scratch; /* the mass above entry i of the order */
    above[vocab - 1] = 0.0f;
    for (size_t i = vocab - 1; i > 0; i--)
        above[i - 1] = above[i] + mlx_expf(s->scores[s->order[i]]);
    float limit = compiled(s, (float)s->config.top_p) * (above[0] + mlx_expf(s->scores[s->order[0]]));
    size_t n_dropped = 0;
    for (size_t i = 0; i < vocab; i++)
        n_dropped += above[i] >= limit;
    float lowest = s->scores[s->order[n_dropped < vocab ? n_dropped : vocab - 1]];
    for (size_t i = 0; i < vocab; i++)
        if (s->scores[i] < lowest)
            s->scores[i] = -INFINITY;
}

static void keep_min_p(csm_sampler *s, size_t vocab)
{
    csm_dtype dtype = s->config.dtype;
    float highest = -INFINITY;
    for (size_t i = 0; i < vocab; i++)
        highest = s->scores[i] > highest ? s->scores[i] : highest;
    float step = csm_round_to(dtype, compiled(s, (float)log(s->config.min_p)));
    float lowest = csm_round_to(dtype, highest + step);
    for (size_t i = 0; i < vocab; i++)
        if (s->scores[i] < lowest)
            s->scores[i] = -INFINITY;
}

void csm_mlx_weigh(csm_sampler *s, size_t vocab)
{
    csm_dtype dtype = s->config.dtype;
    bool has_top_k = s->config.top_k > 0 && s->config.top_k < vocab;
    bool is_first = s->mlx_lm_version < MLX_LM_0_26_4;
    if (has_top_k && is_first)
        keep_top_k(s, vocab);
    if (s->config.top_p > 0.0 && s->config.top_p < 1.0) {
        if (s->mlx_lm_version >= MLX_LM_0_32_0)
            keep_top_p_by_threshold(s, vocab);
        else
            keep_top_p_by_sum(s, vocab);
    }
    if (s->config.min_p > 0.0)
        keep_min_p(s, vocab);
    if (has_top_k && !is_first)
        keep_top_k(s, vocab);
    csm_keep_from(s, vocab, -INFINITY);
    float factor = csm_round_to(dtype, compiled(s, (float)(1.0 / s->config.temperature)));
    for (size_t i = 0; i < s->n_left; i++)
        s->left[i] = csm_round_to(dtype, s->left[i] * factor);
}

/* The weights of the inverse CDF, in scratch; returns their sum, and the highest
 * value in *m. All infinities are alike: where the highest is one, those equal to
 * it weigh 1 and the others nothing. */
static float weigh_exp(const csm_sampler *s, float *m)
{
    *m = -INFINITY;
    for (size_t i = 0; i < s->n_left; i++)
        *m = s->left[i] > *m ? s->left[i] : *m;
    float total = 0.0f;
    for (size_t i = 0; i < s->n_left; i++) {
        s->scratch[i] = isinf(*m) ? (s->left[i] == *m) : mlx_expf(s->left[i] - *m);
        total += s->scratch[i];
    }
    return total;
}

void csm_mlx_probabilities(csm_sampler *s)
{
    float m, total = weigh_exp(s, &m);
    for (size_t i = 0; i < s->n_left; i++)
        s->left[i] = s->scratch[i] / total;
}

static struct drawn draw_gumbel(const csm_sampler *s, size_t first)
{
    struct uniform uniform = open_uniform(s);
    float best = -INFINITY, second = -INFINITY;
    size_t winner = 0;
    for (size_t i = 0; i < s->n_left; i++) {
        float u = uniform_of(uniform, csm_mlx_word(&s->stream->mlx, first + s->index[i]));
        float x = -csm_libm_logf(-csm_libm_logf(u)) + s->left[i];
        if (x > best) {
            second = best;
            best = x;
            winner = s->index[i];
        } else if (x > second) {
            second = x;
        }
    }
    float margin = best == second ? 0.0f : best - second;
    return (struct drawn){(int32_t)winner, margin};
}

/* The token is the last entry that has at most t below it. Masked entries have
 * what their successor has, so only those left are asked; t is below the total. */
static struct drawn draw_inverse_cdf(csm_sampler *s, size_t vocab)
{
    float u = uniform_of(open_uniform(s), csm_mlx_word(&s->stream->mlx, 0));
    float m, total = weigh_exp(s, &m);
    if (m == -INFINITY) /* nothing is left: all entries are equal */
        return (struct drawn){(int32_t)(u * (float)vocab), 0.0f};

    float t = u * total, below = 0.0f, above = 0.0f, next = 0.0f;
    size_t winner = 0;
    for (size_t i = 0; i < s->n_left && next <= t; i++) {
        winner = s->index[i];
        below = next;
        next += s->scratch[i];
        above = next;
    }
    double odds = log((double)t) - log((double)total - (double)t);
    double from_below = odds - (log((double)below) - log((double)total - (double)below));
    double from_above = log((double)above) - log((double)total - (double)above) - odds;
    double margin = from_below < from_above ? from_below : from_above;
    return (struct drawn){(int32_t)winner, margin > 0.0 ? (float)margin : 0.0f};
}

size_t csm_mlx_n_noise(const csm_sampler *s, size_t rows, size_t vocab)
{
    return rows == 1 && s->mlx_version >= MLX_0_32_1 ? 1 : rows * vocab;
}

struct drawn csm_mlx_draw(csm_sampler *s, size_t first, size_t vocab)
{
    return s->stream->mlx.n == 1 ? draw_inverse_cdf(s, vocab) : draw_gumbel(s, first);
}
