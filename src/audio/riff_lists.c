/* SPDX-License-Identifier: Apache-2.0
 *
 * riff_lists.c - see riff_lists.h. Chunks: IBM and Microsoft, Multimedia Programming Interface 1.0;
 * RF64's length of the samples: EBU Tech 3306. */
#include "audio/riff_lists.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { HEAD = 8 }; /* of a chunk: its name and its length */

static bool is_named(const unsigned char *p, const char *name)
{
    return memcmp(p, name, 4) == 0;
}

static uint32_t length_of(const unsigned char *chunk, bool is_big_endian)
{
    uint32_t n = 0;
    for (int i = 0; i < 4; i++)
        n |= (uint32_t)chunk[4 + i] << 8 * (is_big_endian ? 3 - i : i);
    return n;
}

/* The samples, [begin, end); begin is n where no chunk of them is found. */
static void find_samples(const unsigned char *file, size_t n, bool is_big_endian, size_t *begin, size_t *end)
{
    uint64_t at = 12;
    while (at + HEAD <= n && !is_named(file + at, "data")) {
        const uint64_t length = length_of(file + at, is_big_endian);
        at += HEAD + length + length % 2;
    }
    *begin = *end = n;
    if (at + HEAD > n)
        return;
    uint64_t length = length_of(file + at, is_big_endian);
    if (is_named(file, "RF64") && length == UINT32_MAX && n >= 36 && is_named(file + 12, "ds64"))
        length = length_of(file + 24, false) | (uint64_t)length_of(file + 28, false) << 32;
    *begin = (size_t)at + HEAD;
    *end = length < n - *begin ? *begin + (size_t)length : n;
}

size_t csm_riff_before_broken_list(const unsigned char *file, size_t n)
{
    const bool is_big_endian = n >= 12 && is_named(file, "RIFX");
    if (n < 12 || !(is_big_endian || is_named(file, "RIFF") || is_named(file, "RF64")) ||
        !is_named(file + 8, "WAVE"))
        return n;
    size_t samples, samples_end, before = n;
    find_samples(file, n, is_big_endian, &samples, &samples_end);
    /* At each byte: behind a chunk that it does not know libsndfile goes on at any of them. From
     * the end: a list is broken that ends behind one that is. */
    for (size_t at = n < 12 + HEAD ? 0 : n - HEAD; at >= 12; at--) {
        if (at + HEAD > samples && at < samples_end) {
            at = samples - HEAD + 1; /* its chunk's own head is next */
            continue;
        }
        const bool is_type = is_named(file + at - HEAD, "LIST"); /* of a list, not its name */
        const bool is_list = is_named(file + at, "LIST") || is_named(file + at, "exif") ||
                             (is_named(file + at, "INFO") && !is_type);
        if (is_list && (before - at < HEAD || length_of(file + at, is_big_endian) > before - at - HEAD))
            before = at;
    }
    return before;
}
