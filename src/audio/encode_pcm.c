/* SPDX-License-Identifier: Apache-2.0
 *
 * encode_pcm.c - WAV files and bare samples. The header is written first, with the sizes
 * "unknown" unless all is known; where the target can rewrite, they are put right at the
 * end. */
#include <stdlib.h>
#include <string.h>

#include "audio/encoder.h"
#include "audio/g711.h"
#include "base/builder.h"
#include "base/error.h"

static const uint64_t UNKNOWN = 0xffffffff;

struct pcm {
    struct csm_encoding *to;
    size_t width;     /* bytes of a sample */
    uint64_t n_bytes; /* of samples so far */
    size_t n_header;  /* 0: bare samples */
};

static bool is_wav(csm_audio_format format)
{
    return format == CSM_AUDIO_FORMAT_WAV || format == CSM_AUDIO_FORMAT_WAV_F32 ||
           format == CSM_AUDIO_FORMAT_WAV_ULAW || format == CSM_AUDIO_FORMAT_WAV_ALAW;
}

static size_t width_of(csm_audio_format format)
{
    switch (format) {
    case CSM_AUDIO_FORMAT_WAV:
    case CSM_AUDIO_FORMAT_S16LE:
        return 2;
    case CSM_AUDIO_FORMAT_WAV_F32:
    case CSM_AUDIO_FORMAT_F32LE:
        return 4;
    default:
        return 1;
    }
}

/* RIFF's number of the coding. */
static uint64_t coding_of(csm_audio_format format)
{
    switch (format) {
    case CSM_AUDIO_FORMAT_WAV_F32:
        return 3;
    case CSM_AUDIO_FORMAT_WAV_ALAW:
        return 6;
    case CSM_AUDIO_FORMAT_WAV_ULAW:
        return 7;
    default:
        return 1; /* PCM */
    }
}

static void put(struct csm_builder *out, uint64_t value, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++)
        csm_builder_add(out, &(char){(char)(value >> 8 * i & 0xff)}, 1);
}

/* An entry of the list of tags: its text ends in a zero, and its length is even. */
static void put_tag(struct csm_builder *out, const char *name, const char *value)
{
    if (value == NULL)
        return;
    const size_t n = strlen(value) + 1;
    csm_builder_add(out, name, 4);
    put(out, n, 4);
    csm_builder_add(out, value, n);
    if (n % 2 != 0)
        csm_builder_add(out, "", 1);
}

static void put_tags(struct csm_builder *out, const struct csm_encoding *to)
{
    struct csm_builder list = {0};
    put_tag(&list, "INAM", to->title);
    put_tag(&list, "IART", to->artist);
    put_tag(&list, "ISFT", to->software);
    put_tag(&list, "ICMT", to->comment);
    if (list.length > 0) {
        csm_builder_add(out, "LIST", 4);
        put(out, 4 + list.length, 4);
        csm_builder_add(out, "INFO", 4);
        csm_builder_add(out, list.text, list.length);
    }
    out->has_failed = out->has_failed || list.has_failed;
    csm_builder_clear(&list);
}

/* The header for n_bytes of samples (UNKNOWN: not known). What is not PCM needs the longer
 * form: a format chunk of 18 bytes, and a fact chunk. */
static void make_header(const struct pcm *p, uint64_t n_bytes, struct csm_builder *out)
{
    const bool is_known = n_bytes != UNKNOWN, is_long = p->to->format != CSM_AUDIO_FORMAT_WAV;
    const uint64_t rate = (uint64_t)p->to->rate_hz, width = p->width;
    struct csm_builder rest = {0}; /* what follows the RIFF chunk's size */
    csm_builder_add(&rest, "WAVEfmt ", 8);
    put(&rest, is_long ? 18 : 16, 4);
    put(&rest, coding_of(p->to->format), 2);
    put(&rest, 1, 2); /* channels */
    put(&rest, rate, 4);
    put(&rest, rate * width, 4);
    put(&rest, width, 2);
    put(&rest, 8 * width, 2);
    if (is_long) {
        put(&rest, 0, 2);
        csm_builder_add(&rest, "fact", 4);
        put(&rest, 4, 4);
        put(&rest, is_known ? n_bytes / width : 0, 4); /* players take another number for the length */
    }
    put_tags(&rest, p->to);
    csm_builder_add(&rest, "data", 4);
    put(&rest, n_bytes, 4);
    csm_builder_add(out, "RIFF", 4);
    put(out, is_known ? rest.length + n_bytes + n_bytes % 2 : UNKNOWN, 4);
    csm_builder_add(out, rest.text, rest.length);
    out->has_failed = out->has_failed || rest.has_failed;
    csm_builder_clear(&rest);
}

