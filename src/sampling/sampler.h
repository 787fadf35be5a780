/* SPDX-License-Identifier: Apache-2.0
 *
 * sampler.h - what a sampler is inside, and the steps of a draw.
 *
 * A row goes logits -> scores (rounded, warped) -> *left*, the few entries that
 * masking left, as (index, score) in ascending order of index -> weights -> token.
 * Masked entries have probability 0 exactly, so that nothing is computed for
 * them, except where a reference lets a masked entry win (draw_torch.c). */
#ifndef CSM_SAMPLING_SAMPLER_H
#define CSM_SAMPLING_SAMPLER_H

#include <csm/sampling.h>

/* Versions at which a form changed. */
enum {
    MLX_0_29_0 = 29 << 8,         /* logsumexp of one row: a single operation */
    MLX_0_32_1 = 32 << 8 | 1,     /* categorical of one row: the inverse CDF */
    MLX_0_32_3 = 32 << 8 | 3,     /* sums of 16-bit types: in float32; constants: exact */
    MLX_LM_0_25_1 = 25 << 8 | 1,  /* the oldest known */
    MLX_LM_0_26_4 = 26 << 8 | 4,  /* top-k last, not first */
    MLX_LM_0_31_3 = 31 << 8 | 3,  /* the default */
    MLX_LM_0_32_0 = 32 << 8,      /* top-p by a threshold */
};

struct csm_sampler {
    csm_sampler_options config;
    uint32_t mlx_version; /* major << 16 | minor << 8 | patch */
    uint32_t mlx_lm_version;
    csm_stream *stream;
    const int32_t *history; /* [rows, n_history], borrowed */
    size_t n_history;

    float log_total; /* csm-mlx: logsumexp of the logits at hand */

    size_t capacity; /* of each array below */
    float *scores;   /* [vocab] of the row at hand */
    uint32_t *index; /* [n_left] */
    float *left;     /* [n_left] their scores, then their probabilities or weights */
    float *scratch;  /* [vocab] */
    uint32_t *order; /* [vocab] */
    uint32_t *positions; /* [vocab] */
    uint64_t *keys;      /* [vocab] for csm_sort_ascending */
    size_t n_left;
};

struct drawn {
    int32_t token;
    float margin;
};

/* PyTorch's scores of one row: logits rounded to the dtype, checked, and warped as
 * far as that does not mask. CSM_BAD_LOGITS, CSM_BAD_ARG as csm_sampler_draw. */
csm_status csm_torch_scores(csm_sampler *s, const float *logits, size_t row, size_t vocab,
                        csm_error *err);

/* MLX's: the check of all rows, with what they share; then the scores of one. */
csm_status csm_mlx_prepare(csm_sampler *s, const float *logits, size_t rows, size_t vocab,
                       csm_error *err);
void csm_mlx_scores(csm_sampler *s, const float *logits, size_t row, size_t vocab);

/* Mask, and turn what is left into probabilities (torch) or the values that
 * reach mx.random.categorical (MLX). */
void csm_torch_weigh(csm_sampler *s, size_t row, size_t vocab);
void csm_mlx_weigh(csm_sampler *s, size_t vocab);

/* transformers' cutoffs, on the CPU: top-h masks in scores, before top-k; the others in what
 * is left, in their order. After the first, scores are scratch. */
void csm_cut_top_h(csm_sampler *s, size_t vocab);
void csm_cut_improbable(csm_sampler *s, size_t vocab);

/* Forget the entries of left that were given -inf. */
void csm_drop_masked(csm_sampler *s);

/* Turn the values that reached mx.random.categorical into probabilities. */
void csm_mlx_probabilities(csm_sampler *s);

/* One token from what is left, with the open call's noise; element `first` is
 * that of the row's entry 0. */
struct drawn csm_torch_draw(csm_sampler *s, size_t first, size_t vocab);
void csm_torch_draw_several(csm_sampler *s, size_t first, size_t vocab, size_t n_samples,
                        int32_t *tokens);
struct drawn csm_mlx_draw(csm_sampler *s, size_t first, size_t vocab);

/* How many uniforms one call over [rows, vocab] takes: one for the inverse CDF. */
size_t csm_mlx_n_noise(const csm_sampler *s, size_t rows, size_t vocab);

/* Round and check one row of logits; the message names row and index. */
csm_status csm_load_logits(const float *logits, size_t row, size_t vocab, csm_dtype dtype,
                       float *scores, csm_error *err);

/* The check alone, in float32. */
csm_status csm_check_logits(const float *logits, size_t row, size_t vocab, csm_error *err);

/* Put the entries of scores [vocab] that are at least `lowest`, and not -inf, into
 * left. */
void csm_keep_from(csm_sampler *s, size_t vocab, float lowest);

/* order [n] receives the indices of v [n] in ascending order of value, of equal
 * ones in ascending order of index; uses keys. */
void csm_sort_ascending(csm_sampler *s, const float *v, size_t n);

/* The k-th largest of scores [vocab], 1 <= k <= vocab; uses scratch, index, left. */
float csm_kth_score(csm_sampler *s, size_t vocab, size_t k);

#endif
