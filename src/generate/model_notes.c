/* SPDX-License-Identifier: Apache-2.0 */
#include <csm/notes.h>

#include "generate/model.h"

const csm_note *csm_model_notes(const csm_model *model, size_t *n)
{
    const struct csm_notes *notes = csm_checkpoint_notes(model->checkpoint);
    *n = notes->n;
    return notes->lines;
}
