/* SPDX-License-Identifier: Apache-2.0
 *
 * audio.h - sound files in and out, and resampling. Sound is mono float32,
 * full scale 1. */
#ifndef CSM_AUDIO_AUDIO_H
#define CSM_AUDIO_AUDIO_H

#include <stddef.h>
#include <stdint.h>

#include <csm/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Read a whole file of any format that libsndfile knows (WAV, FLAC, Ogg, MP3,
 * ...), channels averaged, at the rate it has.
 *
 *   samples, n_samples  receive an array to be freed with free(); at least one
 *   rate_hz             receives the file's rate
 *
 * Returns CSM_OK; CSM_BAD_FILE (cannot be opened), CSM_BAD_FORMAT (no sound
 * file, cut short, empty, a sample that is not finite); CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_audio_read(const char *path, float **samples, size_t *n_samples,
                                       int *rate_hz, csm_error *err);

/* Resample a whole sound, to ceil(n * to_hz / from_hz) samples. Equal to
 * torchaudio.functional.resample with its defaults (Hann-windowed sinc, width 6,
 * rolloff 0.99), which Sesame's code uses on prompt audio, within 1e-5: so codes
 * of a prompt are those that Sesame's code gets. Equal rates copy.
 *
 *   out, n_out  receive an array to be freed with free()
 *
 * Returns CSM_OK; CSM_BAD_ARG (a rate outside 1..768000 Hz); CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_audio_resample_torchaudio(const float *samples, size_t n_samples,
                                                  int from_hz, int to_hz, float **out,
                                                  size_t *n_out, csm_error *err);

/* The same by soxr at high quality, which transformers' loader uses. */
CSM_MUST_USE csm_status csm_audio_resample_soxr(const float *samples, size_t n_samples, int from_hz,
                                                int to_hz, float **out, size_t *n_out,
                                                csm_error *err);

/* How samples lie in an output file. WAV_* are WAV files; RAW_* bare samples,
 * little end first. S16 clips to [-1, 1]. */
enum csm_audio_format {
    CSM_WAV_S16,
    CSM_WAV_F32,
    CSM_RAW_S16,
    CSM_RAW_F32
};

typedef struct csm_audio_writer csm_audio_writer;

/* Begin a mono file, or with "-" standard output. A file is written beside and
 * renamed at commit (base/output.h). What cannot seek (a pipe) gets a WAV header
 * of unknown length, 0xffffffff, as other streaming writers have it.
 *
 *   out  to be ended by _commit or _discard; untouched on failure */
CSM_MUST_USE csm_status csm_audio_writer_open(const char *path, enum csm_audio_format format,
                                              int rate_hz, csm_audio_writer **out, csm_error *err);

/* Append samples. Returns CSM_OK; CSM_BAD_FILE (disk full, pipe closed);
 * CSM_BAD_ARG when a WAV would grow beyond 4 GB. */
CSM_MUST_USE csm_status csm_audio_writer_push(csm_audio_writer *writer, const float *samples,
                                              size_t n_samples, csm_error *err);

/* Complete the file; frees the writer in any case. */
CSM_MUST_USE csm_status csm_audio_writer_commit(csm_audio_writer *writer, csm_error *err);
/* Give up; leaves no file. Takes NULL. */
void csm_audio_writer_discard(csm_audio_writer *writer);

#ifdef __cplusplus
}
#endif
#endif
