/* SPDX-License-Identifier: Apache-2.0
 *
 * prompt.h - what a turn's text looks like to the model: begin, "[speaker]text",
 * end. */
#ifndef CSM_TEXT_PROMPT_H
#define CSM_TEXT_PROMPT_H

#include "text/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What csm_prompt_encode puts before and after a text because the tokenizer's template does not;
 * NULL: nothing. */
struct csm_prompt_ends {
    const char *before, *after;
};
struct csm_prompt_ends csm_prompt_ends(const csm_tokenizer *tokenizer);

/* The ids of one turn's text. The template of csm-1b's tokenizer.json puts begin
 * and end around it; Llama's own file, which many keep beside Sesame's weights,
 * has no end (or neither), and then <|begin_of_text|> and <|end_of_text|> are put
 * there as Sesame's code does. SmolLM2's has neither, nor those tokens: Marvis, which
 * is trained with it, puts <|im_start|> and <|im_end|>.
 *
 *   has_space  MisoTTS (speaker_prefix_space): "[speaker] text", white space before the
 *              text dropped
 *   text       zero-terminated UTF-8
 *   ids        receives an array to be freed with free()
 *
 * Returns as csm_tokenizer_encode. */
CSM_MUST_USE csm_status csm_prompt_encode(const csm_tokenizer *tokenizer, bool has_space,
                                          const char *text, int speaker, int32_t **ids,
                                          size_t *n_ids, csm_error *err);

#ifdef __cplusplus
}
#endif
#endif
