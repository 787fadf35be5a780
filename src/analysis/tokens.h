/* SPDX-License-Identifier: Apache-2.0
 *
 * tokens.h - how csm_tokens own what they show. */
#ifndef CSM_ANALYSIS_TOKENS_H
#define CSM_ANALYSIS_TOKENS_H

#include <csm/analysis.h>

enum { CSM_MAX_CODEBOOKS = 1024 };

/* What a token file may say of itself; other keys are not kept. */
#define CSM_METADATA_MAP(X)                                                                        \
    X(text)                                                                                        \
    X(speaker)                                                                                     \
    X(seed)                                                                                        \
    X(strategy)                                                                                    \
    X(engine)                                                                                      \
    X(engine_version)                                                                              \
    X(library)                                                                                     \
    X(processor)                                                                                   \
    X(device)                                                                                      \
    X(threads)                                                                                     \
    X(precision)                                                                                   \
    X(stream)                                                                                      \
    X(sampler)                                                                                     \
    X(dtype)                                                                                       \
    X(temperature)                                                                                 \
    X(topk)                                                                                        \
    X(depth_temperature)                                                                           \
    X(depth_topk)                                                                                  \
    X(top_p)                                                                                       \
    X(depth_top_p)                                                                                 \
    X(min_p)                                                                                       \
    X(depth_min_p)                                                                                 \
    X(top_h)                                                                                       \
    X(depth_top_h)                                                                                 \
    X(typical_p)                                                                                   \
    X(depth_typical_p)                                                                             \
    X(epsilon_cutoff)                                                                              \
    X(depth_epsilon_cutoff)                                                                        \
    X(eta_cutoff)                                                                                  \
    X(depth_eta_cutoff)                                                                            \
    X(code_rules)                                                                                  \
    X(mlx_version)                                                                                 \
    X(model)                                                                                       \
    X(version)                                                                                     \
    X(ended)                                                                                       \
    X(vocab)                                                                                       \
    X(n_prompt)                                                                                    \
    X(first_frame_ms)                                                                              \
    X(total_ms)
#define CSM_METADATA_ENUM(key) CSM_METADATA_##key,
enum csm_metadata_key { CSM_METADATA_MAP(CSM_METADATA_ENUM) CSM_METADATA_COUNT };
#undef CSM_METADATA_ENUM

const char *csm_metadata_name(enum csm_metadata_key key);

/* All that a csm_tokens owns; the public part comes first, so that a pointer to
 * one is a pointer to the other. Memory that is NULL is in the file's map. */
struct csm_tokens_owner {
    csm_tokens shown;
    csm_tensors *file; /* NULL: nothing of it is mapped */
    char *name;
    int32_t *codes, *forced;
    float *margins, *probs, *samples;
    void *logits;
    csm_hidden *hidden;
    char **hidden_names;  /* [n_hidden] or NULL: names are the file's */
    float **hidden_data;  /* [n_hidden] or NULL: data is the file's */
    char *metadata[CSM_METADATA_COUNT];
};

/* Into the order of computation. */
void csm_hidden_sort(csm_hidden *hidden, size_t n);

/* An integer array [frames, codebooks] out of a tensor of any integer type whose
 * leading dimensions are 1; values beyond 32 bits become INT32_MIN or _MAX.
 *
 *   where  for the message
 *
 * Returns CSM_OK, then *codes is to be freed; CSM_BAD_FORMAT; CSM_NO_MEMORY. */
csm_status csm_codes_from_tensor(const csm_tensor *tensor, const char *where, int32_t **codes,
                                 size_t *n_frames, size_t *n_codebooks, csm_error *err);

/* Whether csm_codes_from_tensor would take it. */
bool csm_tensor_is_codes(const csm_tensor *tensor);

/* The codes of a .npy (the whole file in memory) or of a .npz file. Errors as
 * csm_tokens_open. */
csm_status csm_npy_codes(const unsigned char *bytes, size_t n_bytes, const char *where,
                         int32_t **codes, size_t *n_frames, size_t *n_codebooks, csm_error *err);
bool csm_npy_holds_array(const unsigned char *bytes, size_t n_bytes);
/* CSM_BAD_FORMAT: what to do instead of handing over a pickle. */
csm_status csm_refuse_pickled_codes(const char *path, csm_error *err);
csm_status csm_npz_codes(const char *path, int32_t **codes, size_t *n_frames, size_t *n_codebooks,
                         csm_error *err);

#endif
