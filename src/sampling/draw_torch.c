/* SPDX-License-Identifier: Apache-2.0
 *
 * draw_torch.c - the samplers of PyTorch programs: warp, softmax, race.
 *
 *   transformers  everything in float32: penalty, temperature, top-k (ties with
 *                 the k-th kept), top-p, min-p, softmax, argmax(p / q); between
 *                 them cutoffs_torch_cpu.c
 *   sesame        sample_topk: logits / temperature, top-k (ties kept),
 *                 log_softmax, softmax, argmax(p / q), each rounded to the dtype
 * argmax takes the lowest index of equal values, and NaN before any number. */
#include <string.h>

#include "base/error.h"
#include "sampling/noise.h"
#include "base/numbers.h"
#include "sampling/row_kernels.h"
#include "sampling/sampler.h"
#include "sampling/softmax_torch_cpu.h"
#include "sampling/softmax_torch_cuda.h"
#include "sampling/sort_torch_cpu.h"

/* The dtype that the sampler's arithmetic is rounded to. */
static csm_dtype working_dtype(const csm_sampler *s)
{
    return s->config.sampler == CSM_SAMPLER_SESAME ? s->config.dtype : CSM_DTYPE_F32;
}

/* Scores of ids that were drawn before move away from being drawn again. */
static csm_status penalize(csm_sampler *s, size_t row, size_t vocab, csm_error *err)
{
    const int32_t *ids = s->history + row * s->n_history;
    float penalty = (float)s->config.repetition_penalty;
    bool cuda = s->config.stream == CSM_STREAM_TORCH_CUDA;
    for (size_t i = 0; i < s->n_history; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= vocab)
            return csm_fail(err, CSM_BAD_ARG, "history: row %zu, id %d, expected below %zu", row,
                            (int)ids[i], vocab);
    memcpy(s->scratch, s->scores, vocab * sizeof *s->scratch);
    for (size_t i = 0; i < s->n_history; i++) {
        float x = s->scratch[ids[i]];
        s->scores[ids[i]] = x < 0.0f ? x * penalty : cuda ? x * (1.0f / penalty) : x / penalty;
    }
    return CSM_OK;
}

csm_status csm_torch_scores(csm_sampler *s, const float *logits, size_t row, size_t vocab,
                        csm_error *err)
{
    csm_status st = csm_load_logits(logits, row, vocab, s->config.dtype, s->scores, err);
    if (st != CSM_OK)
        return st;
    if (s->config.repetition_penalty != 1.0 && s->n_history > 0)
        st = penalize(s, row, vocab, err);
    if (st != CSM_OK)
        return st;
    csm_dtype dtype = working_dtype(s);
    float temperature = (float)s->config.temperature;
    const struct row_kernels *kernels = csm_row_kernels_best();
    float highest = s->config.stream == CSM_STREAM_TORCH_CUDA /* it takes the reciprocal */
                        ? kernels->multiply(s->scores, vocab, dtype, 1.0f / temperature)
                        : kernels->divide(s->scores, vocab, dtype, temperature);
    if (!(highest < INFINITY && highest > -INFINITY))
        return csm_fail(err, CSM_BAD_LOGITS,
                        "logits: row %zu overflows %s when divided by the temperature %g", row,
                        csm_dtype_name(dtype), s->config.temperature);
    return CSM_OK;
}

static void softmax_at(csm_sampler *s, float *x, const uint32_t *index, size_t row, size_t vocab,
                       csm_dtype dtype)
{
    if (s->config.stream == CSM_STREAM_TORCH_CUDA)
        csm_softmax_torch_cuda(x, index, s->n_left, row, vocab, dtype);
    else
        csm_softmax_torch_cpu(x, index, s->n_left, vocab, dtype);
}

