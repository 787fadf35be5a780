/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/notes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/numbers.h"

csm_status csm_notes_add(struct csm_notes *notes, bool is_warning, csm_error *err,
                         const char *format, ...)
{
    /* An error's text is cut, and its control characters removed, as a line's should be. */
    csm_error line;
    char said[sizeof line.text];
    va_list arguments;
    va_start(arguments, format);
    csm_vformat(said, sizeof said, format, arguments);
    va_end(arguments);
    (void)csm_fail(&line, CSM_OK, "%s", said);
    csm_note *grown = realloc(notes->lines, (notes->n + 1) * sizeof *grown);
    char *text = strdup(line.text);
    if (grown != NULL)
        notes->lines = grown;
    if (grown == NULL || text == NULL) {
        free(text);
        return csm_fail(err, CSM_NO_MEMORY, "model: a note of %zu bytes", strlen(line.text));
    }
    notes->lines[notes->n++] = (csm_note){text, is_warning};
    return CSM_OK;
}

void csm_notes_free(struct csm_notes *notes)
{
    for (size_t i = 0; i < notes->n; i++)
        free((void *)notes->lines[i].text);
    free(notes->lines);
    *notes = (struct csm_notes){0};
}
