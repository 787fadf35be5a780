/* SPDX-License-Identifier: Apache-2.0 */
#include "written.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "text_input.h"

static bool wrong(const char *option, const char *value, const char *expected)
{
    fprintf(stderr, "csm: %s: '%s', expected %s\n", option, value, expected);
    return false;
}

/* The format of a name, ulaw and alaw being bare samples; false: it is none. */
static bool find(const char *name, csm_audio_format *format)
{
    *format = csm_audio_format_find(name);
    return *format != CSM_AUDIO_FORMAT_COUNT;
}

/* What a name's ending says, and --format within it. */
static bool fit(csm_audio_format by_name, csm_audio_format asked, csm_audio_format *out)
{
    const bool is_bare = asked == CSM_AUDIO_FORMAT_S16LE || asked == CSM_AUDIO_FORMAT_F32LE ||
                         asked == CSM_AUDIO_FORMAT_ULAW || asked == CSM_AUDIO_FORMAT_ALAW;
    const bool is_wav = asked == CSM_AUDIO_FORMAT_WAV || asked == CSM_AUDIO_FORMAT_WAV_F32 ||
                        asked == CSM_AUDIO_FORMAT_WAV_ULAW || asked == CSM_AUDIO_FORMAT_WAV_ALAW;
    *out = asked;
    if (by_name == CSM_AUDIO_FORMAT_S16LE)
        return is_bare;
    if (by_name != CSM_AUDIO_FORMAT_WAV)
        return asked == by_name;
    if (asked == CSM_AUDIO_FORMAT_ULAW)
        *out = CSM_AUDIO_FORMAT_WAV_ULAW;
    if (asked == CSM_AUDIO_FORMAT_ALAW)
        *out = CSM_AUDIO_FORMAT_WAV_ALAW;
    return is_wav || *out != asked;
}

/* A name for the output where none was given. */
static const char *default_name(csm_audio_format format)
{
    static const char *const names[] = {"audio.wav",  "audio.pcm", "audio.flac", "audio.ogg",
                                        "audio.opus", "audio.mp3", "audio.aac"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (csm_audio_format_of_file(names[i]) == format)
            return names[i];
    const char *name = csm_audio_format_name(format);
    return strncmp(name, "wav", 3) == 0 ? names[0] : names[1];
}

/* Standard output, a pipe, a device: no name to go by. (A directory is refused as such.) */
static bool is_nameless(const char *output)
{
    struct stat info;
    return strcmp(output, "-") == 0 || strcmp(output, "none") == 0 ||
           (stat(output, &info) == 0 && !S_ISREG(info.st_mode));
}

bool written_choose(struct written *w, const char **output)
{
    csm_audio_format asked = CSM_AUDIO_FORMAT_WAV;
    if (w->format_name != NULL && !find(w->format_name, &asked))
        return wrong("--format", w->format_name,
                     "wav, wav-f32, ulaw, alaw, s16le, f32le, flac, ogg, opus, mp3 or aac");
    if (*output == NULL)
        *output = default_name(asked);
    w->format = asked;
    const csm_audio_format by_name = csm_audio_format_of_file(*output);
    if (strcmp(*output, "none") == 0 && (w->rate_hz != 0 || w->title != NULL))
        return wrong(w->rate_hz != 0 ? "--sample-rate" : "--title", "",
                     "--output F with it, a file");
    if (by_name == CSM_AUDIO_FORMAT_COUNT && w->format_name == NULL && !is_nameless(*output))
        return wrong(
            "--output", *output,
            "a name that ends in .wav, .flac, .ogg, .opus, .mp3, .aac or .pcm, or --format");
    if (by_name != CSM_AUDIO_FORMAT_COUNT && w->format_name == NULL)
        w->format = by_name;
    else if (by_name != CSM_AUDIO_FORMAT_COUNT && !fit(by_name, asked, &w->format))
        return wrong("--format", w->format_name, "one that goes with the output's name");
    if (w->title != NULL && !csm_audio_format_has_tags(w->format))
        return wrong("--title", w->title, "a format that has tags");
    if (w->c2pa_cert != NULL && strcmp(*output, "none") == 0)
        return wrong("--c2pa-cert", w->c2pa_cert, "--output F with it, a file");
    if (w->c2pa_cert != NULL && !csm_credentials_fit(w->format))
        return wrong("--c2pa-cert", w->c2pa_cert, "a format that C2PA signs: wav, flac or mp3");
    return true;
}

csm_status credentials_read(const char *cert_file, const char *key_file, csm_credentials **out,
                            csm_error *err)
{
    *out = NULL;
    if (cert_file == NULL)
        return CSM_OK;
    char *cert = NULL, *key = NULL;
    csm_status st = text_input(cert_file, &cert, err);
    if (st == CSM_OK)
        st = text_input(key_file, &key, err);
    if (st == CSM_OK)
        st = csm_credentials_open(cert, key, out, err);
    free(cert);
    free(key);
    return st;
}

csm_audio_options written_options(const struct written *w, const struct marking *marking)
{
    csm_audio_options o = marking_tags(marking);
    const bool is_wav = strncmp(csm_audio_format_name(w->format), "wav", 3) == 0;
    o.rate_hz = w->rate_hz;
    o.title = w->title;
    o.credentials = w->credentials;
    if (!is_wav || w->title != NULL)
        o.software = marking->software;
    return o;
}
