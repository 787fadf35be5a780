/* SPDX-License-Identifier: Apache-2.0
 *
 * whole.c - whether a sound file is all there, by its container alone. Sources: EBU Tech 3306 (RF64),
 * RFC 3533 (Ogg pages), Apple's Audio Interchange File Format 1.3, Sun's and NeXT's .snd header,
 * Sonic Foundry's Wave64, Xing's frame as LAME writes it. */
#include "audio/whole.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "audio/riff.h"

static uint32_t u32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static bool is_at(const struct csm_mapped *file, size_t at, const char *magic)
{
    const size_t n = strlen(magic);
    return at <= file->size && n <= file->size - at && memcmp(file->data + at, magic, n) == 0;
}

static uint32_t be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static uint64_t u64(const unsigned char *p)
{
    return (uint64_t)u32(p + 4) << 32 | u32(p);
}

/* Seconds that the chunk of samples promises and the file does not have. Who streams does not
 * know the length and promises all that fits, 2 GiB and more: nothing is missing there. */
static double missing_of_wav(const struct csm_mapped *file)
{
    enum { STREAMED = 0x7FF00000 };
    uint32_t bytes_per_second = 0;
    uint64_t at = CSM_RIFF_FIRST, long_data = 0; /* RF64's length, where the chunk's own has no room for it */
    struct csm_riff_chunk chunk;
    while (csm_riff_next(file->data, file->size, &at, &chunk)) {
        const bool has_16 = chunk.length >= 16 && chunk.there >= 16;
        if (csm_riff_is(chunk.name, "fmt ") && has_16)
            bytes_per_second = u32(chunk.content + 8);
        if (csm_riff_is(chunk.name, "ds64") && has_16)
            long_data = u64(chunk.content + 8);
        if (csm_riff_is(chunk.name, "data")) {
            const uint64_t n = long_data > 0 ? long_data : chunk.length;
            return (n >= STREAMED && long_data == 0) || n <= chunk.there || bytes_per_second == 0
                       ? 0.0
                       : (double)(n - chunk.there) / bytes_per_second;
        }
    }
    return 0.0;
}

/* Whether the n bytes of an Ogg page have the sum that its header says, the sum's own four taken
 * as zeros. */
static bool is_page_sound(const unsigned char *page, size_t n)
{
    enum { SUM = 22, POLYNOMIAL = 0x04C11DB7 };
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum ^= (i >= SUM && i < SUM + 4 ? 0u : (uint32_t)page[i]) << 24;
        for (int bit = 0; bit < 8; bit++)
            sum = sum << 1 ^ ((sum >> 31) * POLYNOMIAL);
    }
    return sum == u32(page + SUM);
}

/* What follows the first stream's last page, or that there is no last page. */
static const char *missing_of_ogg(const struct csm_mapped *file)
{
    enum { HEADER = 27, IS_LAST = 4 };
    for (size_t at = 0; is_at(file, at, "OggS") && file->size - at >= HEADER;) {
        const unsigned char *page = file->data + at;
        const size_t n_segments = page[26];
        size_t n = HEADER + n_segments;
        if (n > file->size - at)
            break;
        for (size_t i = 0; i < n_segments; i++)
            n += page[HEADER + i];
        if (n > file->size - at)
            break;
        at += n;
        if (!is_page_sound(page, n))
            return "is damaged: a part of the sound is missing";
        if ((page[5] & IS_LAST) != 0)
            return is_at(file, at, "OggS") ? "holds several recordings, of which the first is read" : NULL;
    }
    return "breaks off: its end is missing";
}

/* Whether another stream's header follows the first one's. */
static bool has_two_of_flac(const struct csm_mapped *file)
{
    static const char header[] = "fLaC\0\0\0\x22"; /* and a STREAMINFO of 34 bytes, as all have it */
    enum { HEADER = sizeof header - 1 };
    const unsigned char *p = file->data + 1, *end = file->data + file->size;
    while (end - p >= HEADER && (p = memchr(p, 'f', (size_t)(end - p) - HEADER + 1)) != NULL) {
        if (memcmp(p, header, HEADER) == 0)
            return true;
        p++;
    }
    return false;
}

