/* SPDX-License-Identifier: Apache-2.0
 *
 * mt19937.h - the Mersenne Twister of PyTorch's CPU generator. */
#ifndef CSM_SAMPLING_MT19937_H
#define CSM_SAMPLING_MT19937_H

#include <stddef.h>
#include <stdint.h>

enum { MT_WORDS = 624 };

struct mt19937 {
    uint32_t words[MT_WORDS]; /* the state, before tempering */
    size_t next;              /* the first word not given yet; MT_WORDS: none left */
};

/* init_genrand: as torch.manual_seed with the seed's low 32 bits. */
void csm_mt19937_seed(struct mt19937 *g, uint32_t seed);

/* The next n words of the state; an output is such a word, tempered. */
void csm_mt19937_raw(struct mt19937 *g, uint32_t *out, size_t n);

static inline uint32_t mt19937_temper(uint32_t y)
{
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

/* Pass over n outputs. */
void csm_mt19937_skip(struct mt19937 *g, uint64_t n);

#endif