static void log_softmax(csm_sampler *s, size_t row, size_t vocab, csm_dtype dtype)
{
    if (s->config.stream == CSM_STREAM_TORCH_CUDA)
        csm_log_softmax_torch_cuda(s->left, s->scratch, s->index, s->n_left, row, vocab, dtype);
    else
        csm_log_softmax_torch_cpu(s->left, s->scratch, s->index, s->n_left, vocab, dtype);
}

void csm_drop_masked(csm_sampler *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_left; i++) {
        s->index[n] = s->index[i];
        s->left[n] = s->left[i];
        n += s->left[i] > -INFINITY;
    }
    s->n_left = n;
}

/* Mask the n_masked lowest of what is left, equal ones in the order in which PyTorch
 * sorts the whole row on the CPU. */
static void mask_lowest_torch_cpu(csm_sampler *s, size_t vocab, size_t n_masked)
{
    for (size_t i = 0; i < vocab; i++)
        s->scratch[i] = -INFINITY;
    for (size_t i = 0; i < s->n_left; i++)
        s->scratch[s->index[i]] = s->left[i];
    csm_sort_torch_cpu(s->scratch, vocab, s->order);
    for (size_t i = 0; i < vocab - s->n_left + n_masked; i++)
        s->scratch[s->order[i]] = -INFINITY;
    for (size_t i = 0; i < s->n_left; i++)
        s->left[i] = s->scratch[s->index[i]];
}

/* TopPLogitsWarper: in ascending order, mask while the running sum of the
 * probabilities is at most 1 - top_p; never the last. The sum runs in double, as
 * cumsum does on the CPU. */
static void keep_top_p(csm_sampler *s, size_t row, size_t vocab)
{
    size_t n = s->n_left, n_masked = 0;
    csm_sort_ascending(s, s->left, n);
    for (size_t i = 0; i < n; i++) {
        s->scratch[i] = s->left[s->order[i]];
        s->positions[i] = (uint32_t)(vocab - n + i); /* behind all that are masked */
    }
    softmax_at(s, s->scratch, s->positions, row, vocab, CSM_DTYPE_F32);
    float limit = (float)(1.0 - s->config.top_p);
    double sum = 0.0;
    for (size_t i = 0; i + 1 < n; i++) {
        sum += (double)s->scratch[i];
        n_masked += (float)sum <= limit;
    }
    bool parts_equals =
        n_masked > 0 && s->left[s->order[n_masked - 1]] == s->left[s->order[n_masked]];
    if (parts_equals && s->config.stream != CSM_STREAM_TORCH_CUDA)
        mask_lowest_torch_cpu(s, vocab, n_masked);
    else
        for (size_t i = 0; i < n_masked; i++)
            s->left[s->order[i]] = -INFINITY;
    csm_drop_masked(s);
}

/* MinPLogitsWarper: mask what is less probable than min_p times the highest. */
static void keep_min_p(csm_sampler *s, size_t row, size_t vocab)
{
    memcpy(s->scratch, s->left, s->n_left * sizeof *s->left);
    softmax_at(s, s->scratch, s->index, row, vocab, CSM_DTYPE_F32);
    float highest = 0.0f;
    for (size_t i = 0; i < s->n_left; i++)
        highest = s->scratch[i] > highest ? s->scratch[i] : highest;
    float lowest = (float)s->config.min_p * highest;
    for (size_t i = 0; i < s->n_left; i++)
        if (s->scratch[i] < lowest)
            s->left[i] = -INFINITY;
    csm_drop_masked(s);
}

