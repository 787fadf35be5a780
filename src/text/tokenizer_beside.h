/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer_beside.h - tokens that transformers adds to a tokenizer.json because files beside it
 * name them: tokenizer_config.json, and where that has no "added_tokens_decoder" (before 4.34)
 * special_tokens_map.json and added_tokens.json. As its 5.23 reads them
 * (tokenization_utils_base.py, tokenization_utils_tokenizers.py). */
#ifndef CSM_TEXT_TOKENIZER_BESIDE_H
#define CSM_TEXT_TOKENIZER_BESIDE_H

#include <stdbool.h>

#include <jansson.h>

#include <csm/status.h>

/* The files as objects, whose whole numbers may be reals; NULL: not there. */
struct csm_tokenizer_beside {
    json_t *config;      /* tokenizer_config.json */
    json_t *special_map; /* special_tokens_map.json */
    json_t *added;       /* added_tokens.json */
};
void csm_beside_free(struct csm_tokenizer_beside *beside); /* releases the objects */

/* The tokens in the order in which they are added, in the form of tokenizer.json's
 * "added_tokens" without ids. Some may be there already.
 *
 *   own      these; may be NULL
 *   padding  tokenizer.json's, whose token is the one for padding where no file says another; may
 *            be NULL
 *   out      receives an array to be released with json_decref
 *
 * Returns CSM_OK; CSM_BAD_FORMAT; CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_beside_tokens(const struct csm_tokenizer_beside *beside,
                                          const json_t *own, const json_t *padding, json_t **out,
                                          csm_error *err);

/* Whether special tokens in a text are taken for text (split_special_tokens). */
bool csm_beside_splits(const struct csm_tokenizer_beside *beside);

#endif