/* Write the header, or again when the length is known. */
static csm_status write_header(struct pcm *p, uint64_t n_bytes, bool is_again, csm_error *err)
{
    struct csm_builder header = {0};
    make_header(p, n_bytes, &header);
    csm_status status = header.has_failed ? csm_fail(err, CSM_NO_MEMORY, "wav: out of memory")
                        : is_again ? csm_encoding_rewrite(p->to, 0, header.text, header.length, err)
                                   : csm_encoding_write(p->to, header.text, header.length, err);
    p->n_header = header.length;
    csm_builder_clear(&header);
    return status;
}

static csm_status pcm_open(struct csm_encoding *to, void **state, csm_error *err)
{
    struct pcm *p = calloc(1, sizeof *p);
    if (p == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "sound: out of memory");
    *state = p;
    p->to = to;
    p->width = width_of(to->format);
    if (!is_wav(to->format))
        return CSM_OK;
    const uint64_t n_bytes = to->n_samples * p->width;
    return write_header(p, n_bytes == 0 || n_bytes > UNKNOWN / 2 ? UNKNOWN : n_bytes, false, err);
}

static void to_bytes(csm_audio_format format, const float *samples, size_t n, unsigned char *bytes)
{
    const size_t width = width_of(format);
    const bool is_ulaw = format == CSM_AUDIO_FORMAT_WAV_ULAW || format == CSM_AUDIO_FORMAT_ULAW;
    for (size_t i = 0; width == 1 && i < n; i++)
        bytes[i] = is_ulaw ? csm_g711_ulaw(csm_to_s16(samples[i])) : csm_g711_alaw(csm_to_s16(samples[i]));
    for (size_t i = 0; width == 2 && i < n; i++) {
        const uint16_t bits = (uint16_t)csm_to_s16(samples[i]);
        bytes[2 * i] = (unsigned char)bits;
        bytes[2 * i + 1] = (unsigned char)(bits >> 8);
    }
    for (size_t i = 0; width == 4 && i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &samples[i], sizeof bits);
        for (size_t b = 0; b < 4; b++)
            bytes[4 * i + b] = (unsigned char)(bits >> 8 * b);
    }
}

static csm_status pcm_push(void *state, const float *samples, size_t n, csm_error *err)
{
    enum { AT_ONCE = 1024 };
    struct pcm *p = state;
    unsigned char bytes[AT_ONCE * 4];
    if (p->n_header > 0 && csm_encoding_can_rewrite(p->to) &&
        p->n_bytes + n * p->width > UNKNOWN - p->n_header - 1)
        return csm_fail(err, CSM_BAD_FILE, "sound: a WAV file beyond 4 GB, expected less");
    p->n_bytes += n * p->width;
    csm_status status = CSM_OK;
    for (size_t n_now; status == CSM_OK && n > 0; samples += n_now, n -= n_now) {
        n_now = n < AT_ONCE ? n : AT_ONCE;
        to_bytes(p->to->format, samples, n_now, bytes);
        status = csm_encoding_write(p->to, bytes, n_now * p->width, err);
    }
    return status;
}

static csm_status pcm_finish(void *state, csm_error *err)
{
    struct pcm *p = state;
    const bool is_known = csm_encoding_can_rewrite(p->to) || p->to->n_samples > 0;
    if (p->n_header == 0 || !is_known)
        return CSM_OK;
    csm_status status = csm_encoding_write(p->to, "", p->n_bytes % 2, err); /* chunks are even */
    if (status == CSM_OK && csm_encoding_can_rewrite(p->to))
        status = write_header(p, p->n_bytes, true, err);
    return status;
}

const struct csm_encoder_kind csm_encoder_pcm = {pcm_open, pcm_push, pcm_finish, free};
