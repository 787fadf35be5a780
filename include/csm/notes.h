/* SPDX-License-Identifier: Apache-2.0
 *
 * notes.h - what is to be said of a model that opened: a prefix taken off its
 * tensors' names, an adapter applied, files and tensors that are not used, and why. */
#ifndef CSM_NOTES_H
#define CSM_NOTES_H

#include <stdbool.h>
#include <stddef.h>

#include <csm/csm.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One thing to be said. */
typedef struct csm_note {
    const char *text; /* one line */
    bool is_warning;  /* what is heard may not be what was meant: worth saying unasked */
} csm_note;

/* The notes of a model, in the order in which they came up; `n` receives how many.
 * They live as long as the model. */
CSM_API const csm_note *csm_model_notes(const csm_model *model, size_t *n);

#ifdef __cplusplus
}
#endif
#endif
