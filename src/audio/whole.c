/* SPDX-License-Identifier: Apache-2.0
 *
 * whole.c - whether a sound file is all there, by its container alone. Sources: RIFF and its
 * chunks (IBM and Microsoft, Multimedia Programming Interface 1.0), EBU Tech 3306 (RF64),
 * RFC 3533 (Ogg pages). */
#include <csm/remarks.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "files/mapped.h"

static uint32_t u32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static bool is_at(const struct csm_mapped *file, size_t at, const char *magic)
{
    const size_t n = strlen(magic);
    return at <= file->size && n <= file->size - at && memcmp(file->data + at, magic, n) == 0;
}

static uint64_t u64(const unsigned char *p)
{
    return (uint64_t)u32(p + 4) << 32 | u32(p);
}

/* Seconds that the chunk of samples promises and the file does not have. Who streams does not
 * know the length and promises all that fits, 2 GiB and more: nothing is missing there. */
static double missing_of_wav(const struct csm_mapped *file)
{
    enum { HEADER = 8, STREAMED = 0x7FF00000 };
    uint32_t bytes_per_second = 0;
    uint64_t long_data = 0; /* RF64's length, where the chunk's own has no room for it */
    for (size_t at = 12; at + HEADER <= file->size;) {
        const unsigned char *chunk = file->data + at;
        uint64_t n = u32(chunk + 4);
        const size_t there = file->size - at - HEADER;
        if (memcmp(chunk, "fmt ", 4) == 0 && n >= 16 && there >= 16)
            bytes_per_second = u32(chunk + HEADER + 8);
        if (memcmp(chunk, "ds64", 4) == 0 && n >= 16 && there >= 16)
            long_data = u64(chunk + HEADER + 8);
        const bool is_data = memcmp(chunk, "data", 4) == 0;
        if (is_data && long_data > 0)
            n = long_data;
        if (is_data)
            return (n >= STREAMED && long_data == 0) || n <= there || bytes_per_second == 0
                       ? 0.0
                       : (double)(n - there) / bytes_per_second;
        if (n > there)
            return 0.0;
        at += HEADER + n + n % 2;
    }
    return 0.0;
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
        if ((page[5] & IS_LAST) != 0)
            return is_at(file, at, "OggS") ? "holds several recordings, of which the first is read" : NULL;
    }
    return "breaks off: its end is missing";
}

bool csm_remark_file(const char *path, csm_remark *remark)
{
    struct csm_mapped file;
    if (strcmp(path, "-") == 0 || csm_mapped_open(path, "a sound file", &file, NULL) != CSM_OK)
        return false;
    const double audible_s = 0.08; /* a frame; sizes are often off by some bytes */
    const char *what = is_at(&file, 0, "OggS") ? missing_of_ogg(&file) : NULL;
    const bool is_wav = (is_at(&file, 0, "RIFF") || is_at(&file, 0, "RF64")) && is_at(&file, 8, "WAVE");
    const double missing_s = is_wav ? missing_of_wav(&file) : 0.0;
    csm_mapped_close(&file);
    if (what != NULL)
        csm_remark_write(remark, "cut-recording", "%s: the file %s", path, what);
    else if (missing_s > audible_s)
        csm_remark_write(remark, "cut-recording",
                         "%s: the file breaks off: %.2f s of the sound that it promises are missing",
                         path, missing_s);
    return what != NULL || missing_s > audible_s;
}
