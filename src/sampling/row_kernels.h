/* SPDX-License-Identifier: Apache-2.0
 *
 * row_kernels.h - the loops over whole rows, compiled for several instruction
 * sets from the one text in row_kernels_text.h. Every table gives the same bits:
 * the loops are made of single IEEE operations and explicit fma. */
#ifndef CSM_SAMPLING_ROW_KERNELS_H
#define CSM_SAMPLING_ROW_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <csm/tensors.h>

struct row_kernels {
    /* scores = x rounded to dtype; *highest of them; returns how many of them are
     * NaN or +inf. */
    size_t (*load)(const float *x, size_t n, csm_dtype dtype, float *scores, float *highest);
    /* x *= factor, or x /= factor, rounded to dtype; returns the highest. */
    float (*multiply)(float *x, size_t n, csm_dtype dtype, float factor);
    float (*divide)(float *x, size_t n, csm_dtype dtype, float divisor);
    /* maxima[j] = highest of the entries x[i], i mod n_groups = j; n_groups is a
     * multiple of 16, at most n. */
    void (*group_maxima)(const float *x, size_t n, float *maxima, size_t n_groups);
    /* The entries that are at least `lowest` and not -inf, in order: index and
     * left receive them, with room for n; returns how many. */
    size_t (*keep)(const float *x, size_t n, float lowest, uint32_t *index, float *left);
    /* x[i] = sleef_expf(x[i] - m) */
    void (*exp_less)(float *x, size_t n, float m);
    /* The next 624 words of mt19937, from the last. */
    void (*mt_renew)(uint32_t *words);
    /* out[i] = -log1p(-u) in float32, u the 53 bits of the raw words 2i, 2i + 1. */
    void (*exponentials)(const uint32_t *words, size_t n, float *out);
    /* True if one of n such u may be below 2^-24. */
    bool (*may_vanish)(const uint32_t *words, size_t n);
};

extern const struct row_kernels csm_row_kernels_generic;
extern const struct row_kernels csm_row_kernels_avx2;
extern const struct row_kernels csm_row_kernels_avx512;

/* The best table for the processor at hand. */
const struct row_kernels *csm_row_kernels_best(void);

#endif