void csm_torch_weigh(csm_sampler *s, size_t row, size_t vocab)
{
    float lowest = -INFINITY;
    if (s->config.cutoffs.top_h > 0.0)
        csm_cut_top_h(s, vocab);
    if (s->config.top_k > 0 && s->config.top_k < vocab)
        lowest = csm_kth_score(s, vocab, s->config.top_k);
    csm_keep_from(s, vocab, lowest);
    if (s->config.top_p > 0.0 && s->config.top_p < 1.0)
        keep_top_p(s, row, vocab);
    if (s->config.min_p > 0.0)
        keep_min_p(s, row, vocab);
    csm_cut_improbable(s, vocab);
    csm_dtype dtype = working_dtype(s);
    if (s->config.sampler == CSM_SAMPLER_SESAME)
        log_softmax(s, row, vocab, dtype);
    size_t n_lost = 0; /* farther below the highest than the dtype's numbers go: probability 0 */
    while (n_lost < s->n_left && s->left[n_lost] == -INFINITY)
        n_lost++;
    if (n_lost == s->n_left) /* all: float16's sum overflowed, PyTorch has NaN throughout */
        s->n_left = 0;
    else
        softmax_at(s, s->left, s->index, row, vocab, dtype);
}

/* A masked entry wins when its noise rounds to 0: 0 / 0 is NaN, which argmax
 * prefers; float16 alone has such noise in practice. Returns vocab if there is
 * none. */
static size_t first_nan(const csm_sampler *s, csm_dtype dtype, size_t first, size_t vocab)
{
    size_t n = 0;
    if (!csm_noise_may_vanish(s->stream, first, vocab))
        return vocab;
    for (size_t i = 0; i < vocab; i++) {
        bool is_left = n < s->n_left && s->index[n] == i;
        bool has_mass = is_left && s->left[n] > 0.0f;
        n += is_left;
        if (!has_mass && csm_noise_exponential(s->stream, dtype, first + i) == 0.0f)
            return i;
    }
    return vocab;
}

/* The noise of what is left, in scratch. */
static void fill_noise(csm_sampler *s, csm_dtype dtype, size_t first, size_t vocab)
{
    if (s->n_left == vocab) {
        csm_noise_fill(s->stream, dtype, first, vocab, s->scratch);
        return;
    }
    for (size_t i = 0; i < s->n_left; i++)
        s->scratch[i] = csm_noise_exponential(s->stream, dtype, first + s->index[i]);
}

struct drawn csm_torch_draw(csm_sampler *s, size_t first, size_t vocab)
{
    csm_dtype dtype = working_dtype(s);
    if (s->n_left == 0)
        return (struct drawn){0, INFINITY}; /* the first of NaNs */
    size_t nan = first_nan(s, dtype, first, vocab);
    if (nan < vocab)
        return (struct drawn){(int32_t)nan, INFINITY};
    fill_noise(s, dtype, first, vocab);
    float best = -1.0f, second = 0.0f;
    size_t winner = 0;
    for (size_t i = 0; i < s->n_left; i++) {
        float ratio = csm_round_to(dtype, s->left[i] / s->scratch[i]);
        if (ratio > best) {
            second = best > 0.0f ? best : 0.0f;
            best = ratio;
            winner = s->index[i];
        } else if (ratio > second) {
            second = ratio;
        }
    }
    float margin = best == second ? 0.0f : (float)(log((double)best) - log((double)second));
    return (struct drawn){(int32_t)winner, margin};
}

void csm_torch_draw_several(csm_sampler *s, size_t first, size_t vocab, size_t n_samples,
                        int32_t *tokens)
{
    for (size_t i = 0; i < vocab; i++)
        s->scratch[i] = 0.0f; /* the ratios, negative */
    for (size_t i = 0; i < s->n_left; i++) {
        float q = csm_noise_exponential(s->stream, CSM_DTYPE_F32, first + s->index[i]);
        s->scratch[s->index[i]] = -(s->left[i] / q);
    }
    if (s->config.stream == CSM_STREAM_TORCH_CUDA || n_samples == 1)
        csm_sort_ascending(s, s->scratch, vocab); /* of equal ones the first */
    else
        csm_lowest_torch_cpu(s->scratch, vocab, n_samples, s->order);
    for (size_t i = 0; i < n_samples; i++)
        tokens[i] = (int32_t)s->order[i];
}
