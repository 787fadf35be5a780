/* SPDX-License-Identifier: Apache-2.0
 *
 * resample_stream.h - soxr at high quality, as sound comes. What comes out in all is what
 * csm_audio_resample gives for the whole, in number; the samples are within rounding. */
#ifndef CSM_AUDIO_RESAMPLE_STREAM_H
#define CSM_AUDIO_RESAMPLE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <csm/status.h>

/* The whole at once: n_y samples, csm_resampled_count of n_x. CSM_OK, CSM_NO_MEMORY; here and
 * below CSM_NO_ENGINE in a build without soxr. */
CSM_MUST_USE csm_status csm_resample_soxr(const float *x, size_t n_x, int from_hz, int to_hz,
                                          float *y, size_t n_y, csm_error *err);

struct csm_resample_stream;

CSM_MUST_USE csm_status csm_resample_stream_open(int from_hz, int to_hz,
                                                 struct csm_resample_stream **out, csm_error *err);

/* Samples in; `*out` (valid until the next call) and `*n_out` receive what can be said
 * now. is_last: and all the rest, whether n is 0 or not. CSM_OK, CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_resample_stream_push(struct csm_resample_stream *stream,
                                                 const float *samples, size_t n, bool is_last,
                                                 const float **out, size_t *n_out, csm_error *err);

void csm_resample_stream_close(struct csm_resample_stream *stream); /* takes NULL */

/* The number of samples that n become. */
uint64_t csm_resampled_count(uint64_t n, int from_hz, int to_hz);

#endif
