/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_tokenizer.h - the tokenizer of a GGUF (tokenizer.ggml.*) as a tokenizer.json. */
#ifndef CSM_CHECKPOINT_GGUF_TOKENIZER_H
#define CSM_CHECKPOINT_GGUF_TOKENIZER_H

#include "files/gguf.h"

/* A byte-level BPE: tokens, merges, and
 *
 *   tokenizer.ggml.token_type  3 and 4 are added tokens. Without it (CrispASR) those are that
 *                              no merge makes and that stand in <> or []: of Llama 3 and
 *                              SmolLM2 all others are made by merges
 *   tokenizer.ggml.pre         llama-bpe, smollm, gpt-2 or default. Without it llama-bpe, or
 *                              smollm where there is an <|im_start|> and no <|begin_of_text|>
 *
 * llama-bpe takes whole words that are tokens before it merges (ignore_merges), as csm-1b's
 * and Llama 3's tokenizer.json does; the others do not. There is no template: a prompt's ends
 * are found by their names (text/prompt.h).
 *
 *   path  for messages
 *   text  receives the tokenizer.json, to be freed; NULL where the file has no tokens
 *   n     receives its length
 *
 * Returns CSM_OK; CSM_BAD_FORMAT; CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_gguf_tokenizer(const csm_gguf *file, const char *path, char **text,
                                           size_t *n, csm_error *err);

#endif
