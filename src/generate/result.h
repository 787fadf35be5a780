/* SPDX-License-Identifier: Apache-2.0
 *
 * result.h - a whole utterance, and what it says of itself. */
#ifndef CSM_GENERATE_RESULT_H
#define CSM_GENERATE_RESULT_H

#include "generate/generation.h"

/* A result as it grows: an empty one, freed with csm_result_close; a frame more; and
 * the report, with strings that outlive the generation. CSM_NO_MEMORY. */
csm_status csm_result_open(const csm_model *model, csm_result **out, csm_error *err);
csm_status csm_result_append(csm_result *result, const csm_generation *generation,
                             const csm_frame *frame, csm_error *err);
void csm_result_finish(csm_result *result, const csm_generation *generation);

/* csm_generate, as one of a batch: its frames tell which. */
csm_status csm_generate_utterance(csm_model *model, const csm_request *request,
                                  const csm_generate_options *options, size_t utterance,
                                  csm_result **out, csm_error *err);

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
