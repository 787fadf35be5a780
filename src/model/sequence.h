/* SPDX-License-Identifier: Apache-2.0
 *
 * sequence.h - one sequence of positions through a language model: what it has read. */
#ifndef CSM_MODEL_SEQUENCE_H
#define CSM_MODEL_SEQUENCE_H

#include "model/language.h"

/* All zero: none. */
struct csm_sequence {
    const struct csm_language *language;
    csm_lane *lane;     /* the backbone's keys and values */
    csm_value *hidden;  /* [1, width]: the last position, normed */
    size_t n_positions; /* so far */
    size_t capacity;    /* at most */
    size_t adapter;     /* its number; 0: none */
    struct csm_watch watch; /* observer, user and frame: who sees its hidden states */
};

/* An empty one, of at most `capacity` positions. All zero when this failed: CSM_NO_MEMORY,
 * CSM_ENGINE. */
csm_status csm_sequence_open(const struct csm_language *language, size_t capacity,
                             struct csm_sequence *sequence, csm_error *err);

/* One that begins with the first n positions that a lane of the model holds; without
 * `hidden`. Only on engines with lane_fork. */
csm_status csm_sequence_fork(const struct csm_language *language, const csm_lane *lane, size_t n,
                             size_t capacity, struct csm_sequence *sequence, csm_error *err);

/* Read with an adapter that was given to the language (adapted.h), from now on. */
void csm_sequence_adapt(struct csm_sequence *sequence, size_t adapter);

void csm_sequence_close(struct csm_sequence *sequence); /* leaves it all zero */

/* Forget all but the first n positions, also after a call that failed in between. */
csm_status csm_sequence_truncate(struct csm_sequence *sequence, size_t n, csm_error *err);

/* Room for n more positions: CSM_BAD_ARG where there is none, CSM_NO_MEMORY. */
csm_status csm_sequence_reserve(struct csm_sequence *sequence, size_t n, csm_error *err);

#endif
