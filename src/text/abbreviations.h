/* SPDX-License-Identifier: Apache-2.0
 *
 * abbreviations.h - words that end in a full stop without ending a sentence. */
#ifndef CSM_TEXT_ABBREVIATIONS_H
#define CSM_TEXT_ABBREVIATIONS_H

#include <stdbool.h>
#include <stddef.h>

struct csm_abbreviation {
    const char *text;   /* without the full stop at its end */
    const char *spoken; /* NULL: read as it is written */
    bool may_end;       /* a sentence may end with it (etc., Inc.) */
};

/* The abbreviation that is the word [n], or NULL; case counts. */
const struct csm_abbreviation *csm_abbreviation_find(const char *word, size_t n);

#endif
