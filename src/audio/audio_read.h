/* SPDX-License-Identifier: Apache-2.0
 *
 * audio_read.h - decoding a sound file that lies in memory. */
#ifndef CSM_AUDIO_AUDIO_READ_H
#define CSM_AUDIO_AUDIO_READ_H

#include <csm/audio.h>

/* As csm_audio_read_within, but at the rate that the file has, which `rate_hz` receives.
 * `path` is for messages. */
CSM_MUST_USE csm_status csm_audio_decode(const char *path, const void *bytes, size_t n_bytes,
                                         double longest_s, float **samples, size_t *n_samples,
                                         int *rate_hz, csm_error *err);

#endif
