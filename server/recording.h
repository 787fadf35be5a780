/* SPDX-License-Identifier: Apache-2.0
 *
 * recording.h - a sound file in memory, as a client sent it, made into codes. */
#ifndef CSM_SERVER_RECORDING_H
#define CSM_SERVER_RECORDING_H

#include <csm/remarks.h>

/* Decode, resample and encode a sound file [n bytes]; any thread.
 *
 *   longest_s  seconds that it may have
 *   codes      receives [n_frames, n_codebooks], to be freed
 *   seconds    receives how long the sound is; may be NULL
 *   remark     receives why it lends no voice (csm_remark_recording); code "": it does
 *
 * Returns CSM_OK; CSM_BAD_FORMAT (no sound, too long); CSM_BAD_FILE (no room for a
 * temporary file); CSM_ENGINE, CSM_NO_MEMORY. */
csm_status recording_encode(csm_model *model, const void *bytes, size_t n, double longest_s,
                            int32_t **codes, size_t *n_frames, double *seconds, csm_remark *remark,
                            csm_error *err);

#endif
