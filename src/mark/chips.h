/* SPDX-License-Identifier: Apache-2.0
 *
 * chips.h - the keyed sequence of -1 and 1 that a mark adds. Time is cut into blocks
 * of 60 ms, 480 chips each at 8 kHz, N_PERIOD blocks a period. Two chips of three are
 * the pilot, by which a detector finds the mark: the same 320 in each block, times the
 * block's sign. Each third carries a coded bit of the payload, in turn, times a keyed
 * sign of its own. */
#ifndef CSM_MARK_CHIPS_H
#define CSM_MARK_CHIPS_H

#include <stddef.h>

enum { CHIP_HZ = 8000, N_DATA = 160, N_PILOT = 2 * N_DATA, N_BLOCK = 3 * N_DATA, N_PERIOD = 16 };

struct chips {
    float pilot[N_PILOT];
    float block_sign[N_PERIOD];
    float data_sign[N_PERIOD][N_DATA];
};

/* The chips of a key of 32 bytes; NULL is the public key. */
void csm_mark_chips_make(const unsigned char *key, struct chips *chips);

/* Where in its block a pilot's chip is, and a data chip. */
static inline size_t chips_pilot_at(size_t j)
{
    return 3 * (j / 2) + j % 2;
}

static inline size_t chips_data_at(size_t j)
{
    return 3 * j + 2;
}

/* Which of n_bits coded bits data chip `j` of a block of the period carries. */
static inline size_t chips_bit(size_t block, size_t j, size_t n_bits)
{
    return (block * N_DATA + j) % n_bits;
}

#endif
