/* SPDX-License-Identifier: Apache-2.0 */
#include "model_notes.h"

#include <stdio.h>

#include <csm/notes.h>

void warn_of_model(const csm_model *model)
{
    size_t n = 0;
    const csm_note *notes = csm_model_notes(model, &n);
    for (size_t i = 0; i < n; i++)
        if (notes[i].is_warning)
            fprintf(stderr, "csm: %s\n", notes[i].text);
}
