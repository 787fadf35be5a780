/* SPDX-License-Identifier: Apache-2.0
 *
 * markup_absent.c - without md4c: paragraphs, and no markup is read. Its signs go, by the
 * rules of say_symbol.c; tags are said. */
#include "text/markup.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

csm_status csm_markup_open(struct csm_markup **out, csm_error *err)
{
    (void)err;
    *out = NULL;
    return CSM_OK;
}

void csm_markup_close(struct csm_markup *markup)
{
    (void)markup;
}

csm_status csm_markup_read(const struct csm_markup *markup, const char *text, struct csm_blocks *blocks,
                           csm_error *err)
{
    (void)markup;
    while (text[strspn(text, " \t\r\n")] != '\0') {
        text += strspn(text, " \t\r\n");
        const char *end = strstr(text, "\n\n");
        size_t n = end != NULL ? (size_t)(end - text) : strlen(text);
        while (n > 0 && strchr(" \t\r\n", text[n - 1]) != NULL)
            n--;
        struct csm_block *grown = realloc(blocks->items, (blocks->n + 1) * sizeof *grown);
        if (grown != NULL)
            blocks->items = grown;
        char *copy = grown != NULL ? malloc(n + 1) : NULL;
        if (copy == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "text: out of memory");
        memcpy(copy, text, n);
        copy[n] = '\0';
        blocks->items[blocks->n++] = (struct csm_block){copy, false, 0};
        text += n;
    }
    return CSM_OK;
}
