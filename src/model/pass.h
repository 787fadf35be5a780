/* SPDX-License-Identifier: Apache-2.0
 *
 * pass.h - a pass through the language model for several sequences at once: the weights are
 * read once for all of them. */
#ifndef CSM_MODEL_PASS_H
#define CSM_MODEL_PASS_H

#include "model/sequence.h"

/* What passes need beside their sequences, one for each language model. */
struct csm_pass {
    const struct csm_language *language;
    size_t n_rooms;  /* sequences that there is room for */
    csm_lane **depth; /* [n_rooms] the depth decoder's lanes, which last a frame */
    struct csm_rows *rows;     /* [n_rooms] */
    struct csm_watch *watches; /* [n_rooms] */
    csm_value *a, *b, *c;
    int32_t *ids;
    size_t n_ids;
};

/* Nothing is left open when this failed. */
csm_status csm_pass_open(const struct csm_language *language, struct csm_pass *pass,
                         csm_error *err);
void csm_pass_close(struct csm_pass *pass); /* leaves it all zero */

/* Positions for one sequence: text where text[i] >= 0, else a frame of codes. */
struct csm_feed {
    struct csm_sequence *sequence;
    const int32_t *text;  /* [n], -1 where a frame is; NULL: frames alone */
    const int32_t *codes; /* [n, n_codebooks], unused where text is */
    size_t n;             /* 1 or more */
};

/* Append the positions to each sequence, whose hidden row becomes the last one's. Several
 * only on an engine with the trait `lanes`. A sequence's frames come from its watch. After a
 * failure csm_sequence_truncate makes the sequences what they were. */
csm_status csm_pass_feed(struct csm_pass *pass, const struct csm_feed *feeds, size_t n,
                         csm_error *err);

/* Logits of code 0 of every sequence, [n, vocab]. */
csm_status csm_pass_first(struct csm_pass *pass, struct csm_sequence *const *sequences, size_t n,
                          float *logits, csm_error *err);

/* Logits of code k, 1 <= k < n_codebooks, of every sequence, [n, vocab], given code k - 1 of
 * each, codes [n]. In order from 1, which begins the frame, with the same sequences. A
 * failed step may be repeated, for all or for one: sequence i has the i-th lane from
 * first_lane on. */
csm_status csm_pass_depth(struct csm_pass *pass, struct csm_sequence *const *sequences, size_t n,
                          size_t first_lane, size_t k, const int32_t *codes, float *logits,
                          csm_error *err);

/* Logits of codes k..k+n-1 of one sequence, n_logits of the last of them, [n_logits, vocab],
 * given codes k-1..k+n-2, [n]: in one reading of the weights, and with the bits that
 * csm_pass_depth has one by one. The pass has read the frame's codes before k - 1 already,
 * by calls for this sequence alone. 1 <= k, k + n <= n_codebooks. */
csm_status csm_pass_codes(struct csm_pass *pass, const struct csm_sequence *sequence, size_t k,
                          size_t n, const int32_t *codes, size_t n_logits, float *logits,
                          csm_error *err);

/* Room for n ids in pass->ids. CSM_NO_MEMORY. */
csm_status csm_pass_ids(struct csm_pass *pass, size_t n, csm_error *err);

/* The depth decoder's lane i, for an engine that draws frames whole. */
csm_status csm_pass_depth_lane(struct csm_pass *pass, size_t i, csm_lane **lane, csm_error *err);

#endif
