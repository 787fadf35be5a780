/* SPDX-License-Identifier: Apache-2.0
 *
 * layout.h - what each layout calls the model's tensors, and which layout a
 * file is in. */
#ifndef CSM_CHECKPOINT_LAYOUT_H
#define CSM_CHECKPOINT_LAYOUT_H

#include <stdbool.h>

#include "checkpoint/checkpoint.h"
#include "checkpoint/tensor_set.h"

/* Where a language model or a codec lies: in which set, in which layout, and
 * what stands before all of its names ("model.", "codec_model.", ""). */
struct csm_place {
    enum csm_layout layout;
    const char *prefix;
    const struct csm_tensor_set *set;
    /* A codec of HF's layout has its parts as transformers 5's modules have them, as a state_dict does
     * that is saved as it is: "encoder.encoder_transformer." for "encoder_transformer.". */
    bool has_modules;
    /* The configuration leaves what tensors' shapes tell to them (a codec of a GGUF). */
    bool has_sizes_by_shape;
};

/* What a set of tensors holds; layout NONE where it holds none. csm-hf's names are
 * csm-mlx's: config.json tells them apart. */
void csm_layout_recognise(const struct csm_tensor_set *set, struct csm_place *language,
                          struct csm_place *codec);

/* Whether rows of q and k lie as pairs (2i, 2i + 1), not as halves of a head. */
bool csm_layout_has_pairs(enum csm_layout layout);

enum { CSM_NAME_MAX = 160 };

/* The name of a tensor in a place. `n_residual_layers` numbers SEANet's layers;
 * `n_semantic` the codebooks. Returns false where the layout has no such tensor
 * (an audio table of its own for the depth decoder, outside HF).
 *
 * Kyutai's q, k and v are one tensor: all three roles give its name. */
bool csm_layout_name(const struct csm_place *place, enum csm_part part, enum csm_role role,
                     size_t index, const struct csm_codec_config *codec, char name[CSM_NAME_MAX]);

#endif
