/* SPDX-License-Identifier: Apache-2.0
 *
 * result.h - a whole utterance, and what it says of itself. */
#ifndef CSM_GENERATE_RESULT_H
#define CSM_GENERATE_RESULT_H

#include "generate/generation.h"

/* A whole utterance in three steps, so that several may be read in turns: begin; take what
 * frames there are, waiting no longer than csm_generation_poll would; and end, after which
 * the result is the caller's, or gone where the status (given, or of the end) is neither
 * CSM_OK nor CSM_CANCELLED. A result that is not ended is closed by csm_result_close. */
csm_status csm_utterance_open(csm_model *model, const csm_request *request,
                              const csm_generate_options *options, size_t utterance,
                              void (*notify)(void *user), void *user, csm_result **out,
                              csm_error *err);
csm_status csm_utterance_read(csm_result *result, int timeout_ms, bool *is_over, csm_error *err);
csm_status csm_utterance_end(csm_result *result, csm_status status, csm_result **out,
                             csm_error *err);

enum { CSM_RESULT_WORDS = 64 };

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
