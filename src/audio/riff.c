/* SPDX-License-Identifier: Apache-2.0 */
#include "audio/riff.h"

bool csm_riff_is_wav(const unsigned char *file, size_t n)
{
    return n >= CSM_RIFF_FIRST && csm_riff_is(file + 8, "WAVE") &&
           (csm_riff_is(file, "RIFF") || csm_riff_is(file, "RF64") || csm_riff_is(file, "RIFX"));
}

uint32_t csm_riff_length(const unsigned char *file, const unsigned char *head)
{
    const bool is_big_endian = csm_riff_is(file, "RIFX");
    uint32_t n = 0;
    for (int i = 0; i < 4; i++)
        n |= (uint32_t)head[4 + i] << 8 * (is_big_endian ? 3 - i : i);
    return n;
}

bool csm_riff_next(const unsigned char *file, size_t n, uint64_t *at, struct csm_riff_chunk *chunk)
{
    if (*at > n || n - *at < CSM_RIFF_HEAD)
        return false;
    const unsigned char *head = file + *at;
    *chunk = (struct csm_riff_chunk){.name = head,
                                     .content = head + CSM_RIFF_HEAD,
                                     .length = csm_riff_length(file, head),
                                     .there = n - (size_t)*at - CSM_RIFF_HEAD};
    *at += CSM_RIFF_HEAD + chunk->length + chunk->length % 2;
    return true;
}
