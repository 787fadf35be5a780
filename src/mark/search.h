/* SPDX-License-Identifier: Apache-2.0
 *
 * search.h - where in a window of whitened sound (16 kHz, two samples a chip) the pilot
 * of a key is, if anywhere: over all starts, block phases, and speeds of 0.977 to 1.023. */
#ifndef CSM_MARK_SEARCH_H
#define CSM_MARK_SEARCH_H

#include <stdbool.h>
#include <stddef.h>

#include "mark/chips.h"

enum {
    N_PHASES = 6, /* three chips' samples of 16 kHz */
    HALF_BLOCK = 2 * N_BLOCK, /* a block in samples of 16 kHz */
    N_SEARCHED = 84 * HALF_BLOCK, /* 5 s */
    N_STRETCHED = N_SEARCHED + N_SEARCHED / 32 + 2 * HALF_BLOCK
};

struct search {
    const struct chips *chips;
    bool fixed_speed; /* look at speed 1 alone */
    float stretched[N_PHASES][N_STRETCHED / N_PHASES];
    float matches[N_STRETCHED];
};

struct sync {
    double start;    /* of a block, samples of 16 kHz into the window */
    double spacing;  /* from block to block: HALF_BLOCK / speed */
    size_t phase;    /* which of the N_PERIOD that block is */
    size_t n_blocks; /* whole ones in the window from there on */
    double p_value;
};

/* x: n samples, at most N_SEARCHED. The likeliest place, with a bound of how often sound
 * without the mark looks like it: p_value 1 when the window is too short. */
void csm_mark_search_window(struct search *search, const float *x, size_t n, struct sync *sync);

/* x between its samples, by the cubic through four of them; 1 <= at < n - 2. */
static inline float search_between(const float *x, double at)
{
    const size_t i = (size_t)at;
    const float t = (float)(at - (double)i);
    const float a = x[i - 1], b = x[i], c = x[i + 1], d = x[i + 2];
    return b + 0.5f * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
}

#endif
