/* SPDX-License-Identifier: Apache-2.0
 *
 * weight_source.h - what a weight is before an engine has made its own form of
 * it: where its bytes lie and what they mean. checkpoint/ fills it, engines read
 * it; neither knows the other. */
#ifndef CSM_BASE_WEIGHT_SOURCE_H
#define CSM_BASE_WEIGHT_SOURCE_H

#include <stdbool.h>

#include <csm/tensors.h>

/* How the numbers of a weight are stored. */
enum csm_weight_format {
    /* `tensor` is F32, F16 or BF16 of the weight's shape. */
    CSM_WEIGHT_FLOAT,
    /* MLX's affine quantization of a matrix [rows, cols]: w = scale * q + bias.
     * `tensor` is U32 [rows, cols * bits / 32]; `scales` and `biases` are
     * [rows, cols / group_size] of one float type. */
    CSM_WEIGHT_AFFINE,
    /* MLX's other modes (fp_blocks.h): `tensor` likewise, `scales` U8 [rows, cols /
     * group_size], no biases. */
    CSM_WEIGHT_MXFP4,
    CSM_WEIGHT_MXFP8,
    CSM_WEIGHT_NVFP4
};

/* Rows of a matrix that are made when they are read: of a weight and what adapters add to it. */
enum { CSM_MADE_AT_ONCE = 4 };
struct csm_made_rows {
    /* Rows first .. first + n - 1, n at most CSM_MADE_AT_ONCE. Any number of threads.
     *
     *   out   [n, cols] of the tensor's dtype
     *   room  scratch [n_room] */
    void (*read)(const struct csm_made_rows *rows, size_t first, size_t n, void *out,
                 float *room);
    size_t n_room;
};

/* A tensor of a checkpoint. Its bytes outlive the weight made of it, so that an
 * engine may keep pointing at them. */
struct csm_weight_source {
    enum csm_weight_format format;
    csm_tensor tensor;
    /* Not NULL: `tensor` says dtype and shape of rows that are made, and has no bytes. For an
     * engine whose trait says that it takes them. */
    const struct csm_made_rows *made;
    int bits, group_size; /* of a quantized format; 0 of floats */
    csm_tensor scales, biases;
    /* 4 or 8: a matrix of floats becomes MLX's affine form of so many bits, groups of 64,
     * whatever the engine's precision is; 0: as the engine does. */
    int to_bits;
    /* The matrix lies as [in, out] (csm's depth heads), not [out, in]. */
    bool transposed;
    /* The layout's own program computes with a copy, not with the file's bytes
     * (Sesame): matters to an engine whose rounding depends on alignment. */
    bool is_copied;
    /* Keep full precision whatever `precision` says (codec, norms). */
    bool exact;
    /* What comes of it is sound, not a choice between entries (the codec's decoder): an
     * engine may round it to 18 bits, see docs/ENGINES.md. */
    bool is_sound;
    /* A hint: only `embed` reads it, so no form for products is made of it. */
    bool is_table;
    /* A hint: read only where sound is given (the codec's encoder), so a form for products
     * may wait until then. */
    bool is_of_encoder;
};

#endif
