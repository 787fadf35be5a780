/* SPDX-License-Identifier: Apache-2.0
 *
 * hash.h - a hash for tables in memory: XXH3, or FNV-1a in a build without xxHash; and a
 * digest that names what it was made of, XXH3's 128 bits, which such a build has not. */
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

enum { CSM_DIGEST_SIZE = 33 }; /* 32 hexadecimal digits and a zero */

/* Open (NULL: no memory, or no xxHash), add bytes, and close, which frees and writes the
 * digits: "" after NULL. */
struct csm_digest *csm_digest_open(void);
void csm_digest_add(struct csm_digest *digest, const void *bytes, size_t n);
void csm_digest_close(struct csm_digest *digest, char text[CSM_DIGEST_SIZE]);

#endif
