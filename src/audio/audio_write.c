/* SPDX-License-Identifier: Apache-2.0
 *
 * audio_write.c - WAV files and bare samples, as they come. The header is written
 * first, with the sizes "unknown" unless all is there; where the target can seek,
 * they are put right at the end. */
#include <csm/audio.h>

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/output.h"

enum { MAX_HEADER = 58 };
static const uint64_t UNKNOWN = 0xffffffff;

struct csm_audio_writer {
    csm_output *output;
    csm_audio_format format;
    int rate_hz;
    uint64_t n_bytes; /* of samples so far */
};

static bool is_float(csm_audio_format format)
{
    return format == CSM_AUDIO_WAV_F32 || format == CSM_AUDIO_F32LE;
}

static bool is_wav(csm_audio_format format)
{
    return format == CSM_AUDIO_WAV || format == CSM_AUDIO_WAV_F32;
}

static unsigned char *put(unsigned char *at, uint64_t value, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++)
        *at++ = (unsigned char)(value >> 8 * i);
    return at;
}

static unsigned char *put_tag(unsigned char *at, const char *tag)
{
    memcpy(at, tag, 4);
    return at + 4;
}

/* The header for n_bytes of samples (UNKNOWN: not known); returns its length.
 * Floats need the longer form: a format chunk of 18 bytes, and a fact chunk. */
static size_t make_header(const struct csm_audio_writer *w, uint64_t n_bytes,
                          unsigned char header[MAX_HEADER])
{
    const bool f = is_float(w->format);
    const uint64_t width = f ? 4 : 2, rate = (uint64_t)w->rate_hz;
    const uint64_t n_header = f ? 58 : 44;
    unsigned char *at = put_tag(header, "RIFF");
    at = put(at, n_bytes == UNKNOWN ? UNKNOWN : n_header - 8 + n_bytes, 4);
    at = put_tag(put_tag(at, "WAVE"), "fmt ");
    at = put(at, f ? 18 : 16, 4);
    at = put(at, f ? 3 : 1, 2); /* IEEE float, or PCM */
    at = put(at, 1, 2);         /* channels */
    at = put(at, rate, 4);
    at = put(at, rate * width, 4);
    at = put(at, width, 2);
    at = put(at, 8 * width, 2);
    if (f) {
        at = put(at, 0, 2);
        at = put(put_tag(at, "fact"), 4, 4);
        at = put(at, n_bytes == UNKNOWN ? UNKNOWN : n_bytes / width, 4);
    }
    at = put(put_tag(at, "data"), n_bytes, 4);
    return (size_t)(at - header);
}

/* Begin a file of n_bytes of samples (UNKNOWN: not known). */
static csm_status open_writer(const char *path, csm_audio_format format, int rate_hz,
                              uint64_t n_bytes, csm_audio_writer **out, csm_error *err)
{
    if (rate_hz < 1 || rate_hz > 768000)
        return csm_fail(err, CSM_BAD_ARG, "%s: %d Hz, expected 1 to 768000", path, rate_hz);
    csm_audio_writer *w = calloc(1, sizeof *w);
    if (w == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
    w->format = format;
    w->rate_hz = rate_hz;
    csm_status status = csm_output_open(path, &w->output, err);
    if (status == CSM_OK && is_wav(format)) {
        unsigned char header[MAX_HEADER];
        status = csm_output_write(w->output, header, make_header(w, n_bytes, header), err);
    }
    if (status != CSM_OK)
        csm_audio_writer_discard(w);
    else
        *out = w;
    return status;
}

csm_status csm_audio_writer_open(const char *path, csm_audio_format format, int rate_hz,
                                 csm_audio_writer **out, csm_error *err)
{
    return open_writer(path, format, rate_hz, UNKNOWN, out, err);
}

/* Nearest 16 bit value; what is no number is silence. */
static int16_t to_s16(float x)
{
    if (isnan(x))
        return 0;
    float scaled = x * 32768.0f;
    return scaled >= 32767.0f ? 32767 : scaled <= -32768.0f ? -32768 : (int16_t)lrintf(scaled);
}

csm_status csm_audio_writer_push(csm_audio_writer *w, const float *samples, size_t n_samples,
                                 csm_error *err)
{
    enum { AT_ONCE = 2048 };
    unsigned char bytes[AT_ONCE * 4];
    const size_t width = is_float(w->format) ? 4 : 2;
    if (is_wav(w->format) && csm_output_can_seek(w->output) &&
        w->n_bytes + n_samples * width > UNKNOWN - MAX_HEADER)
        return csm_fail(err, CSM_BAD_FILE, "sound: a WAV file beyond 4 GB, expected less");
    while (n_samples > 0) {
        const size_t n = n_samples < AT_ONCE ? n_samples : AT_ONCE;
        unsigned char *at = bytes;
        for (size_t i = 0; i < n; i++) {
            uint32_t bits;
            memcpy(&bits, &samples[i], sizeof bits);
            at = put(at, width == 4 ? bits : (uint16_t)to_s16(samples[i]), (int)width);
        }
        csm_status status = csm_output_write(w->output, bytes, n * width, err);
        if (status != CSM_OK)
            return status;
        w->n_bytes += n * width;
        samples += n;
        n_samples -= n;
    }
    return CSM_OK;
}

csm_status csm_audio_writer_commit(csm_audio_writer *w, csm_error *err)
{
    csm_status status = CSM_OK;
    if (is_wav(w->format) && csm_output_can_seek(w->output)) {
        unsigned char header[MAX_HEADER];
        size_t n = make_header(w, w->n_bytes, header);
        status = csm_output_rewrite(w->output, 0, header, n, err);
    }
    if (status == CSM_OK)
        status = csm_output_commit(w->output, err);
    else
        csm_output_discard(w->output);
    free(w);
    return status;
}

void csm_audio_writer_discard(csm_audio_writer *w)
{
    if (w == NULL)
        return;
    csm_output_discard(w->output);
    free(w);
}

csm_status csm_audio_write(const char *path, csm_audio_format format, const float *samples,
                           size_t n_samples, int rate_hz, csm_error *err)
{
    csm_audio_writer *w = NULL;
    const uint64_t n_bytes = n_samples * (uint64_t)(is_float(format) ? 4 : 2);
    csm_status status = open_writer(path, format, rate_hz,
                                    n_bytes < UNKNOWN - MAX_HEADER ? n_bytes : UNKNOWN, &w, err);
    if (status != CSM_OK)
        return status;
    status = csm_audio_writer_push(w, samples, n_samples, err);
    if (status == CSM_OK)
        return csm_audio_writer_commit(w, err);
    csm_audio_writer_discard(w);
    return status;
}
