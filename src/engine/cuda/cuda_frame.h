/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_frame.h - what the two ways to draw frames share: what a frame needs of each lane,
 * told to the card once a frame. */
#ifndef CSM_CUDA_FRAME_H
#define CSM_CUDA_FRAME_H

#include "engine/cuda/cuda_engine.h"

namespace csm_cuda {

enum { MOST_CODEBOOKS = 64, MOST_VOCAB = 2560 };

/* A row of at most MOST_VOCAB values is one call of the generator by more threads than it has
 * values: thread i gives value i, and the generator moves by 4 (noise_torch_cuda.c). */
enum { NOISE_ADVANCE = 4 };

/* A lane's frame, on the card. */
struct lane_frame {
    /* Of a lane alone: the backbone's pages, and the position that a feed becomes. */
    float *const *pages;
    int n_pages;
    int position;
    float *hidden;      /* [width] */
    const float *fed;   /* the row that becomes it; NULL: it stands */
    /* The draws: of codebook 0, and of the others. */
    float temperature[2];
    int top_k[2];
    csm_dtype dtype, logits_dtype;
    int by_reciprocal;
    const float *noise; /* [n_codebooks, vocab] or NULL */
    uint32_t key[2];
    uint64_t offset;
    int32_t feed[MOST_CODEBOOKS];  /* rows of the table */
    int32_t known[MOST_CODEBOOKS]; /* -1: none */
};

/* ---- cuda_frame.cu ---- */
/* A lane_frame's part that says how to draw, but the noise that the caller gives. */
void tell_draw(const csm_frame_parts &parts, const csm_frame_draw &draw, const int32_t *known, size_t n_known,
               uint64_t offset, lane_frame &out);
bool is_greedy(const csm_frame_draw &draw);
/* Draws of a frame that noise is made for. */
size_t draws_of(const csm_frame_parts &parts, const csm_frame_draw &draw);

/* ---- cuda_alone.cu ---- */
struct one_frame;
struct alone_state;
std::unique_ptr<alone_state, void (*)(alone_state *)> make_alone(const csm_frame_parts &parts);
/* A lane's frame, and where the draw lets it, the beginning of its next; lengths and random
 * stream are the caller's to move on. False: another such frame holds the card, so this one is
 * to be drawn in another way. */
bool draw_alone(context &ctx, const csm_frame_parts &parts, one_frame &one, alone_state &alone,
                csm_frame_lane &lane);

} // namespace csm_cuda
#endif
