/* SPDX-License-Identifier: Apache-2.0
 *
 * payload.c - the decoder is Viterbi's over the message three times round: after the
 * first round the start no longer matters, and the bits of the second are taken, which
 * the third has confirmed. */
#include "mark/payload.h"

#include <assert.h>
#include <string.h>

enum { N_STATES = 256, N_ROUNDS = 3, N_STEPS = N_ROUNDS * N_MESSAGE_BITS };

/* Octal; bit 8 weighs the newest message bit. */
static const unsigned generators[3] = {0557, 0663, 0711};

static unsigned parity(unsigned x)
{
    x ^= x >> 8;
    x ^= x >> 4;
    x ^= x >> 2;
    return (x ^ x >> 1) & 1;
}

static uint32_t crc24(uint32_t bits)
{
    uint32_t crc = 0xb704ce;
    for (int byte = 24; byte >= 0; byte -= 8) {
        crc ^= (bits >> byte & 0xff) << 16;
        for (int i = 0; i < 8; i++)
            crc = crc << 1 ^ (crc & 0x800000 ? 0x1864cfb : 0);
    }
    return crc & 0xffffff;
}

/* The three coded bits of register (newest message bit in bit 8) as bits 0..2. */
static unsigned outputs(unsigned reg)
{
    return parity(reg & generators[0]) | parity(reg & generators[1]) << 1 |
           parity(reg & generators[2]) << 2;
}

void csm_mark_payload_encode(const csm_mark_payload *p, float coded[N_CODED_BITS])
{
    const uint32_t bits = (uint32_t)p->maker << 24 | (uint32_t)p->model << 8 | p->free_bits;
    const uint64_t message = (uint64_t)bits << 24 | crc24(bits);
    unsigned reg = 0;
    for (int i = -8; i < N_MESSAGE_BITS; i++) {
        const int at = (i + N_MESSAGE_BITS) % N_MESSAGE_BITS; /* the tail comes first */
        reg = reg >> 1 | (unsigned)(message >> (N_MESSAGE_BITS - 1 - at) & 1) << 8;
        for (int k = 0; i >= 0 && k < 3; k++)
            coded[3 * i + k] = outputs(reg) >> k & 1 ? 1.0f : -1.0f;
    }
}

/* A state is the last 8 message bits, the newest in bit 7. */
bool csm_mark_payload_decode(const float soft[N_CODED_BITS], csm_mark_payload *payload)
{
    float score[N_STATES] = {0}, next[N_STATES];
    static_assert(N_STATES == 256, "a survivor is one bit: the bit that fell out of the state");
    uint8_t survivors[N_STEPS][N_STATES / 8];
    memset(survivors, 0, sizeof survivors);
    for (int step = 0; step < N_STEPS; step++) {
        const float *s = soft + 3 * (step % N_MESSAGE_BITS);
        float branch[8];
        for (unsigned o = 0; o < 8; o++)
            branch[o] = (o & 1 ? s[0] : -s[0]) + (o & 2 ? s[1] : -s[1]) + (o & 4 ? s[2] : -s[2]);
        for (unsigned to = 0; to < N_STATES; to++) {
            const unsigned from = to << 1 & 0xff, reg = to << 1;
            const float zero = score[from] + branch[outputs(reg)];
            const float one = score[from | 1] + branch[outputs(reg | 1)];
            next[to] = one > zero ? one : zero;
            if (one > zero)
                survivors[step][to / 8] |= (uint8_t)(1 << to % 8);
        }
        memcpy(score, next, sizeof score);
    }
    unsigned state = 0;
    for (unsigned i = 1; i < N_STATES; i++)
        if (score[i] > score[state])
            state = i;
    uint64_t message = 0;
    for (int step = N_STEPS - 1; step >= N_MESSAGE_BITS; step--) {
        if (step < 2 * N_MESSAGE_BITS)
            message |= (uint64_t)(state >> 7) << (2 * N_MESSAGE_BITS - 1 - step);
        state = (state << 1 & 0xff) | (survivors[step][state / 8] >> state % 8 & 1);
    }
    const uint32_t bits = (uint32_t)(message >> 24);
    if (crc24(bits) != (message & 0xffffff))
        return false;
    *payload = (csm_mark_payload){.maker = (uint8_t)(bits >> 24),
                                  .model = (uint16_t)(bits >> 8 & 0xffff),
                                  .free_bits = (uint8_t)(bits & 0xff)};
    return true;
}
