/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict_case.h - what the rules of the verdict share: a case, and its evidence. */
#ifndef CSM_ANALYSIS_VERDICT_CASE_H
#define CSM_ANALYSIS_VERDICT_CASE_H

#include <stdio.h>

#include <csm/analysis.h>

#include "analysis/logit_compare.h"
#include "analysis/replay.h"

struct csm_case {
    const csm_tokens *a, *b;
    csm_analysis *analysis;
    csm_comparison *out;
    size_t until; /* the draw of the first divergence; draws compared without one */
    bool has_settings, has_seed[2];
    struct csm_settings claimed[2];
    struct csm_explanation explained[2];
    struct csm_race race[2]; /* of the draw at which they part, under settings that explain a side */
    struct csm_noise_step step[2];
    struct csm_logit_difference logits;
    struct csm_hidden_difference hidden;
    FILE *text; /* the explanation */
};

/* ---- evidence, gathered before the rules ------------------------------------------- */

/* The first draw that differs: out->first, until. */
void csm_case_diverge(struct csm_case *c);

/* Settings under which each side's codes come out of its logits: claimed, explained, race. */
csm_status csm_case_replay(struct csm_case *c, const csm_analyze_options *options, csm_error *err);

/* The noise of codes without logits: step. After csm_case_replay. */
csm_status csm_case_find_noise(struct csm_case *c, const csm_analyze_options *options,
                               csm_error *err);

/* Whether all that the longer side has beyond the other are frames of zeros: the one that ended
 * speech, which transformers' sequences keep, and what fills a batch. */
bool csm_case_keeps_end(const struct csm_case *c);

/* Of streams that were given one history, all draws: out->forced. */
csm_status csm_case_compare_forced(struct csm_case *c, csm_error *err);

/* By more than rounding. */
bool csm_case_logits_differ(const struct csm_logit_difference *logits);

/* ---- what the files say -------------------------------------------------------------- */

bool csm_case_metadata_differs(const struct csm_case *c, const char *key);
/* Numbers written in two ways are one. */
bool csm_case_setting_differs(const struct csm_case *c, const char *key);
/* The same of a key that a file may leave out, meaning `absent` (NULL: nothing). */
bool csm_case_claim_differs(const struct csm_case *c, const char *key, const char *absent);
const char *csm_case_claim(const csm_tokens *tokens, const char *key, const char *absent);
/* The weights' form, where a file tells it: "q4" of precision, or of dtype; or NULL. */
const char *csm_case_precision(const csm_tokens *tokens);
/* By the word of both. */
bool csm_case_says_quantized(const struct csm_case *c);
/* By what codes alone tell, both were drawn with the noise that both name. */
bool csm_case_is_same_noise(const struct csm_case *c);
/* Texts or speakers that differ. */
bool csm_case_says_prompt(const struct csm_case *c);
/* The coarser arithmetic of both, by the files' word; bf16 if nobody says. */
enum csm_grain csm_case_grain(const struct csm_case *c);
/* Of a draw; 1 for a greedy one. */
double csm_case_temperature(const csm_tokens *tokens, size_t codebook);
/* Of margins or probs; NaN where there is none. */
double csm_case_number(const float *values, const csm_tokens *tokens, size_t frame,
                       size_t codebook);

/* ---- a decision and its words --------------------------------------------------------- */

void csm_case_decide(struct csm_case *c, csm_verdict verdict, const char *cause,
                     double confidence);
/* Whether one side ended where the other went on, after draws that are equal; and the
 * decision, where neither logits nor margins leave room for rounding: sampler, ending. */
bool csm_case_is_ending(const struct csm_case *c);
void csm_case_decide_ending(struct csm_case *c);
void csm_case_tell_place(struct csm_case *c);
/* Words out of a file: at most 60 bytes, nothing that moves a terminal. */
void csm_case_quote(const struct csm_case *c, const char *text);

/* Of a verdict of rounding: what the files name that rounds otherwise, as its cause. */
void csm_case_name_bits(struct csm_case *c);

/* ---- the rules, by their numbers in docs/ANALYZER.md ------------------------------- */

/* Each but the last decides, then true, or leaves it to those after it. */
bool csm_rule_shift(struct csm_case *c);      /* 1: moved codes */
bool csm_rule_order(struct csm_case *c);      /* 1: codes in other places */
bool csm_rule_moves(struct csm_case *c);      /* 1: codes moved by parts */
bool csm_rule_vocabulary(struct csm_case *c); /* 1: heads of another size */
bool csm_rule_forced(struct csm_case *c);     /* 2: one history for both */
bool csm_rule_logits(struct csm_case *c);     /* 3: logits on both sides */
bool csm_rule_replay(struct csm_case *c);     /* 4: draws made again */
bool csm_rule_beyond_reach(struct csm_case *c); /* 4, of one history for both */
bool csm_rule_close_race(struct csm_case *c); /* 5: close races */
bool csm_rule_likelihood(struct csm_case *c); /* 6: temperature by likelihood */
bool csm_rule_same_noise(struct csm_case *c); /* 6, of draws that come out though others do not */
bool csm_rule_noise(struct csm_case *c);      /* 7: noise without logits */
csm_status csm_rule_margins(struct csm_case *c, bool *is_decided, csm_error *err); /* 8 */
bool csm_rule_claims(struct csm_case *c);     /* 9: what the files say */
void csm_rule_codes(struct csm_case *c);      /* 10: codes alone */

#endif
