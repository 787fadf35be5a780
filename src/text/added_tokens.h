/* SPDX-License-Identifier: Apache-2.0
 *
 * added_tokens.h - the tokens of a tokenizer.json that are cut out of a text
 * before anything else looks at it: begin, end, <|AUDIO|>. */
#ifndef CSM_TEXT_ADDED_TOKENS_H
#define CSM_TEXT_ADDED_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include <csm/status.h>

#include "text/bpe.h"
#include "text/pattern.h"

struct csm_added_token {
    const char *content; /* n bytes; owned by the set */
    size_t n;
    int32_t id;
    bool is_single_word, strips_left, strips_right;
    bool is_normalized, is_special;
};

/* Tokens that are looked for together, by first byte, the longest first. */
struct csm_added_tokens {
    struct csm_added_token *tokens;
    size_t n;
    bool is_searched[2]; /* those that are not special, those that are */
    size_t first[257]; /* tokens that begin with byte b: first[b] .. first[b + 1] - 1 */
    struct csm_pattern *word_after, *word_before; /* NULL if no token needs them */
};

/* The tokens of the file's "added_tokens" (may be NULL), then `more` (NULL: none; the same
 * without ids), in two sets by `normalized`, false and true: `tokenizers` looks for the two
 * kinds one after the other. Ids are numbered as there, whatever the file says of them: one that the
 * vocabulary has, too, has its id; another has one more than the largest so far, or than the
 * vocabulary has tokens. Freed with csm_added_free each, also when this failed.
 *
 *   has_special  special ones are cut out of texts, too (split_special_tokens false) */
CSM_MUST_USE csm_status csm_added_read(const char *path, const json_t *array, const json_t *more,
                                       bool has_special, const struct csm_bpe *bpe,
                                       struct csm_added_tokens sets[2], csm_error *err);
void csm_added_free(struct csm_added_tokens *set);

/* The token of that content, or NULL. */
const struct csm_added_token *csm_added_find(const struct csm_added_tokens *set,
                                             const char *content);

/* Walks through a text; zeroed but for `text` and `n` at the start. */
struct csm_added_walk {
    const char *text;
    size_t n;
    size_t at;      /* where the search goes on */
    size_t done;    /* where the last token ended, spaces that it took included */
};

/* The next token: its bounds, with the spaces that it takes (begin not before
 * walk->done as it was). NULL: there is no more; then the rest of the text begins
 * at walk->done. `*is_good` false: PCRE2 gave up. */
const struct csm_added_token *csm_added_next(const struct csm_added_tokens *set,
                                             struct csm_matcher *matcher,
                                             struct csm_added_walk *walk, size_t *begin,
                                             size_t *end, bool *is_good);

#endif
