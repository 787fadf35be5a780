/* SPDX-License-Identifier: Apache-2.0
 *
 * mt19937.c - Matsumoto and Nishimura, "Mersenne Twister" (1998), with the
 * initialisation of 2002.
 * The state is renewed 624 words at a time (row_kernels_text.h). */
#include "sampling/mt19937.h"

#include <string.h>

#include "sampling/row_kernels.h"

void csm_mt19937_seed(struct mt19937 *g, uint32_t seed)
{
    g->words[0] = seed;
    for (uint32_t i = 1; i < MT_WORDS; i++) {
        uint32_t before = g->words[i - 1];
        g->words[i] = 1812433253u * (before ^ before >> 30) + i;
    }
    g->next = MT_WORDS;
}

static void renew(struct mt19937 *g)
{
    csm_row_kernels_best()->mt_renew(g->words);
    g->next = 0;
}

void csm_mt19937_raw(struct mt19937 *g, uint32_t *out, size_t n)
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

void csm_mt19937_skip(struct mt19937 *g, uint64_t n)
{
    while (n > 0) {
        if (g->next == MT_WORDS)
            renew(g);
        uint64_t m = MT_WORDS - g->next < n ? MT_WORDS - g->next : n;
        g->next += (size_t)m;
        n -= m;
    }
}
