/* SPDX-License-Identifier: Apache-2.0
 *
 * mt19937.c - Matsumoto and Nishimura, "Mersenne Twister" (1998), with the
 * initialisation of 2002.
 *
 * The state is renewed 624 words at a time, in three runs within which no word
 * depends on another new one at a distance below 227, so that the compiler can
 * do several at once. */
#include "sampling/mt19937.h"

#include <string.h>

enum { MT_MIDDLE = 397 };

void mt19937_seed(struct mt19937 *g, uint32_t seed)
{
    g->words[0] = seed;
    for (uint32_t i = 1; i < MT_WORDS; i++) {
        uint32_t before = g->words[i - 1];
        g->words[i] = 1812433253u * (before ^ before >> 30) + i;
    }
    g->next = MT_WORDS;
}

static inline uint32_t twist(uint32_t high, uint32_t low, uint32_t middle)
{
    uint32_t y = (high & 0x80000000u) | (low & 0x7fffffffu);
    return middle ^ y >> 1 ^ (0x9908b0dfu & (0u - (low & 1u)));
}

static void renew(struct mt19937 *g)
{
    uint32_t *w = g->words;
    enum { LEFT = MT_WORDS - MT_MIDDLE };
    for (size_t i = 0; i < LEFT; i++)
        w[i] = twist(w[i], w[i + 1], w[i + MT_MIDDLE]);
    for (size_t i = LEFT; i < MT_WORDS - 1; i++)
        w[i] = twist(w[i], w[i + 1], w[i - LEFT]);
    w[MT_WORDS - 1] = twist(w[MT_WORDS - 1], w[0], w[MT_MIDDLE - 1]);
    g->next = 0;
}

void mt19937_raw(struct mt19937 *g, uint32_t *out, size_t n)
{
    while (n > 0) {
        if (g->next == MT_WORDS)
            renew(g);
        size_t m = MT_WORDS - g->next < n ? MT_WORDS - g->next : n;
        memcpy(out, g->words + g->next, m * sizeof *out);
        g->next += m;
        out += m;
        n -= m;
    }
}

void mt19937_skip(struct mt19937 *g, uint64_t n)
{
    while (n > 0) {
        if (g->next == MT_WORDS)
            renew(g);
        uint64_t m = MT_WORDS - g->next < n ? MT_WORDS - g->next : n;
        g->next += (size_t)m;
        n -= m;
    }
}
