/* SPDX-License-Identifier: Apache-2.0
 *
 * encoder.h - what encoder.c and the formats share: each format is one table of four
 * functions, and writes through the encoding that it was opened with. */
#ifndef CSM_AUDIO_ENCODER_H
#define CSM_AUDIO_ENCODER_H

#include <math.h>

#include <csm/audio.h>

/* One sound on its way: what it is to be, and where its bytes go. */
struct csm_encoding {
    csm_audio_format format;
    int rate_hz;        /* as written */
    uint64_t n_samples; /* as written, 0: not known yet */
    char *title, *artist, *software, *comment; /* NULL: none */
    csm_encoder_target target;
    uint64_t n_bytes; /* written so far */
    /* What the target said when it failed inside a library's callback. */
    csm_status failure;
    csm_error failure_text;
};

/* What of the caller's options its size covers, over the defaults; NULL: the defaults. */
csm_audio_options csm_audio_options_settle(const csm_audio_options *given);

/* Append n bytes; n may be 0. A failure is kept in `failure`, too. */
CSM_MUST_USE csm_status csm_encoding_write(struct csm_encoding *encoding, const void *bytes,
                                           size_t n, csm_error *err);

/* Overwrite bytes that were written; only if csm_encoding_can_rewrite. */
CSM_MUST_USE csm_status csm_encoding_rewrite(struct csm_encoding *encoding, uint64_t offset,
                                             const void *bytes, size_t n, csm_error *err);
bool csm_encoding_can_rewrite(const struct csm_encoding *encoding);

/* After a library gave up: the target's failure, if that was why, else CSM_NO_MEMORY with
 * "FORMAT: what". */
CSM_MUST_USE csm_status csm_encoding_failed(const struct csm_encoding *encoding, const char *what,
                                            csm_error *err);

/* The tags of Vorbis comments (flac, ogg, opus): name and value of tag i, or false. */
bool csm_encoding_comment(const struct csm_encoding *encoding, size_t i, const char **name,
                          const char **value);

/* Bits a second for a format of constant rate: four a sample, 128,000 at most. */
int csm_encoding_bit_rate(const struct csm_encoding *encoding);

/* A format. `*state` is what open made, NULL if it failed before; close frees it, and
 * takes NULL. Samples are finite and within [-1, 1], but for formats of floats. */
struct csm_encoder_kind {
    csm_status (*open)(struct csm_encoding *encoding, void **state, csm_error *err);
    csm_status (*push)(void *state, const float *samples, size_t n, csm_error *err);
    csm_status (*finish)(void *state, csm_error *err);
    void (*close)(void *state);
};

extern const struct csm_encoder_kind csm_encoder_pcm; /* WAV and bare samples */
extern const struct csm_encoder_kind csm_encoder_flac;
extern const struct csm_encoder_kind csm_encoder_vorbis;
extern const struct csm_encoder_kind csm_encoder_opus;
extern const struct csm_encoder_kind csm_encoder_mp3;
extern const struct csm_encoder_kind csm_encoder_aac;

/* Nearest 16 bit value; what is no number is silence. */
static inline int16_t csm_to_s16(float x)
{
    if (isnan(x))
        return 0;
    const float scaled = x * 32768.0f;
    return scaled >= 32767.0f ? 32767 : scaled <= -32768.0f ? -32768 : (int16_t)lrintf(scaled);
}

#endif
