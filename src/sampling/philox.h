/* SPDX-License-Identifier: Apache-2.0
 *
 * philox.h - Philox4x32-10 (Salmon et al., 2011): one block of four words. */
#ifndef CSM_SAMPLING_PHILOX_H
#define CSM_SAMPLING_PHILOX_H

#include <stdint.h>
#include <string.h>

/* Word `word`, 0 to 3, of the block at this counter under this key. */
static inline uint32_t philox_word(const uint32_t key[2], const uint32_t counter[4], unsigned word)
{
    uint32_t c[4];
    memcpy(c, counter, sizeof c);
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t a = UINT64_C(0xd2511f53) * c[0];
        uint64_t b = UINT64_C(0xcd9e8d57) * c[2];
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k0, (uint32_t)b,
                            (uint32_t)(a >> 32) ^ c[3] ^ k1, (uint32_t)a};
        memcpy(c, next, sizeof c);
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    return c[word];
}

#endif
