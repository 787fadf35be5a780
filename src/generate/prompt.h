/* SPDX-License-Identifier: Apache-2.0
 *
 * prompt.h - the positions that a sequence is made of, as lists. */
#ifndef CSM_GENERATE_PROMPT_H
#define CSM_GENERATE_PROMPT_H

#include <stddef.h>
#include <stdint.h>

#include <csm/generate.h>

/* Text where text[i] >= 0, else a frame of codes. All zero: none. */
struct csm_prompt {
    size_t n;
    int32_t *text;  /* [n], -1 where a frame is */
    int32_t *codes; /* [n, n_codebooks], unused where text is */
    size_t n_rooms; /* positions that there is memory for */
    size_t adapter; /* that it is read with: its number; 0: none */
};

/* That there are turns where they are counted. CSM_BAD_ARG. */
csm_status csm_context_check(const csm_turn *context, size_t n, csm_error *err);

/* The prompt of a request; freed with csm_prompt_free, also when this failed. Encodes the
 * context's sound, where it is not codes. Errors as csm_generation_open. */
csm_status csm_prompt_build(csm_model *model, const csm_request *request, struct csm_prompt *prompt,
                            csm_error *err);
void csm_prompt_free(struct csm_prompt *prompt);

/* How many positions it would have; encodes nothing. */
csm_status csm_prompt_count(const csm_model *model, const csm_request *request, size_t *n,
                            csm_error *err);

/* How many positions two prompts share at their beginning: none, with different adapters. */
size_t csm_prompt_shared(const struct csm_prompt *a, const struct csm_prompt *b,
                         size_t n_codebooks);

/* Append a frame that was generated. CSM_NO_MEMORY. */
csm_status csm_prompt_append(struct csm_prompt *prompt, const int32_t *codes, size_t n_codebooks,
                             csm_error *err);

#endif
