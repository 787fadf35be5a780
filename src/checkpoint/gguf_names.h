/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_names.h - what the tensors of a GGUF are called in HF's layout.
 *
 *   CRISPASR  CrispASR's csm-tts (models/convert-csm-to-gguf.py, 72d3c38): backbone, depth
 *             decoder and Mimi in one file; Mimi's q, k and v one matrix
 *   LLAMA     llama.cpp's llama: the backbone of codec.cpp's pair, rows of q and k as pairs
 *   CODEC_CPP codec.cpp's mimi (c5ef02b), with its residual_depth_ar: codec, depth decoder,
 *             heads and one audio table a codebook */
#ifndef CSM_CHECKPOINT_GGUF_NAMES_H
#define CSM_CHECKPOINT_GGUF_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "checkpoint/layout.h"

enum csm_gguf_dialect {
    CSM_GGUF_NONE,
    CSM_GGUF_CRISPASR,
    CSM_GGUF_LLAMA,
    CSM_GGUF_CODEC_CPP
};

/* What is done with a tensor on its way. */
enum csm_gguf_way {
    CSM_GGUF_AS_IS,
    CSM_GGUF_UNPAIR,     /* rows of q or k: pairs become halves */
    CSM_GGUF_SPLIT,      /* rows are q, then k, then v: the name has ? for the letter */
    CSM_GGUF_ENTRIES,    /* a codebook's vectors, divided already: usages of 1 are added */
    CSM_GGUF_DIAGONAL,   /* [c, c, n] that is 0 but for [i, i]: [c, 1, n] */
    CSM_GGUF_WITH_KERNEL, /* a 1x1 convolution without its last axis */
    CSM_GGUF_TABLE,      /* rows `index` of the audio table */
    CSM_GGUF_HEAD,       /* [V, H] of codebook index + 1, transposed into the stack */
    CSM_GGUF_ROPE,       /* factors of the rotation, which are checked */
    CSM_GGUF_UNUSED      /* another copy, or values that programs compute */
};

/* The name in HF's layout, and the way there; false: no CSM's. `index` receives the number
 * of a TABLE or a HEAD. */
bool csm_gguf_rename(enum csm_gguf_dialect dialect, const char *name, char to[CSM_NAME_MAX],
                     enum csm_gguf_way *way, size_t *index);

#endif
