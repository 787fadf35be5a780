/* SPDX-License-Identifier: Apache-2.0
 *
 * bpe.h - byte pair encoding of one piece of text: the `model` of a
 * tokenizer.json. */
#ifndef CSM_TEXT_BPE_H
#define CSM_TEXT_BPE_H

#include <jansson.h>

#include <csm/status.h>

#include "text/ids.h"

struct csm_bpe;

/* A value of the file, as it is spelled there; NULL: not there. */
struct csm_json_text {
    const char *begin, *end;
};

/* Make one of the "model" object; `path` is for messages.
 *
 *   model          all of it but "vocab" and "merges"
 *   vocab, merges  these two, valid UTF-8
 *
 * Returns CSM_OK, CSM_BAD_FORMAT, CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_bpe_new(const char *path, const json_t *model,
                                    struct csm_json_text vocab, struct csm_json_text merges,
                                    struct csm_bpe **out, csm_error *err);
void csm_bpe_free(struct csm_bpe *bpe); /* takes NULL */

/* The id of the token that spells these bytes, or -1. */
int32_t csm_bpe_id(const struct csm_bpe *bpe, const void *bytes, size_t n);

/* The id of the token that the file writes so (zero-terminated), or -1; `bytes` is room for n. */
int32_t csm_bpe_written_id(const struct csm_bpe *bpe, const char *token, size_t n,
                           unsigned char *bytes);

/* How many tokens the vocabulary has. */
size_t csm_bpe_size(const struct csm_bpe *bpe);

/* The largest id. */
int32_t csm_bpe_last(const struct csm_bpe *bpe);

/* Append the ids of a piece. Takes O(n log n). Returns false when out of memory.
 * Any number of threads. */
bool csm_bpe_piece(const struct csm_bpe *bpe, const unsigned char *bytes, size_t n,
                   struct csm_ids *ids);

#endif
