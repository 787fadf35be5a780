/* SPDX-License-Identifier: Apache-2.0 */
#include "base/builder.h"

#include <stdlib.h>
#include <string.h>

static bool reserve(struct csm_builder *b, size_t n)
{
    if (b->has_failed)
        return false;
    if (n < b->capacity - b->length) /* strictly: the terminator needs a place */
        return true;
    size_t capacity = b->capacity < 64 ? 64 : b->capacity;
    while (capacity - b->length <= n)
        capacity *= 2;
    char *text = realloc(b->text, capacity);
    if (text == NULL) {
        b->has_failed = true;
        return false;
    }
    b->text = text;
    b->capacity = capacity;
    return true;
}

void csm_builder_add(struct csm_builder *b, const char *bytes, size_t n)
{
    if (!reserve(b, n))
        return;
    memcpy(b->text + b->length, bytes, n);
    b->length += n;
    b->text[b->length] = '\0';
}

void csm_builder_add_text(struct csm_builder *b, const char *text)
{
    csm_builder_add(b, text, strlen(text));
}

void csm_builder_add_word(struct csm_builder *b, const char *word)
{
    if (b->length > 0 && b->text[b->length - 1] != ' ')
        csm_builder_add(b, " ", 1);
    csm_builder_add_text(b, word);
}

char *csm_builder_take(struct csm_builder *b)
{
    csm_builder_add(b, "", 0); /* an empty string is a string */
    char *text = b->has_failed ? NULL : b->text;
    if (b->has_failed)
        free(b->text);
    *b = (struct csm_builder){0};
    return text;
}

void csm_builder_clear(struct csm_builder *b)
{
    free(b->text);
    *b = (struct csm_builder){0};
}
