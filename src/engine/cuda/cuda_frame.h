/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_frame.h - what the two ways to draw frames share: what a frame needs of each lane,
 * told to the card once a frame. */
#ifndef CSM_CUDA_FRAME_H
#define CSM_CUDA_FRAME_H

#include "engine/cuda/cuda_engine.h"

namespace csm_cuda {

enum { MOST_CODEBOOKS = 64, MOST_VOCAB = 2560 };

/* A lane's frame, on the card. */
struct lane_frame {
    float *const *pages; /* of the backbone's lane */
    int n_pages;
    int position;  /* that a feed becomes */
    int fed;       /* its row among those fed; -1: not fed */
    float *hidden; /* [width] */
    /* The draws: of codebook 0, and of the others. */
    float temperature[2];
    int top_k[2];
    csm_dtype dtype;
    int by_reciprocal;
    const float *noise; /* [n_codebooks, vocab] or NULL */
    uint32_t key[2];
    uint64_t offset;
    int32_t feed[MOST_CODEBOOKS];  /* rows of the table */
    int32_t known[MOST_CODEBOOKS]; /* -1: none */
};

/* All of a frame of n lanes in one launch, for one lane alone: false if this model or card
 * is none for it. Puts codes and logits where the other way does. */
struct one_lane;

} // namespace csm_cuda
#endif
