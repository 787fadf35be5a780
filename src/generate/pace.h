/* SPDX-License-Identifier: Apache-2.0
 *
 * pace.h - how much a scheduler does between two borders: how many positions of prompts beside
 * frames, and who rests while others wait for their first. The scheduler's thread. */
#ifndef CSM_GENERATE_PACE_H
#define CSM_GENERATE_PACE_H

#include "generate/generation.h"
#include "generate/scheduler.h"

/* Positions of its prompt, and frames, that are still to be read. */
size_t csm_pace_pending(const csm_generation *g);

/* A frame is to be drawn of it, or has been: not its prompt's reading. */
bool csm_pace_is_speaking(const csm_generation *g);

/* Positions of prompts that there is time for, and what a newcomer's first frame counts as. */
struct csm_budget {
    size_t rows;
    size_t frame;
};

/* Beside n_speaking frames; n_present generations speak, some of whom may rest or be ahead of
 * their readers. */
struct csm_budget csm_pace_budget(const struct csm_scheduler *s, const struct csm_host *host,
                                  size_t n_speaking, size_t n_present);

/* While somebody waits for a first frame: who has enough to be heard has none drawn now
 * (has_room of csm_generation), and slack_ms says for how long. */
void csm_pace_let_rest(struct csm_scheduler *s);

/* A time as it usually is: nearer to what it takes when nobody else uses the cores, since what
 * others make of it comes in jumps. usual 0: none is known. */
double csm_pace_usually(double usual, double took);

/* After a frame of n_speaking generations with n_rows positions of prompts beside it. */
void csm_pace_learn(struct csm_scheduler *s, size_t n_speaking, size_t n_rows, double took);

#endif
