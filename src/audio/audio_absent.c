/* SPDX-License-Identifier: Apache-2.0
 *
 * audio_absent.c - what this build leaves out (cmake/CsmFeatures.cmake), answered. */
#include "audio/audio_read.h"
#include "audio/encoder.h"
#include "audio/resample_stream.h"
#include "base/error.h"

#ifndef CSM_HAS_SNDFILE
csm_status csm_audio_decode(const char *path, const void *bytes, size_t n_bytes, double longest_s,
                            float **samples, size_t *n_samples, int *rate_hz, csm_error *err)
{
    (void)bytes;
    (void)n_bytes;
    (void)longest_s;
    (void)samples;
    (void)n_samples;
    *rate_hz = 0;
    return csm_fail(err, CSM_NO_ENGINE, "%s: this build reads no sound files: it is without libsndfile",
                    path);
}
#endif

#ifndef CSM_HAS_SOXR
csm_status csm_resample_soxr(const float *x, size_t n_x, int from_hz, int to_hz, float *y,
                             size_t n_y, csm_error *err)
{
    (void)x;
    (void)n_x;
    (void)y;
    (void)n_y;
    return csm_fail(err, CSM_NO_ENGINE,
                    "resampling %d to %d Hz: this build is without soxr, expected equal rates",
                    from_hz, to_hz);
}

csm_status csm_resample_stream_open(int from_hz, int to_hz, struct csm_resample_stream **out,
                                    csm_error *err)
{
    (void)out;
    return csm_resample_soxr(NULL, 0, from_hz, to_hz, NULL, 0, err);
}

csm_status csm_resample_stream_push(struct csm_resample_stream *stream, const float *samples,
                                    size_t n, bool is_last, const float **out, size_t *n_out,
                                    csm_error *err)
{
    (void)stream;
    (void)samples;
    (void)n;
    (void)is_last;
    (void)out;
    (void)n_out;
    return csm_fail(err, CSM_NO_ENGINE, "resampling: this build is without soxr");
}

void csm_resample_stream_close(struct csm_resample_stream *stream)
{
    (void)stream;
}
#endif

/* Formats: open refuses, so that nothing else is called but close, with NULL. */
#define ABSENT_FORMAT(name, library)                                                               \
    static csm_status name##_open(struct csm_encoding *encoding, void **state, csm_error *err)     \
    {                                                                                              \
        (void)encoding;                                                                            \
        (void)state;                                                                               \
        return csm_fail(err, CSM_NO_ENGINE,                                                        \
                        #name ": this build has no " library "; expected another format, e.g. "    \
                              "wav");                                                              \
    }                                                                                              \
    static csm_status name##_push(void *state, const float *samples, size_t n, csm_error *err)     \
    {                                                                                              \
        (void)samples;                                                                             \
        (void)n;                                                                                   \
        return name##_open(NULL, state, err);                                                      \
    }                                                                                              \
    static csm_status name##_finish(void *state, csm_error *err)                                   \
    {                                                                                              \
        return name##_open(NULL, state, err);                                                      \
    }                                                                                              \
    static void name##_close(void *state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
    }                                                                                              \
    const struct csm_encoder_kind csm_encoder_##name = {name##_open, name##_push, name##_finish,   \
                                                        name##_close};

#ifndef CSM_HAS_FLAC
ABSENT_FORMAT(flac, "libFLAC")
#endif
#ifndef CSM_HAS_VORBIS
ABSENT_FORMAT(vorbis, "libvorbisenc")
#endif
#ifndef CSM_HAS_OPUS
ABSENT_FORMAT(opus, "libopusenc")
#endif
#ifndef CSM_HAS_MP3
ABSENT_FORMAT(mp3, "LAME")
#endif
#ifndef CSM_HAS_AAC
ABSENT_FORMAT(aac, "libavcodec")
#endif
