/* SPDX-License-Identifier: Apache-2.0
 *
 * audio.h - sound files in and out, and resampling. Sound is mono float32, full
 * scale 1. Arrays that a function hands over are freed with csm_free (csm.h). */
#ifndef CSM_AUDIO_H
#define CSM_AUDIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <csm/status.h>

#ifdef __cplusplus
extern "C" {
#endif

struct csm_remark; /* remarks.h */

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
typedef enum csm_resampler { CSM_RESAMPLER_SOXR, CSM_RESAMPLER_TORCHAUDIO } csm_resampler;

/* Resample a whole sound to ceil(n_samples * to_hz / from_hz) samples; equal
 * rates copy.
 *
 *   out, n_out  receive an array, to be freed with csm_free
 *
 * Returns CSM_OK; CSM_BAD_ARG (a rate outside 1..768000 Hz); CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_audio_resample(csm_resampler resampler, const float *samples,
                                                   size_t n_samples, int from_hz, int to_hz,
                                                   float **out, size_t *n_out, csm_error *err);

/* Read a whole file of any format that libsndfile knows (WAV, FLAC, Ogg, MP3, ...):
 * channels averaged, resampled. "-" is standard input; a pipe is read to its end, at most
 * 1 GiB.
 *
 *   rate_hz             wanted: the model's
 *   resampler           TORCHAUDIO for a model in Sesame's layout, else SOXR
 *   samples, n_samples  receive an array of at least one sample, to be freed
 *                       with csm_free
 *
 * Returns CSM_OK; CSM_BAD_FILE (cannot be opened); CSM_BAD_FORMAT (no sound file,
 * damaged, empty, with a sample that is not finite or beyond ten times full scale, or
 * with channels that cancel each other in the mean); CSM_BAD_ARG (rate_hz);
 * CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_audio_read(const char *path, int rate_hz,
                                               csm_resampler resampler, float **samples,
                                               size_t *n_samples, csm_error *err);

/* As csm_audio_read, of a sound that lasts at most `longest_s` seconds: a longer one is
 * refused where it passes them, so that a small file (a low rate, silence in FLAC) cannot
 * take hours and gigabytes.
 *
 * Returns what csm_audio_read does; CSM_BAD_FORMAT, too, where it is longer. */
CSM_API CSM_MUST_USE csm_status csm_audio_read_within(const char *path, int rate_hz,
                                                      csm_resampler resampler, double longest_s,
                                                      float **samples, size_t *n_samples,
                                                      csm_error *err);

/* As csm_audio_read_within, and says what csm_remark_file says (remarks.h), of a pipe, too, which
 * cannot be looked at twice.
 *
 *   remark  receives it, or an empty code: nothing to say, or a failure. May be NULL
 *
 * Returns what csm_audio_read_within does. */
CSM_API CSM_MUST_USE csm_status csm_audio_read_told(const char *path, int rate_hz,
                                                    csm_resampler resampler, double longest_s,
                                                    float **samples, size_t *n_samples,
                                                    struct csm_remark *remark, csm_error *err);

/* ---- formats ---------------------------------------------------------------
 *
 * What is written. "rates" are those that the format can hold, in Hz; all is mono.
 * Integers are rounded and clipped to [-1, 1], a sample that is no number is silence.
 *
 *   name, ending        what                                          rates
 *   wav        .wav     RIFF, 16 bit integers                         1..768000
 *   wav-f32             RIFF, 32 bit floats                           1..768000
 *   wav-ulaw, wav-alaw  RIFF, G.711, 8 bit                            1..768000
 *   s16le      .pcm     bare samples, 16 bit integers, little end first   "
 *   f32le               bare samples, 32 bit floats, little end first     "
 *   ulaw, alaw          bare samples, G.711, as telephony has them        "
 *   flac       .flac    FLAC, 16 bit                                  1..655350
 *   ogg        .ogg     Vorbis in Ogg                                 8000..192000
 *   opus       .opus    Opus in Ogg (the codec works at 48000)        8000..192000
 *   mp3        .mp3     MPEG layer 3, constant bit rate    8000 11025 12000 16000 22050
 *                                                          24000 32000 44100 48000
 *   aac        .aac     AAC-LC in ADTS                     the same
 *
 * A build without libavcodec has no aac: csm_encoder_open says so. */
typedef enum csm_audio_format {
    CSM_AUDIO_FORMAT_WAV,
    CSM_AUDIO_FORMAT_WAV_F32,
    CSM_AUDIO_FORMAT_WAV_ULAW,
    CSM_AUDIO_FORMAT_WAV_ALAW,
    CSM_AUDIO_FORMAT_S16LE,
    CSM_AUDIO_FORMAT_F32LE,
    CSM_AUDIO_FORMAT_ULAW,
    CSM_AUDIO_FORMAT_ALAW,
    CSM_AUDIO_FORMAT_FLAC,
    CSM_AUDIO_FORMAT_OGG,
    CSM_AUDIO_FORMAT_OPUS,
    CSM_AUDIO_FORMAT_MP3,
    CSM_AUDIO_FORMAT_AAC,
    CSM_AUDIO_FORMAT_COUNT /* how many there are */
} csm_audio_format;

/* The name in the table, and the format that has it (CSM_AUDIO_FORMAT_COUNT: none). The
 * strings are static. */
CSM_API const char *csm_audio_format_name(csm_audio_format format);
CSM_API csm_audio_format csm_audio_format_find(const char *name);

/* The format that a file's name asks for by its ending, whose case does not count
 * (song.MP3); CSM_AUDIO_FORMAT_COUNT when it has none of those in the table. */
CSM_API csm_audio_format csm_audio_format_of_file(const char *path);

/* The media type, as HTTP names it: "audio/wav", "audio/ogg", ... */
CSM_API const char *csm_audio_format_type(csm_audio_format format);

typedef struct csm_credentials csm_credentials; /* csm/credentials.h */

/* How a sound is written. All zero and NULL, but for size: as it comes. */
typedef struct csm_audio_options {
    size_t size; /* of this struct: csm_audio_defaults() sets it */

    /* Samples a second of what is written: 0: those of the sound, else 8000..48000,
     * resampled as it comes by soxr at high quality, to ceil(n * rate_hz / own)
     * samples in all. */
    int rate_hz;

    /* The number of samples that will be pushed, when it is known before; 0: it is not.
     * It makes the header of a WAV file true where nothing can be rewritten. */
    uint64_t n_samples;

    /* Tags, UTF-8, NULL: none. RIFF INFO (INAM, IART, ISFT, ICMT), ID3 (TIT2, TPE1,
     * TSSE, COMM) or Vorbis comments (TITLE, ARTIST, ENCODER, COMMENT); aac and bare
     * samples have no place for them. At most 4000 bytes each. */
    const char *title, *artist, *software, *comment;

    /* Of a file: signed when it is complete, until when it is held in memory; to be closed
     * after the writer. NULL: not signed. */
    csm_credentials *credentials;
} csm_audio_options;

/* The defaults, in what options->size covers; csm_audio_defaults sets the size too. */
CSM_API void csm_audio_options_init(csm_audio_options *options);
static inline csm_audio_options csm_audio_defaults(void)
{
    csm_audio_options options;
    options.size = sizeof options;
    csm_audio_options_init(&options);
    return options;
}

/* Whether a format can hold tags. */
CSM_API bool csm_audio_format_has_tags(csm_audio_format format);

/* ---- encoding as sound comes -----------------------------------------------
 *
 * Samples in, bytes out by a callback, as soon as the format allows:
 *
 *     const csm_encoder_target target = {send, NULL, socket};
 *     csm_encoder_open(CSM_AUDIO_FORMAT_MP3, 24000, NULL, &target, &encoder, &err);
 *     csm_encoder_push(encoder, samples, n, &err);      // calls send(socket, ...)
 *     csm_encoder_finish(encoder, &err);                // and the rest
 *     csm_encoder_close(encoder);
 *
 * Held back at most, at 24 kHz: nothing by wav and bare samples; flac 48 ms (a block of
 * 1152 samples), ogg 80, opus 80 (pages of 60 ms), mp3 48, aac 86 (two frames of 1024).
 * LAME lowers the level to 0.95, so that the decoded sound does not clip.
 * One thread at a time an encoder; any number of encoders. */
typedef struct csm_encoder csm_encoder;

/* Where bytes go. Each function returns CSM_OK, or another status with err filled, which
 * ends the encoding and is what the encoder's call returns. */
typedef struct csm_encoder_target {
    /* Append n > 0 bytes. */
    csm_status (*write)(void *user, const void *bytes, size_t n, csm_error *err);
    /* Overwrite n bytes at an offset that was written before; NULL: it cannot be. Called
     * by finish alone, for what a header says of the whole: length (wav, flac, mp3). */
    csm_status (*rewrite)(void *user, uint64_t offset, const void *bytes, size_t n,
                          csm_error *err);
    void *user;
} csm_encoder_target;

/* Begin, and write the header. rate_hz is that of the samples; options NULL: the
 * defaults. Options and target are copied, the strings too.
 *
 * Without rewrite, and without n_samples, a WAV header says "of unknown length"
 * (0xffffffff), as other streaming writers do; flac has no total then, and mp3 no frame
 * that says how many samples to leave out at both ends (1105 at the beginning).
 *
 * Returns CSM_OK; CSM_BAD_ARG (a rate that the format does not have: the message names
 * those that it has; a tag that is not UTF-8 or too long; credentials, which only a writer
 * of files can take); CSM_NO_ENGINE (aac without
 * libavcodec); CSM_NO_MEMORY; the target's. `*out` is untouched on failure. */
CSM_API CSM_MUST_USE csm_status csm_encoder_open(csm_audio_format format, int rate_hz,
                                                 const csm_audio_options *options,
                                                 const csm_encoder_target *target,
                                                 csm_encoder **out, csm_error *err);

/* Samples, any number at a time. Returns CSM_OK; CSM_BAD_FILE (a WAV file that is to be
 * rewritten, beyond 4 GB); CSM_NO_MEMORY; the target's. After a failure, only close. */
CSM_API CSM_MUST_USE csm_status csm_encoder_push(csm_encoder *encoder, const float *samples,
                                                 size_t n_samples, csm_error *err);

/* The rest, and what only the end knows. Errors as push. Call it once. */
CSM_API CSM_MUST_USE csm_status csm_encoder_finish(csm_encoder *encoder, csm_error *err);

/* Free, finished or not; takes NULL. Writes nothing. */
CSM_API void csm_encoder_close(csm_encoder *encoder);

/* ---- joining ---------------------------------------------------------------- */

/* Utterances one behind the other: the last 10 ms of what was pushed are kept back, since they
 * may be the end of one, which fades out before the silence between it and the next. One
 * thread at a time. */
typedef struct csm_joint csm_joint;

/* `*out` is to be closed. CSM_BAD_ARG (rate_hz < 1), CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_joint_open(int rate_hz, csm_joint **out, csm_error *err);
CSM_API void csm_joint_close(csm_joint *joint); /* takes NULL */

/* Hand over samples, and receive what was handed over so far and not yet given, but its last
 * 10 ms.
 *   out, n_out  receive [n_out] samples, valid until the next call
 * CSM_NO_MEMORY: nothing was taken. */
CSM_API CSM_MUST_USE csm_status csm_joint_push(csm_joint *joint, const float *samples,
                                               size_t n_samples, const float **out, size_t *n_out,
                                               csm_error *err);

/* The end of an utterance: what is kept back, faded, and pause_ms of silence; the silence
 * alone where nothing is. As csm_joint_push. */
CSM_API CSM_MUST_USE csm_status csm_joint_pause(csm_joint *joint, int pause_ms, const float **out,
                                                size_t *n_out, csm_error *err);

/* Silence between sentences that ask for none, in milliseconds. */
enum { CSM_PAUSE_MS = 160 };

/* ---- files ----------------------------------------------------------------- */

/* Write a whole mono file, or with "-" to standard output: csm_audio_writer_open,
 * _push and _commit in one; errors as theirs. options may be NULL. */
CSM_API CSM_MUST_USE csm_status csm_audio_write(const char *path, csm_audio_format format,
                                                const float *samples, size_t n_samples,
                                                int rate_hz, const csm_audio_options *options,
                                                csm_error *err);

/* Writing as sound comes: an encoder into a file. It is written beside the target and
 * renamed when it is complete, so that a full disk or a killed process leaves the old
 * file or none. What cannot seek (standard output to a pipe) is a target without
 * rewrite. */
typedef struct csm_audio_writer csm_audio_writer;

/* Begin; `*out` is to be ended by _commit or _discard, untouched on failure. options may
 * be NULL. Returns CSM_OK; CSM_BAD_FILE with errno's text; CSM_BAD_ARG (credentials with a
 * format that cannot be signed); as csm_encoder_open. */
CSM_API CSM_MUST_USE csm_status csm_audio_writer_open(const char *path, csm_audio_format format,
                                                      int rate_hz,
                                                      const csm_audio_options *options,
                                                      csm_audio_writer **out, csm_error *err);

/* Append samples. Returns as csm_encoder_push; CSM_BAD_FILE (a full disk, a closed pipe). */
CSM_API CSM_MUST_USE csm_status csm_audio_writer_push(csm_audio_writer *writer,
                                                      const float *samples, size_t n_samples,
                                                      csm_error *err);

/* Complete the file; frees the writer in any case. Returns as csm_encoder_finish and, with
 * credentials, csm_credentials_sign. */
CSM_API CSM_MUST_USE csm_status csm_audio_writer_commit(csm_audio_writer *writer, csm_error *err);

/* Give up: leave no file. Takes NULL. */
CSM_API void csm_audio_writer_discard(csm_audio_writer *writer);

#ifdef __cplusplus
}
#endif
#endif
