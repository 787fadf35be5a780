/* SPDX-License-Identifier: Apache-2.0
 *
 * codec.h - Mimi, the codec: sound to codes and codes to sound.
 *
 * Threads: a codec is used by any number of threads at once, beside its model's
 * generations; a decoder by one at a time. */
#ifndef CSM_CODEC_H
#define CSM_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <csm/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct csm_codec csm_codec;     /* an open codec */
typedef struct csm_decoder csm_decoder; /* one stream of codes becoming sound */

/* Open the codec of a model directory or GGUF file alone, or of one that holds a codec only
 * (kyutai's file, codec.cpp's mimi). Options: n_threads, device, codec_engine (NULL: native).
 * Errors as csm_model_open. */
CSM_API CSM_MUST_USE csm_status csm_codec_open(const char *dir, const csm_model_options *options,
                                               csm_codec **out, csm_error *err);
CSM_API void csm_codec_close(csm_codec *codec); /* takes NULL */

/* The codec of a model, NULL if it has none: lives as long as the model, not to be closed. */
CSM_API csm_codec *csm_model_codec(csm_model *model);

/* What is known of an open codec. */
typedef struct csm_codec_info {
    int sample_rate_hz;   /* 24000 */
    size_t frame_samples; /* 1920 */
    size_t n_codebooks;   /* at most so many codes a frame */
    size_t n_entries;     /* codes are in [0, n_entries) */
} csm_codec_info;

/* Lives as long as the codec. */
CSM_API const csm_codec_info *csm_codec_describe(const csm_codec *codec);

/* Sound to codes. What was encoded last is kept, samples and codes, up to 16 MB a codec (some
 * 170 s): the same samples again take no time, also as a context of csm_generate, in a session
 * and in the server.
 *
 *   samples  [n_samples] mono at sample_rate_hz; the last frame may be partial
 *            and is padded layer by layer as transformers does
 *   codes    [n_frames, n_codebooks], n_frames = ceil(n_samples / frame_samples);
 *            n_codebooks from 1 to the codec's
 *
 * Returns CSM_OK; CSM_BAD_ARG (no codec, n_codebooks, a sample that is not finite);
 * CSM_ENGINE, CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_codec_encode(csm_codec *codec, const float *samples,
                                                 size_t n_samples, size_t n_codebooks,
                                                 int32_t *codes, csm_error *err);

/* Codes to sound.
 *
 *   codes    [n_frames, n_codebooks], each in [0, n_entries); n_codebooks from 1
 *   samples  [n_frames * frame_samples]; not clamped to [-1, 1]
 *
 * Returns CSM_OK; CSM_BAD_ARG (no codec; the message names frame, codebook and code);
 * CSM_ENGINE, CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_codec_decode(csm_codec *codec, const int32_t *codes,
                                                 size_t n_frames, size_t n_codebooks,
                                                 float *samples, csm_error *err);

/* Decoding as frames come: the samples are those of csm_codec_decode over all of
 * them, within 1e-5, however many frames a call brings. */
CSM_API CSM_MUST_USE csm_status csm_decoder_open(csm_codec *codec, csm_decoder **out,
                                                csm_error *err);
CSM_API CSM_MUST_USE csm_status csm_decoder_push(csm_decoder *decoder, const int32_t *codes,
                                                 size_t n_frames, size_t n_codebooks,
                                                 float *samples, csm_error *err);
CSM_API CSM_MUST_USE csm_status csm_decoder_reset(csm_decoder *decoder, csm_error *err);
CSM_API void csm_decoder_close(csm_decoder *decoder); /* takes NULL */

#ifdef __cplusplus
}
#endif
#endif
