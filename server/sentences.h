/* SPDX-License-Identifier: Apache-2.0
 *
 * sentences.h - what is to be said: the sentences of texts, and the silence that they ask for. */
#ifndef CSM_SERVER_SENTENCES_H
#define CSM_SERVER_SENTENCES_H

#include <stdbool.h>
#include <stddef.h>

#include <csm/text.h>

struct sentence {
    char *text;   /* as it is spoken, not empty */
    int pause_ms; /* that is asked for after it; 0: none */
};

struct sentences {
    struct sentence *items; /* [n] */
    size_t n, room;
    int lead_ms;   /* of silence before the next that is begun */
    int silent_ms; /* that was asked for so far, a minute in all */
};

/* All zero is empty. Append a text's sentences, or what stands between its pauses.
 *   rules    by which it becomes words; NULL: it is said as it is written
 *   n_begun  so many are said or under way: silence alone lengthens the pause after one that
 *            is not
 * CSM_BAD_ARG (not UTF-8), CSM_NO_MEMORY. */
csm_status sentences_add(struct sentences *all, const csm_text_rules *rules, size_t n_begun,
                         const char *text, bool is_split, csm_error *err);
void sentences_free(struct sentences *all);

/* Whether it is more than one sentence without silence. */
bool sentences_are_divided(const struct sentences *all);

#endif
