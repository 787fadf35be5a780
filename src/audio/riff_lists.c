/* SPDX-License-Identifier: Apache-2.0
 *
 * riff_lists.c - see riff_lists.h. RF64's length of the samples: EBU Tech 3306. */
#include "audio/riff_lists.h"

#include "audio/riff.h"

enum { HEAD = CSM_RIFF_HEAD };

/* The samples, [begin, end); begin is n where no chunk of them is found. */
static void find_samples(const unsigned char *file, size_t n, size_t *begin, size_t *end)
{
    uint64_t at = CSM_RIFF_FIRST, long_data = UINT32_MAX;
    struct csm_riff_chunk chunk;
    *begin = *end = n;
    while (csm_riff_next(file, n, &at, &chunk)) {
        if (csm_riff_is(file, "RF64") && csm_riff_is(chunk.name, "ds64") && chunk.there >= 16)
            long_data = csm_riff_length(file, chunk.content + 4) |
                        (uint64_t)csm_riff_length(file, chunk.content + 8) << 32;
        if (csm_riff_is(chunk.name, "data")) {
            const uint64_t length = chunk.length == UINT32_MAX ? long_data : chunk.length;
            *begin = (size_t)(chunk.content - file);
            *end = length < chunk.there ? *begin + (size_t)length : n;
            return;
        }
    }
}

size_t csm_riff_before_broken_list(const unsigned char *file, size_t n)
{
    if (!csm_riff_is_wav(file, n))
        return n;
    size_t samples, samples_end, before = n;
    find_samples(file, n, &samples, &samples_end);
    /* At each byte: behind a chunk that it does not know libsndfile goes on at any of them. From
     * the end: a list is broken that ends behind one that is. */
    for (size_t at = n < CSM_RIFF_FIRST + HEAD ? 0 : n - HEAD; at >= CSM_RIFF_FIRST; at--) {
        if (at + HEAD > samples && at < samples_end) {
            at = samples - HEAD + 1; /* its chunk's own head is next */
            continue;
        }
        const bool is_type = csm_riff_is(file + at - HEAD, "LIST"); /* of a list, not its name */
        const bool is_list = csm_riff_is(file + at, "LIST") || csm_riff_is(file + at, "exif") ||
                             (csm_riff_is(file + at, "INFO") && !is_type);
        if (is_list && (before - at < HEAD || csm_riff_length(file, file + at) > before - at - HEAD))
            before = at;
    }
    return before;
}
