/* SPDX-License-Identifier: Apache-2.0
 *
 * utterances.h - what is to be said: the sentences of a text, or the lines of a
 * dialogue. */
#ifndef CSM_CLI_UTTERANCES_H
#define CSM_CLI_UTTERANCES_H

#include "speak.h"

struct utterance {
    char *text; /* as it is spoken, not empty */
    int speaker;
};

struct utterances {
    struct utterance *items;
    size_t n;
};

/* The sentences of what->text. CSM_BAD_ARG (not UTF-8), CSM_NO_MEMORY. */
csm_status split_sentences(struct utterances *utterances, const struct speak *what, int speaker,
                           csm_error *err);

/* The lines "[speaker] text" of a script; empty ones count for nothing.
 * CSM_BAD_FORMAT with the number of a line that is none; CSM_BAD_ARG, CSM_NO_MEMORY. */
csm_status split_script(struct utterances *utterances, const struct speak *what,
                        const char *script, csm_error *err);

void free_utterances(struct utterances *utterances);

/* Whether a text has more than one sentence. */
bool has_sentences(const char *text);

#endif
