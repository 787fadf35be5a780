/* SPDX-License-Identifier: Apache-2.0
 *
 * abbreviations.h - words that end in a full stop without ending a sentence. */
#ifndef CSM_TEXT_ABBREVIATIONS_H
#define CSM_TEXT_ABBREVIATIONS_H

#include <stddef.h>

enum csm_abbreviation_use {
    CSM_ABBREVIATION_MAY_END = 1,      /* a sentence may end with it (etc., Inc.) */
    CSM_ABBREVIATION_BEFORE_NUMBER = 2 /* a word, but before a number ("No. 5") */
};

struct csm_abbreviation {
    const char *text;   /* without the full stop at its end */
    const char *spoken;
    unsigned use; /* of csm_abbreviation_use */
};

/* The abbreviation that is the word [n], or NULL; case counts. */
const struct csm_abbreviation *csm_abbreviation_find(const char *word, size_t n);

/* The same of text[at] .. text[at + n - 1]: the Sun is no day. */
const struct csm_abbreviation *csm_abbreviation_at(const char *text, size_t at, size_t n);

#endif
