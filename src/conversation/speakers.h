/* SPDX-License-Identifier: Apache-2.0
 *
 * speakers.h - the speakers that a model names. */
#ifndef CSM_CONVERSATION_SPEAKERS_H
#define CSM_CONVERSATION_SPEAKERS_H

#include <csm/voices.h>

/* Those of the model's voices.json, {"voices": [{"name": "anna", "speaker": 0}, ...]}, without
 * the recordings of csm_voices_list. A model without the file names nobody.
 *
 *   voices  receives [*n] of them, to be freed with csm_free
 *
 * Errors: CSM_BAD_FORMAT for a file that is none, CSM_BAD_FILE, CSM_NO_MEMORY. */
csm_status csm_speakers_list(const csm_model *model, csm_voice **voices, size_t *n, csm_error *err);

#endif
