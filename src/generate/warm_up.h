/* SPDX-License-Identifier: Apache-2.0
 *
 * warm_up.h - a frame that nobody hears, so that the first one that somebody waits for takes as
 * long as the others: memory is taken, forms of weights are made, kernels are loaded. */
#ifndef CSM_GENERATE_WARM_UP_H
#define CSM_GENERATE_WARM_UP_H

#include "generate/model.h"

/* A short prompt, two frames and their sound, where the engine's first ones take longer (trait
 * slow_at_first); else nothing. The same for n_lanes at once, up to 512, where the engine makes frames
 * or sound of many ready ahead; 0: no number is known. Where there is no memory for so many, for
 * fewer. The model's host and codec are open. What the engine returns. */
csm_status csm_warm_up(csm_model *model, size_t n_lanes, csm_error *err);

#endif
