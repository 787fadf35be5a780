/* SPDX-License-Identifier: Apache-2.0
 *
 * notes.h - what is to be said of a model that opens: a prefix taken off, an
 * adapter applied, tensors that are not used, and why. */
#ifndef CSM_CHECKPOINT_NOTES_H
#define CSM_CHECKPOINT_NOTES_H

#include <stdbool.h>
#include <stddef.h>

#include <csm/notes.h>
#include <csm/status.h>

/* Owns its texts. */
struct csm_notes {
    size_t n;
    csm_note *lines;
};

CSM_MUST_USE csm_status csm_notes_add(struct csm_notes *notes, bool is_warning, csm_error *err,
                                      const char *format, ...) CSM_PRINTF(4, 5);
void csm_notes_free(struct csm_notes *notes);

#endif
