/* SPDX-License-Identifier: Apache-2.0
 *
 * rate.h - between a sound's rate and the chips' 8 kHz, in steps of 5 ms: a low-pass at
 * 3.8 kHz (Kaiser-windowed sinc, 2 ms long, linear phase), one phase at a time. */
#ifndef CSM_MARK_RATE_H
#define CSM_MARK_RATE_H

#include <stddef.h>

enum { N_STEP = 40, N_SPAN = 16, MAX_FACTOR = 6 };

/* Stays where it was made ready: it points into itself. */
struct rate {
    size_t factor;                           /* 1..MAX_FACTOR: the sound's rate over 8 kHz */
    float taps[N_SPAN * MAX_FACTOR + 1];     /* symmetric; their sum is 1 */
    float up_taps[MAX_FACTOR][N_SPAN + 1];   /* phase after phase, times factor */
    float down[MAX_FACTOR][N_SPAN + N_STEP]; /* phase after phase: the last 2 ms, then the step */
    float up[N_SPAN + N_STEP];
    const float *down_terms[N_SPAN * MAX_FACTOR + 1]; /* what each of taps meets first */
    const float *up_terms[N_SPAN + 1];
};

void csm_mark_rate_init(struct rate *rate, size_t factor);

/* N_STEP * factor samples to N_STEP, 1 ms late. Sample t * factor + p stays to be read at
 * rate->down[p][N_SPAN + t] until the next call. */
void csm_mark_rate_down(struct rate *rate, const float *samples, float out[N_STEP]);

/* N_STEP samples to N_STEP * factor, 1 ms late: phases[p][t] is sample t * factor + p. */
void csm_mark_rate_up(struct rate *rate, const float in[N_STEP], float phases[][N_STEP]);

#endif
