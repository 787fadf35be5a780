/* SPDX-License-Identifier: Apache-2.0
 *
 * logit_compare.h - how far two models' numbers are apart where they should be
 * equal: up to the first draw that differs, both have the same history. */
#ifndef CSM_ANALYSIS_LOGIT_COMPARE_H
#define CSM_ANALYSIS_LOGIT_COMPARE_H

#include <csm/analysis.h>

/* The arithmetic that a set of numbers was made in, as far as their bits tell. */
enum csm_grain { CSM_GRAIN_F32, CSM_GRAIN_F16, CSM_GRAIN_BF16 };

/* Two rows, of the values finite in both: masks do not count, nor does what shifts
 * a whole row (a softmax takes it off). */
struct csm_row_difference {
    double largest;     /* difference */
    double relative;    /* rms of the difference over a's spread */
    double correlation;
};
struct csm_row_difference csm_rows_compare(const float *a, const float *b, size_t n);

struct csm_logit_difference {
    bool is_known;         /* both have logits of one vocabulary */
    size_t n_rows;         /* compared: draws 0..n_rows-1 */
    double largest;        /* difference, each row's mean difference taken off */
    double relative;       /* median over rows of rms difference over a's spread */
    double relative_first; /* of row 0, of the backbone on the prompt */
    double relative_last;  /* of the last row */
    double limit;          /* of rounding, for the coarser grain of the two */
    size_t n_beyond;       /* rows beyond the limit */
    size_t first_beyond;   /* the first of these; n_rows if none */
    double correlation;    /* of the two rows there; 1 if none */
};

/* Rows 0..n_draws-1 in the order of the draws. CSM_NO_MEMORY. */
csm_status csm_logits_compare(const csm_tokens *a, const csm_tokens *b, size_t n_draws,
                              struct csm_logit_difference *out, csm_error *err);

struct csm_hidden_difference {
    bool is_known;
    const char *first;   /* tensor that differs first, by name; "logits" if all hidden
                          * ones agree and logits of the same frames do not; NULL: all agree */
    bool is_of_depth;    /* it is of the depth decoder */
    double relative;     /* its difference */
    double before;       /* that of the tensor before it */
    bool is_first_position_equal; /* its row 0 agrees: only positions after it differ */
    bool is_first_pass_equal;     /* rows of the prompt agree (of the depth decoder: of the first
                                   * frame), later ones do not */
    size_t first_row;             /* of that tensor, the first that differs */
    bool is_gradual;     /* every tensor differs, none much more than the one before:
                          * arithmetic or quantization, not one layer */
};

/*   until   the draw up to which histories are equal, it included
 *   logits  what csm_logits_compare gave */
void csm_hidden_compare(const csm_tokens *a, const csm_tokens *b, size_t until,
                        const struct csm_logit_difference *logits, enum csm_grain grain,
                        struct csm_hidden_difference *out);

#endif