/* The bytes of an MP3 file by its first frame, where an encoder wrote them there; else 0. */
static uint64_t promised_of_mp3(const struct csm_mapped *file)
{
    enum { ID3 = 10, FIRST = 200, HAS_FRAMES = 1, HAS_BYTES = 2 };
    size_t at = 0;
    if (is_at(file, 0, "ID3") && file->size > ID3) {
        const unsigned char *n = file->data + 6; /* seven bits a byte */
        at = ID3 + ((size_t)n[0] << 21 | (size_t)n[1] << 14 | (size_t)n[2] << 7 | n[3]);
    }
    for (size_t i = 0; i < FIRST && file->size >= 16 && at + i < file->size - 16; i++)
        if (is_at(file, at + i, "Xing") || is_at(file, at + i, "Info")) {
            const unsigned char *xing = file->data + at + i, flags = xing[7];
            return (flags & HAS_BYTES) == 0 ? 0 : at + be32(xing + ((flags & HAS_FRAMES) != 0 ? 12 : 8));
        }
    return 0;
}

/* The bytes of a file by its own header; 0: it does not say. Who streams promises much: SoX
 * 0x7F000000 of AIFF, FFmpeg all ones of Wave64. */
static uint64_t promised_bytes(const struct csm_mapped *file)
{
    enum { HEADER = 28, STREAMED = 0x7F000000 };
    const unsigned char *p = file->data;
    if (file->size < HEADER)
        return 0;
    if (is_at(file, 0, "FORM") && is_at(file, 8, "AIF"))
        return be32(p + 4) >= STREAMED ? 0 : 8 + (uint64_t)be32(p + 4);
    if (is_at(file, 0, ".snd"))
        return be32(p + 8) == UINT32_MAX /* unknown */ ? 0 : (uint64_t)be32(p + 4) + be32(p + 8);
    if (is_at(file, 0, "riff"))
        return u64(p + 16) > INT64_MAX ? 0 : u64(p + 16);
    return is_at(file, 0, "ID3") || (p[0] == 0xFF && p[1] >= 0xE0) ? promised_of_mp3(file) : 0;
}

bool csm_remark_sound(const char *name, const struct csm_mapped *file, csm_remark *remark)
{
    const double audible_s = 0.08; /* a frame; sizes are often off by some bytes */
    const char *what = is_at(file, 0, "OggS") ? missing_of_ogg(file) : NULL;
    if (is_at(file, 0, "fLaC") && has_two_of_flac(file))
        what = "holds several recordings, of which the first is read";
    const bool is_wav = (is_at(file, 0, "RIFF") || is_at(file, 0, "RF64")) && is_at(file, 8, "WAVE");
    const double missing_s = is_wav ? missing_of_wav(file) : 0.0;
    const double promised = (double)promised_bytes(file), there = (double)file->size;
    const bool is_cut = there < 0.99 * promised;
    if (what != NULL)
        csm_remark_write(remark, "cut-recording", "%s: the file %s", name, what);
    else if (missing_s > audible_s)
        csm_remark_write(remark, "cut-recording",
                         "%s: the file breaks off: %.2f s of the sound that it promises are missing",
                         name, missing_s);
    else if (is_cut)
        csm_remark_write(remark, "cut-recording",
                         "%s: the file breaks off: %.0f %% of what it promises is missing", name,
                         100.0 * (promised - there) / promised);
    return what != NULL || missing_s > audible_s || is_cut;
}

bool csm_remark_file(const char *path, csm_remark *remark)
{
    struct csm_mapped file;
    if (strcmp(path, "-") == 0 || csm_mapped_open(path, "a sound file", &file, NULL) != CSM_OK)
        return false;
    const bool is_told = csm_remark_sound(path, &file, remark);
    csm_mapped_close(&file);
    return is_told;
}
