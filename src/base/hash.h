/* SPDX-License-Identifier: Apache-2.0
 *
 * hash.h - a hash for tables in memory: XXH3, or FNV-1a in a build without xxHash. */
#ifndef CSM_BASE_HASH_H
#define CSM_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#ifdef CSM_HAS_XXHASH
#include <xxhash.h>
#endif

static inline uint64_t csm_hash(const void *bytes, size_t n)
{
#ifdef CSM_HAS_XXHASH
    return XXH3_64bits(bytes, n);
#else
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3u;
    return hash;
#endif
}

#endif
