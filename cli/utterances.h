/* SPDX-License-Identifier: Apache-2.0
 *
 * utterances.h - what is to be said: the sentences of a text, or the lines of a
 * dialogue. */
#ifndef CSM_CLI_UTTERANCES_H
#define CSM_CLI_UTTERANCES_H

#include "cast.h"
#include "speak.h"

struct utterance {
    char *text; /* as it is spoken, not empty */
    int speaker;
    const char *label; /* of a script's line, [n_label], within the script; NULL: none */
    size_t n_label;
    int pause_ms; /* that the text asks for after it, 0: none */
};

struct utterances {
    struct utterance *items;
    size_t n;
    int lead_ms; /* of silence before the first */
};

/* The text of `what`: its sentences, or is_whole: what stands between its pauses.
 * CSM_BAD_ARG (not UTF-8), CSM_NO_MEMORY. */
csm_status split_text(struct utterances *utterances, const struct speak *what, bool is_whole,
                      int speaker, csm_error *err);

/* The lines "[speaker] text" of a script; empty ones count for nothing. A line holds more than
 * one where a name of the cast stands in it in brackets. with_pauses: a line that asks for pauses
 * is several utterances; else its pauses are commas. CSM_BAD_FORMAT with the number of a line that
 * is none; CSM_BAD_ARG, CSM_NO_MEMORY. */
csm_status split_script(struct utterances *utterances, const struct speak *what, const char *script,
                        const struct cast *cast, bool with_pauses, csm_error *err);

void free_utterances(struct utterances *utterances);

/* Whether the text of `what` is more than one utterance, or asks for a pause. */
bool is_divided(const struct speak *what, bool is_whole);

#endif
