/* SPDX-License-Identifier: Apache-2.0
 *
 * fallback.h - another engine in the place of one that failed: native for one whose device was
 * lost, hybrid for arithmetic that failed. */
#ifndef CSM_GENERATE_FALLBACK_H
#define CSM_GENERATE_FALLBACK_H

#include "generate/generation.h"

/* What stands in, of one model. */
struct csm_stand_in {
    struct csm_host host;
    struct csm_mimi mimi; /* native sound, once a codec's device was lost; else all zero */
};

/* Whether another engine may go on for a generation whose draws failed so. */
bool csm_can_fall_back(const csm_generation *g, csm_status failed);

/* Move its language model to that engine, opened if need be, and its sound where the codec was
 * on the same kind of device: its sequence starts anew with all that was said so far, its draws go
 * on where they were. err: why the first failed; where this fails, both. The report says in one
 * line what happened. */
csm_status csm_fall_back(csm_generation *g, csm_status failed, csm_error *err);

/* Whether native may go on for a generation whose sound failed so, and that. */
bool csm_can_move_sound(const csm_generation *g, csm_status failed);
csm_status csm_move_sound(csm_generation *g, csm_status failed, csm_error *err);

void csm_stand_in_close(struct csm_stand_in *stand_in); /* takes NULL */

#endif
