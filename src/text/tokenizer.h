/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer.h - text to ids, as Hugging Face `tokenizers` does with the same
 * tokenizer.json: byte-level BPE, the file's own pattern and added tokens.
 *
 * What is read: model BPE (ignore_merges; merges as "a b" or ["a", "b"]);
 * pre-tokenizer Split (a regular expression or a string, Isolated), Digits,
 * ByteLevel, or a Sequence of these; added tokens with all their flags; post-processor
 * TemplateProcessing, ByteLevel, or a Sequence of these. What else a file may
 * ask for (normalizers, other models) is refused, never ignored. */
#ifndef CSM_TEXT_TOKENIZER_H
#define CSM_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <csm/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct csm_tokenizer csm_tokenizer;

/* Open a tokenizer.json. `*out` is to be closed with csm_tokenizer_close;
 * untouched on failure. Returns CSM_OK; CSM_BAD_FILE, CSM_BAD_FORMAT,
 * CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_tokenizer_open(const char *path, csm_tokenizer **out, csm_error *err);
/* The same from memory; `path` is for messages.
 *
 *   beside  what the files beside it add to it, or NULL (tokenizer_beside.h) */
struct csm_tokenizer_beside;
CSM_MUST_USE csm_status csm_tokenizer_read(const char *path, const char *bytes, size_t n_bytes,
                                           const struct csm_tokenizer_beside *beside,
                                           csm_tokenizer **out, csm_error *err);
void csm_tokenizer_close(csm_tokenizer *tokenizer); /* takes NULL */

/* That a text is UTF-8. CSM_BAD_ARG: the message says which byte is not. */
CSM_MUST_USE csm_status csm_tokenizer_check(const char *text, size_t n_bytes, csm_error *err);

/* The ids of a text.
 *
 *   text, n_bytes  UTF-8, may hold zeros
 *   has_template   put what the post-processor puts around a text (begin, end):
 *                  `add_special_tokens` of the references
 *   ids, n_ids     receive an array to be freed with free(); NULL and 0 when empty
 *
 * Returns CSM_OK; CSM_BAD_ARG (not UTF-8: the message says at which byte);
 * CSM_NO_MEMORY. Takes O(n log n). Any number of threads. */
CSM_MUST_USE csm_status csm_tokenizer_encode(const csm_tokenizer *tokenizer, const char *text,
                                             size_t n_bytes, bool has_template, int32_t **ids,
                                             size_t *n_ids, csm_error *err);

/* The id of an added or vocabulary token by its content, or -1. */
int32_t csm_tokenizer_id(const csm_tokenizer *tokenizer, const char *content);

/* The largest id that encode can give, plus one. */
size_t csm_tokenizer_size(const csm_tokenizer *tokenizer);

/* How many ids the template puts before a text, and after it. */
size_t csm_tokenizer_before(const csm_tokenizer *tokenizer);
size_t csm_tokenizer_after(const csm_tokenizer *tokenizer);

#ifdef __cplusplus
}
#endif
#endif
