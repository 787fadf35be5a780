/* SPDX-License-Identifier: Apache-2.0
 *
 * recital.h - what recite.c and recite_batch.c share: utterances, and the sound that
 * is made of them. */
#ifndef CSM_CLI_RECITAL_H
#define CSM_CLI_RECITAL_H

#include <jansson.h>

#include "parts.h"
#include "recite.h"
#include "utterances.h"

struct recital {
    const struct recite *how;
    struct speak *what;
    csm_model *model;
    struct context context; /* the voice, pinned, and in its session what else comes before */
    struct utterances utterances;
    struct part_key *keys; /* of each utterance */
    struct sink sink;      /* of all, or of the one that is spoken now */
    json_t *told;          /* an object an utterance */
    double seconds;
    size_t n_silent; /* utterances of no frame */
};

/* Before the sound of utterance i goes to the sink, and after it; the status is that of
 * what was between. */
csm_status recital_open_utterance(struct recital *recital, size_t i, csm_error *err);
csm_status recital_close_utterance(struct recital *recital, size_t i, csm_status status,
                                   csm_error *err);

/* The part of utterance i that a run before has left, if there is one. */
bool recital_has_part(const struct recital *recital, size_t i, struct part *part);

/* For --json: how long utterance i became, and how it ended ("resumed", or as the
 * report says). In the order of the utterances. */
void recital_tell(struct recital *recital, size_t i, size_t n_frames, const char *ended);
const char *recital_ending(const csm_report *report);

/* A line on standard error, where somebody sees it. */
void recital_show_progress(const struct recital *recital, size_t i);

/* Say all of them, how->n_batch at a time. */
csm_status say_in_batch(struct recital *recital, csm_error *err);

#endif
