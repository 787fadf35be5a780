/* SPDX-License-Identifier: Apache-2.0
 *
 * audio.h - sound files in and out, and resampling. Sound is mono float32, full
 * scale 1. Arrays that a function hands over are freed with csm_free (csm.h). */
#ifndef CSM_AUDIO_H
#define CSM_AUDIO_H

#include <stddef.h>
#include <stdint.h>

#include <csm/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Whose resampling. The sound of a prompt becomes the codes that a reference gets
 * only if it is resampled as that reference does.
 *
 *   SOXR        soxr at high quality, as librosa does, and transformers' loader where
 *               torchcodec finds no FFmpeg. Where it finds one, sound is resampled by
 *               FFmpeg and stereo is sqrt(2) louder; `ffmpeg -i IN -ac 1 -ar 24000
 *               -c:a pcm_f32le OUT.wav` gives those samples
 *   TORCHAUDIO  torchaudio.functional.resample with its defaults (Hann-windowed
 *               sinc of width 6, rolloff 0.99), which Sesame's code calls; equal to it
 *               within 1e-5 of full scale, at rates whose common divisor with the
 *               other is small (47999 Hz) within 3e-4: its float32 angles lose digits */
typedef enum csm_resampler { CSM_RESAMPLE_SOXR, CSM_RESAMPLE_TORCHAUDIO } csm_resampler;

/* Resample a whole sound to ceil(n_samples * to_hz / from_hz) samples; equal
 * rates copy.
 *
 *   out, n_out  receive an array, to be freed with csm_free
 *
 * Returns CSM_OK; CSM_BAD_ARG (a rate outside 1..768000 Hz); CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_audio_resample(csm_resampler resampler, const float *samples,
                                                   size_t n_samples, int from_hz, int to_hz,
                                                   float **out, size_t *n_out, csm_error *err);

/* Read a whole file of any format that libsndfile knows (WAV, FLAC, Ogg, MP3,
 * ...): channels averaged, resampled.
 *
 *   rate_hz             wanted: the model's
 *   resampler           TORCHAUDIO for a model in Sesame's layout, else SOXR
 *   samples, n_samples  receive an array of at least one sample, to be freed
 *                       with csm_free
 *
 * Returns CSM_OK; CSM_BAD_FILE (cannot be opened); CSM_BAD_FORMAT (no sound file,
 * damaged, empty, or with a sample that is not finite); CSM_BAD_ARG (rate_hz);
 * CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_audio_read(const char *path, int rate_hz,
                                               csm_resampler resampler, float **samples,
                                               size_t *n_samples, csm_error *err);

/* What is written: a WAV file of 16 bit integers or of floats, or the bare
 * samples, little end first. Integers are rounded and clipped to [-1, 1]. */
typedef enum csm_audio_format {
    CSM_AUDIO_WAV,
    CSM_AUDIO_WAV_F32,
    CSM_AUDIO_S16LE,
    CSM_AUDIO_F32LE
} csm_audio_format;

/* Write a whole mono file, or with "-" to standard output: csm_audio_writer_open,
 * _push and _commit in one; errors as theirs. */
CSM_API CSM_MUST_USE csm_status csm_audio_write(const char *path, csm_audio_format format,
                                                const float *samples, size_t n_samples,
                                                int rate_hz, csm_error *err);

/* Writing as sound comes. A file is written beside the target and renamed when it
 * is complete, so that a full disk or a killed process leaves the old file or
 * none. What cannot seek (standard output to a pipe) gets a WAV header that says
 * "of unknown length" (0xffffffff), as other streaming writers do, and each
 * push's samples at once. */
typedef struct csm_audio_writer csm_audio_writer;

/* Begin; `*out` is to be ended by _commit or _discard, untouched on failure.
 * Returns CSM_OK; CSM_BAD_FILE with errno's text; CSM_BAD_ARG (rate_hz);
 * CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_audio_writer_open(const char *path, csm_audio_format format,
                                                      int rate_hz, csm_audio_writer **out,
                                                      csm_error *err);

/* Append samples. Returns CSM_OK; CSM_BAD_FILE (a full disk, a closed pipe, a WAV
 * file beyond 4 GB). */
CSM_API CSM_MUST_USE csm_status csm_audio_writer_push(csm_audio_writer *writer,
                                                      const float *samples, size_t n_samples,
                                                      csm_error *err);

/* Complete the file; frees the writer in any case. */
CSM_API CSM_MUST_USE csm_status csm_audio_writer_commit(csm_audio_writer *writer, csm_error *err);

/* Give up: leave no file. Takes NULL. */
CSM_API void csm_audio_writer_discard(csm_audio_writer *writer);

#ifdef __cplusplus
}
#endif
#endif
