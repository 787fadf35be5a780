/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_model.h - a model in GGUF files, as what a directory has: a set of tensors in HF's
 * layout, config.json, tokenizer.json.
 *
 * CrispASR's is one file (general.architecture csm-tts). codec.cpp's is two: llama, the
 * backbone, and mimi, everything else (codec.lm.kind residual_depth_ar); of either the other
 * is looked for beside it. A mimi without the rest is a codec. */
#ifndef CSM_CHECKPOINT_GGUF_MODEL_H
#define CSM_CHECKPOINT_GGUF_MODEL_H

#include <jansson.h>

#include "checkpoint/tensor_set.h"

struct csm_gguf_model {
    struct csm_tensor_set *set;
    json_t *config;
    char *tokenizer; /* tokenizer.json; NULL: the files have none */
    size_t n_tokenizer;
    char *types; /* "12 tensors of f32, 113 of q4_k", as they lie in the files */
};

/* The file that `path` means: `path` itself, if it is a GGUF; of a directory without
 * safetensors and pickles its one model in GGUF. *file: to be freed; NULL: none of these.
 * CSM_BAD_FORMAT: a directory of several models; CSM_BAD_FILE; CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_gguf_find(const char *path, char **file, csm_error *err);

/* Open it, and its other half if it needs one (needs_language, and a half of a pair).
 *
 *   out  its members are the caller's, each to be released; zeroed on failure
 *
 * Returns CSM_OK; CSM_BAD_FILE (the other half is missing, or there are several),
 * CSM_BAD_FORMAT (another architecture, and what gguf.h refuses); CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_gguf_model_open(const char *path, bool needs_language,
                                            struct csm_gguf_model *out, csm_error *err);

#endif
