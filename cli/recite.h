/* SPDX-License-Identifier: Apache-2.0
 *
 * recite.h - more than one utterance: the sentences of a long text, or the lines
 * of a dialogue, into one sound or a file each. */
#ifndef CSM_CLI_RECITE_H
#define CSM_CLI_RECITE_H

#include "speak.h"

struct recite {
    const char *script; /* the text of a dialogue, lines "[speaker] text"; NULL: the
                         * sentences of speak.text */
    struct option_list cast; /* --cast NAME=VOICE, of a script */
    bool is_whole;      /* not sentences: what stands between the pauses of speak.text */
    bool is_per_turn;   /* a file each: out.wav becomes out-001.wav, ... */
    bool is_resumed;    /* keep each utterance beside the output until all are there, and
                         * go on from what a run before has left */
    size_t n_batch;     /* so many sentences at a time; 0: one after another */
};

/* Utterance i is drawn with the seed plus i. A sentence has the voice and the
 * sentence before it as context, in a batch the voice alone; a line of a dialogue all
 * lines before it. */
csm_status recite(const struct recite *how, struct speak *what, csm_model *model, csm_error *err);

#endif
