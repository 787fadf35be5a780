/* SPDX-License-Identifier: Apache-2.0
 *
 * result.h - what a whole utterance says of itself. */
#ifndef CSM_GENERATE_RESULT_H
#define CSM_GENERATE_RESULT_H

#include <csm/csm.h>

enum { CSM_RESULT_WORDS = 24 };

/* Metadata of a token file: pairs of key and value, which live as long as this
 * struct, the result, the model and the text. */
struct csm_result_words {
    const char *pairs[2 * CSM_RESULT_WORDS];
    size_t n; /* pairs */
    char numbers[CSM_RESULT_WORDS][32];
};

void csm_result_tell(const csm_result *result, const csm_model_info *info, const char *text,
                     int speaker, struct csm_result_words *words);

#endif
