/* SPDX-License-Identifier: Apache-2.0
 *
 * scheduler_parts.h - what the scheduler's files call of each other: scheduler.c works from border
 * to border, scheduler_queue.c has who comes and goes, scheduler_sound.c sound that is made beside
 * the next frame. The scheduler's thread, in the model's turn, where nothing else is said. */
#ifndef CSM_GENERATE_SCHEDULER_PARTS_H
#define CSM_GENERATE_SCHEDULER_PARTS_H

#include "generate/drawing.h"
#include "generate/generation.h"
#include "generate/scheduler.h"

struct csm_mimi;

/* ---- scheduler.c ---- */

/* What the thread does, from csm_scheduler_enter on. */
void *csm_scheduler_run(void *scheduler);

/* A generation of the lanes is over: as st says, with err where it is not CSM_OK. */
void csm_scheduler_end(struct csm_scheduler *s, csm_generation *g, csm_status st,
                       const csm_error *err);

/* ---- scheduler_queue.c ---- */

/* A frame and its sound are there: for the reader. */
void csm_scheduler_hand_over(struct csm_scheduler *s, csm_generation *g);

/* It is over for the reader, then nobody's but the reader's. Without the lock; in the turn or not. */
void csm_scheduler_let_go(struct csm_scheduler *s, csm_generation *g, csm_status st,
                          const csm_error *err);

/* From the queue into the lanes; under the lock, which is given up where one cannot be taken. */
void csm_scheduler_admit(struct csm_scheduler *s);

/* Under the lock: what each wants; whether there is anything to do. */
bool csm_scheduler_look(struct csm_scheduler *s);

/* ---- scheduler_sound.c ---- */

/* The codec, where all streams go through it together; else NULL. */
struct csm_mimi *csm_scheduler_together(csm_model *model);

/* A generation's sound again, from another engine (csm_can_move_sound). */
void csm_scheduler_hear_elsewhere(struct csm_scheduler *s, csm_generation *g);

/* A frame's codes are there, and its sound is made while the next one is drawn. */
void csm_scheduler_let_wait(struct csm_scheduler *s, csm_generation *g);

/* csm_scratch's settle; the user is the scheduler. */
void csm_scheduler_settle(void *scheduler, enum csm_settle what);

/* End those whose last frame has been handed over, or could not be. */
void csm_scheduler_end_done(struct csm_scheduler *s);

/* Nothing waits any more, and who is done has ended. */
void csm_scheduler_settle_all(struct csm_scheduler *s);

#endif
