/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_one.h - a whole frame of one lane in one launch (cuda_one.cu). */
#ifndef CSM_CUDA_ONE_H
#define CSM_CUDA_ONE_H

#include "engine/cuda/cuda_frame.h"

namespace csm_cuda {

enum { MOST_ONE_POSITIONS = 1 << 16 };

struct one_frame; /* a model's program on this card */

/* NULL: this model or card is none for it, and frames of one lane go the way of many. */
std::unique_ptr<one_frame, void (*)(one_frame *)> make_one(context &ctx, const csm_frame_parts &parts,
                                                           const float *projected);

/* What cuda_frame_steps.cu's sequence of kernels gives, bit for bit. lane: on the card, `fed` and
 * `position` of it also here. fed_before: on the card, the codes that are fed, in the place of
 * the lane's; or NULL. codes: [2][n_codebooks], as drawn, then as the model went on with them; then 1 if the frame
 * was given up before it wrote anything else, since the card has no room for all of it. */
void run_one(context &ctx, one_frame &one, const lane_frame *lane, const int32_t *fed_before, bool is_fed,
             int position, int32_t *codes, float *logits);

} // namespace csm_cuda
#endif
