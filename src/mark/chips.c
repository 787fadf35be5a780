/* SPDX-License-Identifier: Apache-2.0
 *
 * chips.c - bits of the ChaCha20 stream (RFC 8439) of the key: who does not know the
 * key cannot tell the chips from noise. */
#include "mark/chips.h"

#include <stdint.h>
#include <string.h>

static const unsigned char public_key[33] = "csm: the public key of the marks";

static uint32_t rotate(uint32_t x, int n)
{
    return x << n | x >> (32 - n);
}

static void quarter(uint32_t *s, int a, int b, int c, int d)
{
    s[a] += s[b];
    s[d] = rotate(s[d] ^ s[a], 16);
    s[c] += s[d];
    s[b] = rotate(s[b] ^ s[c], 12);
    s[a] += s[b];
    s[d] = rotate(s[d] ^ s[a], 8);
    s[c] += s[d];
    s[b] = rotate(s[b] ^ s[c], 7);
}

static void chacha20_block(const unsigned char key[32], uint32_t counter, uint32_t out[16])
{
    uint32_t start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    for (int i = 0; i < 8; i++)
        start[4 + i] = (uint32_t)key[4 * i] | (uint32_t)key[4 * i + 1] << 8 |
                       (uint32_t)key[4 * i + 2] << 16 | (uint32_t)key[4 * i + 3] << 24;
    start[12] = counter;
    memcpy(out, start, sizeof start);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 4; i++)
            quarter(out, i, 4 + i, 8 + i, 12 + i);
        for (int i = 0; i < 4; i++)
            quarter(out, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
    }
    for (int i = 0; i < 16; i++)
        out[i] += start[i];
}

struct bits {
    const unsigned char *key;
    uint32_t words[16];
    uint32_t counter;
    unsigned n_used;
};

static void fill(struct bits *b, float *signs, size_t n)
{
    for (size_t i = 0; i < n; i++, b->n_used++) {
        if (b->n_used == 512) {
            chacha20_block(b->key, b->counter++, b->words);
            b->n_used = 0;
        }
        signs[i] = b->words[b->n_used / 32] >> (b->n_used % 32) & 1 ? 1.0f : -1.0f;
    }
}

void csm_mark_chips_make(const unsigned char *key, struct chips *chips)
{
    struct bits bits = {.key = key != NULL ? key : public_key, .n_used = 512};
    fill(&bits, chips->pilot, N_PILOT);
    fill(&bits, chips->block_sign, N_PERIOD);
    fill(&bits, chips->data_sign[0], N_PERIOD * N_DATA);
}
