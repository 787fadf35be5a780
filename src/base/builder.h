/* SPDX-License-Identifier: Apache-2.0
 *
 * builder.h - a string that grows. Appending never fails in the middle of a
 * sentence: running out of memory is remembered, and told when the string is
 * taken. All zero is empty. */
#ifndef CSM_BASE_BUILDER_H
#define CSM_BASE_BUILDER_H

#include <stdbool.h>
#include <stddef.h>

struct csm_builder {
    char *text; /* zero-terminated once something was appended */
    size_t length, capacity;
    bool has_failed;
};

void csm_builder_add(struct csm_builder *b, const char *bytes, size_t n);
void csm_builder_add_text(struct csm_builder *b, const char *text);

/* Add a word: with a space before it unless the text is empty or ends in one. */
void csm_builder_add_word(struct csm_builder *b, const char *word);

/* The string, to be freed by the caller, and the builder empty again; NULL when
 * memory ran out on the way. */
char *csm_builder_take(struct csm_builder *b);

/* Let go of what was built. */
void csm_builder_clear(struct csm_builder *b);

#endif
