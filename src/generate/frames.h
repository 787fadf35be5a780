/* SPDX-License-Identifier: Apache-2.0
 *
 * frames.h - a frame of each of several generations, and pieces of prompts beside them. */
#ifndef CSM_GENERATE_FRAMES_H
#define CSM_GENERATE_FRAMES_H

#include "generate/drawing.h"

/* Read the next positions of the feeds' sequences: in one pass where the engine can, else
 * one by one. feeds[i] is of lanes[i], which is marked as failed where it fails; the others
 * go on. */
void csm_frames_read(struct csm_host *host, const struct csm_feed *feeds, csm_generation **lanes,
                     size_t n, csm_error *err);

/* Draw a frame of each, into its slot, and judge its end (csm_drawing_judge). Those that fail are
 * marked. The list is reordered. scratch.settle is called on the way, if n is not 0. */
void csm_frames_draw(struct csm_host *host, csm_generation **lanes, size_t n,
                     struct csm_scratch *scratch);

/* The sound of the frame of each (csm_drawing_heard): all in one pass where the codec's engine
 * can, or several at the same time where it has sides, one or two of them to a thread. */
void csm_frames_sound(csm_model *model, csm_generation **lanes, size_t n,
                      struct csm_scratch *scratch);

/* The same in steps, where streams go through the codec together (scratch.mimi). First those of
 * another codec than the model's, one by one and to the end of the list; gives how many are left. */
size_t csm_frames_sound_elsewhere(const csm_model *model, csm_generation **lanes, size_t n,
                                  struct csm_scratch *scratch);
/* Then the sound of the others begins, in passes, where it has not; and is read (csm_drawing_heard). */
void csm_frames_begin_sound(csm_generation **lanes, size_t n, struct csm_scratch *scratch);
void csm_frames_finish_sound(struct csm_scratch *scratch);

#endif
