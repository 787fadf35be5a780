/* SPDX-License-Identifier: Apache-2.0 */
#include "audio/format.h"

#include <string.h>
#include <strings.h>

#include "base/error.h"

static const struct csm_format formats[CSM_AUDIO_FORMAT_COUNT] = {
    [CSM_AUDIO_FORMAT_WAV] = {"wav", "wav", "audio/wav", &csm_encoder_pcm, 1, 768000,
                              .has_tags = true},
    [CSM_AUDIO_FORMAT_WAV_F32] = {"wav-f32", NULL, "audio/wav", &csm_encoder_pcm, 1, 768000,
                                  .has_tags = true, .is_float = true},
    [CSM_AUDIO_FORMAT_WAV_ULAW] = {"wav-ulaw", NULL, "audio/wav", &csm_encoder_pcm, 1, 768000,
                                   .has_tags = true},
    [CSM_AUDIO_FORMAT_WAV_ALAW] = {"wav-alaw", NULL, "audio/wav", &csm_encoder_pcm, 1, 768000,
                                   .has_tags = true},
    [CSM_AUDIO_FORMAT_S16LE] = {"s16le", "pcm", "application/octet-stream", &csm_encoder_pcm, 1,
                                768000, .has_tags = false},
    [CSM_AUDIO_FORMAT_F32LE] = {"f32le", NULL, "application/octet-stream", &csm_encoder_pcm, 1,
                                768000, .is_float = true},
    [CSM_AUDIO_FORMAT_ULAW] = {"ulaw", NULL, "audio/basic", &csm_encoder_pcm, 1, 768000,
                               .has_tags = false},
    [CSM_AUDIO_FORMAT_ALAW] = {"alaw", NULL, "application/octet-stream", &csm_encoder_pcm, 1,
                               768000, .has_tags = false},
    [CSM_AUDIO_FORMAT_FLAC] = {"flac", "flac", "audio/flac", &csm_encoder_flac, 1, 655350,
                               .has_tags = true},
    [CSM_AUDIO_FORMAT_OGG] = {"ogg", "ogg", "audio/ogg", &csm_encoder_vorbis, 8000, 192000,
                              .has_tags = true},
    [CSM_AUDIO_FORMAT_OPUS] = {"opus", "opus", "audio/ogg; codecs=opus", &csm_encoder_opus, 8000,
                               192000, .has_tags = true},
    [CSM_AUDIO_FORMAT_MP3] = {"mp3", "mp3", "audio/mpeg", &csm_encoder_mp3, 8000, 48000,
                              .has_mpeg_rates = true, .has_tags = true},
    [CSM_AUDIO_FORMAT_AAC] = {"aac", "aac", "audio/aac", &csm_encoder_aac, 8000, 48000,
                              .has_mpeg_rates = true},
};

const struct csm_format *csm_format_row(csm_audio_format format)
{
    return (unsigned)format < CSM_AUDIO_FORMAT_COUNT ? &formats[format] : NULL;
}

const char *csm_audio_format_name(csm_audio_format format)
{
    const struct csm_format *row = csm_format_row(format);
    return row != NULL ? row->name : "unknown";
}

const char *csm_audio_format_type(csm_audio_format format)
{
    const struct csm_format *row = csm_format_row(format);
    return row != NULL ? row->type : "application/octet-stream";
}

bool csm_audio_format_has_tags(csm_audio_format format)
{
    const struct csm_format *row = csm_format_row(format);
    return row != NULL && row->has_tags;
}

csm_audio_format csm_audio_format_find(const char *name)
{
    int f = 0;
    while (f < CSM_AUDIO_FORMAT_COUNT && strcmp(formats[f].name, name) != 0)
        f++;
    return (csm_audio_format)f;
}

csm_audio_format csm_audio_format_of_file(const char *path)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    if (dot == NULL || (slash != NULL && dot < slash))
        return CSM_AUDIO_FORMAT_COUNT;
    int f = 0;
    while (f < CSM_AUDIO_FORMAT_COUNT &&
           (formats[f].ending == NULL || strcasecmp(formats[f].ending, dot + 1) != 0))
        f++;
    return (csm_audio_format)f;
}

csm_status csm_format_check_rate(csm_audio_format format, int rate_hz, csm_error *err)
{
    static const int mpeg[] = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000};
    const struct csm_format *row = csm_format_row(format);
    bool is_known = rate_hz >= row->min_hz && rate_hz <= row->max_hz;
    if (row->has_mpeg_rates) {
        is_known = false;
        for (size_t i = 0; i < sizeof mpeg / sizeof *mpeg; i++)
            is_known = is_known || mpeg[i] == rate_hz;
    }
    if (is_known)
        return CSM_OK;
    if (row->has_mpeg_rates)
        return csm_fail(err, CSM_BAD_ARG,
                        "%s: %d Hz, expected 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100 "
                        "or 48000",
                        row->name, rate_hz);
    return csm_fail(err, CSM_BAD_ARG, "%s: %d Hz, expected %d to %d", row->name, rate_hz,
                    row->min_hz, row->max_hz);
}
