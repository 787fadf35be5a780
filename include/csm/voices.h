/* SPDX-License-Identifier: Apache-2.0
 *
 * voices.h - voices by name: speakers that a model was trained on, named in its
 * voices.json, and recordings that a user has added, each a saved session
 * (session.h) of one turn: the recording's codes and what is said in it.
 *
 * Recordings lie in $CSM_VOICES, else $XDG_DATA_HOME/csm/voices, else
 * ~/.local/share/csm/voices, as NAME.safetensors. Names are letters, digits, -
 * and _, at most 64. */
#ifndef CSM_VOICES_H
#define CSM_VOICES_H

#include <csm/csm.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where a voice of some name is. */
typedef struct csm_voice {
    char name[65];
    int speaker;     /* of the model; -1 for a recording, whose turn tells it */
    char path[4096]; /* of the recording; empty for a speaker of the model */
} csm_voice;

/* The voice of that name: of the model first, then a recording.
 * CSM_OK; CSM_BAD_ARG when there is none, or the name is no name. */
CSM_API CSM_MUST_USE csm_status csm_voice_find(const csm_model *model, const char *name,
                                               csm_voice *out, csm_error *err);

/* All voices: the model's in its order, then recordings by name.
 *   voices, n  receive an array to be freed with csm_free
 * CSM_OK; CSM_BAD_FILE, CSM_BAD_FORMAT (voices.json); CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_voices_list(const csm_model *model, csm_voice **voices,
                                                size_t *n, csm_error *err);

/* The directory of the recordings, there or not.
 *   dir  [size] receives it, zero-terminated
 * CSM_OK; CSM_BAD_FILE when there is no place for one (neither $CSM_VOICES nor $HOME), or its
 * path is too long. */
CSM_API CSM_MUST_USE csm_status csm_voices_dir(char *dir, size_t size, csm_error *err);

/* Add or replace a recording: encoded here, once.
 *   turn  text (not empty), speaker, samples: at most half of the model's positions
 * CSM_OK; CSM_BAD_ARG, also for the name of a speaker of the model; CSM_BAD_FILE;
 * CSM_ENGINE, CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_voice_add(csm_model *model, const char *name,
                                              const csm_turn *turn, csm_error *err);

/* The file of a recording of that name, there or not, for whoever writes it himself: a
 * saved session (session.h), which may have metadata of its own. Makes the directory.
 *   path  [size] receives it, zero-terminated
 * CSM_OK; CSM_BAD_ARG (no name, or that of a speaker of the model); CSM_BAD_FILE. */
CSM_API CSM_MUST_USE csm_status csm_voice_path(const csm_model *model, const char *name, char *path,
                                               size_t size, csm_error *err);

/* Remove a recording. CSM_BAD_ARG when there is none. */
CSM_API CSM_MUST_USE csm_status csm_voice_remove(const char *name, csm_error *err);

#ifdef __cplusplus
}
#endif
#endif
