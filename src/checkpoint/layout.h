/* SPDX-License-Identifier: Apache-2.0
 *
 * layout.h - what each layout calls the model's tensors, and which layout a
 * file is in. */
#ifndef CSM_FILES_LAYOUT_H
#define CSM_FILES_LAYOUT_H

#include "checkpoint/checkpoint.h"
#include "checkpoint/weights.h"

/* Where a language model or a codec lies: in which set, in which layout, and
 * what stands before all of its names ("model.", "codec_model.", ""). */
struct csm_place {
    enum csm_layout layout;
    const char *prefix;
    const struct csm_weights *weights;
};

/* What a set of tensors holds; layout NONE where it holds none. */
void csm_layout_recognise(const struct csm_weights *weights, struct csm_place *language,
                          struct csm_place *codec);

enum { CSM_NAME_MAX = 160 };

/* The name of a tensor in a place. `n_residual_layers` numbers SEANet's layers;
 * `n_semantic` the codebooks. Returns false where the layout has no such tensor
 * (an audio table of its own for the depth decoder, outside HF).
 *
 * Kyutai's q, k and v are one tensor: all three roles give its name. */
bool csm_layout_name(const struct csm_place *place, enum csm_part part, enum csm_role role,
                     size_t index, const struct csm_codec_config *codec, char name[CSM_NAME_MAX]);

#endif
