/* SPDX-License-Identifier: Apache-2.0
 *
 * recording.h - a sound file in memory, as a client sent it, made into codes. */
#ifndef CSM_SERVER_RECORDING_H
#define CSM_SERVER_RECORDING_H

#include <csm/csm.h>

#include "remark_list.h"

/* Decode, resample and encode a sound file [n bytes]; any thread.
 *
 *   text       what is said in it
 *   longest_s  seconds that it may have
 *   codes      receives [n_frames, n_codebooks], to be freed
 *   seconds    receives how long the sound is; may be NULL
 *   remarks    receives what is wrong with it besides: cut-recording, silent-recording,
 *              short-recording, clipped-recording, unlikely-text
 *
 * Returns CSM_OK; CSM_BAD_FORMAT (no sound, too long); CSM_BAD_FILE (no room for a
 * temporary file); CSM_ENGINE, CSM_NO_MEMORY. */
csm_status recording_encode(csm_model *model, const void *bytes, size_t n, const char *text,
                            double longest_s, int32_t **codes, size_t *n_frames, double *seconds,
                            struct remark_list *remarks, csm_error *err);

#endif
