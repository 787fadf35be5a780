/* SPDX-License-Identifier: Apache-2.0 */
#include <csm/text.h>

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static const char white[] = " \t\r\n";

/* [n] without the white space behind it; NULL: out of memory. */
static char *copy_trimmed(const char *text, size_t n)
{
    while (n > 0 && strchr(white, text[n - 1]) != NULL)
        n--;
    char *copy = malloc(n + 1);
    if (copy != NULL) {
        memcpy(copy, text, n);
        copy[n] = '\0';
    }
    return copy;
}

csm_status csm_text_divide(const char *text, size_t max_bytes, csm_text_piece **out, size_t *n_out,
                           csm_error *err)
{
    csm_text_piece *pieces = NULL;
    size_t n = 0;
    for (const char *p = text + strspn(text, white); *p != '\0'; p += strspn(p, white)) {
        const size_t length = max_bytes > 0 ? csm_text_sentence(p, max_bytes) : strlen(p);
        csm_text_piece *grown = realloc(pieces, (n + 1) * sizeof *grown);
        char *words = copy_trimmed(p, length);
        if (grown != NULL)
            pieces = grown;
        if (grown == NULL || words == NULL) {
            free(words);
            csm_text_pieces_free(pieces, n);
            return csm_fail(err, CSM_NO_MEMORY, "text: out of memory");
        }
        pieces[n++] = (csm_text_piece){.text = words};
        p += length;
    }
    *out = pieces;
    *n_out = n;
    return CSM_OK;
}
