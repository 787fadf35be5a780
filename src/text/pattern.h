/* SPDX-License-Identifier: Apache-2.0
 *
 * pattern.h - the regular expressions of a pre-tokenizer, by PCRE2 with JIT. */
#ifndef CSM_TEXT_PATTERN_H
#define CSM_TEXT_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include <csm/status.h>

struct csm_pattern;

/* Refuse what Oniguruma, which `tokenizers` uses, reads otherwise than PCRE2 does, as far as it is
 * known: \h is a hexadecimal digit there, classes may hold classes. CSM_BAD_FORMAT. */
CSM_MUST_USE csm_status csm_pattern_check(const char *path, const char *text, csm_error *err);

/* Compile; `path` is for messages. A literal pattern matches itself. In others,
 * \s is Unicode's White_Space (PCRE2's own has U+180E besides), as in the
 * expressions of `tokenizers`. Returns CSM_OK, CSM_BAD_FORMAT (with PCRE2's
 * message), CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_pattern_new(const char *path, const char *text, bool is_literal,
                                        struct csm_pattern **out, csm_error *err);
void csm_pattern_free(struct csm_pattern *pattern); /* takes NULL */

/* The memory of one caller's matches. */
struct csm_matcher;
struct csm_matcher *csm_matcher_new(void); /* NULL: out of memory */
void csm_matcher_free(struct csm_matcher *matcher);

/* The first match that begins at `from` or later in valid UTF-8.
 *
 *   begin, end  receive its bounds; both n where there is none
 *
 * Returns false when PCRE2 gives up (its match limits, or out of memory). */
bool csm_pattern_next(const struct csm_pattern *pattern, struct csm_matcher *matcher,
                      const char *text, size_t n, size_t from, size_t *begin, size_t *end);

#endif
