/* SPDX-License-Identifier: Apache-2.0
 *
 * chips.h - the keyed sequence of -1 and 1 that a mark adds. Time is cut into blocks
 * of 80 ms, 640 chips each at 8 kHz, N_PERIOD blocks a period. Even chips are the
 * pilot, by which a detector finds the mark: the same 320 in each block, times the
 * block's sign. Odd chips carry the coded bits of the payload in turn, times a keyed
 * sign of their own. */
#ifndef CSM_MARK_CHIPS_H
#define CSM_MARK_CHIPS_H

#include <stddef.h>

enum { CHIP_HZ = 8000, N_BLOCK = 640, N_PILOT = N_BLOCK / 2, N_DATA = N_BLOCK / 2, N_PERIOD = 16 };

struct chips {
    float pilot[N_PILOT];
    float block_sign[N_PERIOD];
    float data_sign[N_PERIOD][N_DATA];
};

/* The chips of a key of 32 bytes; NULL is the public key. */
void chips_make(const unsigned char *key, struct chips *chips);

/* Which of n_bits coded bits the odd chip `at` (0..N_DATA-1) of a block carries. */
static inline size_t chips_bit(size_t block, size_t at, size_t n_bits)
{
    return (block * N_DATA + at) % n_bits;
}

#endif
