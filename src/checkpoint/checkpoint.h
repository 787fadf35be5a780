/* SPDX-License-Identifier: Apache-2.0
 *
 * checkpoint.h - a model directory: finds its files, recognises their layout by
 * the tensors' names, reads the configuration, and answers for any weight of the
 * model: "give me W_k of backbone layer 3", checked by name and shape.
 *
 *     struct csm_weight_source source;
 *     csm_checkpoint_find(checkpoint, CSM_BACKBONE, CSM_ROLE_K, 3, &source, err);
 *
 * Layouts of the language model:
 *   HF      transformers; the codec inside as codec_model.*; rotation of halves
 *   SESAME  torchtune's names; rotation of pairs
 *   MLX     csm-mlx, and mlx-audio with the prefix "model."; rotation of pairs;
 *           matrices may be quantized (affine, mxfp4, mxfp8, nvfp4)
 *   CSM_HF  the csm-hf port's: MLX's names, rotation of halves; told by its
 *           config.json, which has backbone_config and decoder_config
 *   GGUF    CrispASR's file or codec.cpp's pair, turned into HF's layout (gguf_model.h)
 * and of the codec:
 *   HF      inside a model, or transformers' MimiModel alone
 *   KYUTAI  kyutai's own file; q, k, v fused in one matrix; rotation of pairs
 *
 * Which file of a directory is meant, as transformers 5 decides it: the one that
 * config.json names (transformers_weights), else model.safetensors, else
 * model.safetensors.index.json; then other indices, numbered shards without an
 * index, ckpt.safetensors, other *.safetensors. The first in HF layout, else the
 * first of any layout, is the model. A codec that is not in it is looked for in
 * the others of this order, mimi.safetensors and kyutai's tokenizer-*.safetensors
 * before other *.safetensors.
 *
 * Nothing is dropped in silence: a tensor that no role reads, a prefix taken off,
 * an adapter beside the model, two unequal copies of a tied table are applied,
 * noted (csm_checkpoint_notes) or refused. */
#ifndef CSM_CHECKPOINT_CHECKPOINT_H
#define CSM_CHECKPOINT_CHECKPOINT_H

#include <jansson.h>

#include <csm/model.h>

#include "base/weight_source.h"
#include "checkpoint/config.h"
#include "checkpoint/notes.h"
#include "files/mapped.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct csm_checkpoint csm_checkpoint;

enum csm_layout {
    CSM_LAYOUT_NONE, /* not there */
    CSM_LAYOUT_HF,
    CSM_LAYOUT_SESAME,
    CSM_LAYOUT_MLX,
    CSM_LAYOUT_CSM_HF,
    CSM_LAYOUT_GGUF, /* only of csm_checkpoint_describe: inside it is HF's */
    CSM_LAYOUT_KYUTAI
};

/* "none", "hf", "sesame", "mlx", "csm-hf", "gguf", "kyutai" */
const char *csm_layout_text(enum csm_layout layout);

/* What the caller needs of a directory. A codec is taken where there is one; a
 * language model is looked at only if it is needed. */
enum csm_checkpoint_needs { CSM_NEEDS_LANGUAGE = 1, CSM_NEEDS_CODEC = 2 };

/* Open a model directory, or a GGUF file.
 *
 *   needs  CSM_NEEDS_LANGUAGE | CSM_NEEDS_CODEC: what must be there
 * A directory that holds an adapter alone is opened as the base that it names, if
 * that is a directory; csm_checkpoint_adapt then applies it.
 *
 *   out    to be closed with csm_checkpoint_close, after all weights made of it;
 *          untouched on failure
 *
 * Returns CSM_OK; CSM_BAD_FILE, CSM_BAD_FORMAT, CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_checkpoint_open(const char *directory, int needs, csm_checkpoint **out,
                                            csm_error *err);

/* The same of files in memory, which stay there until it is closed; `name` stands in messages
 * where a directory would. files NULL: csm_checkpoint_open. */
CSM_MUST_USE csm_status csm_checkpoint_open_memory(const char *name, const csm_memory_file *files,
                                                   size_t n_files, int needs,
                                                   csm_checkpoint **out, csm_error *err);
void csm_checkpoint_close(csm_checkpoint *checkpoint); /* takes NULL */

/* Merge adapters into an open checkpoint's weights (adapter.h), before any is looked
 * up. Without one, that which lies in the model's own directory, as transformers does.
 *
 *   adapters       [n]; kept no longer than the call
 *   n_threads      that merge; 0: one per core
 *   how            how much is merged at once
 *
 * Returns CSM_OK; CSM_BAD_ARG (a scale that is no number), CSM_BAD_FILE,
 * CSM_BAD_FORMAT, CSM_NO_MEMORY. */
enum csm_adapting {
    CSM_ADAPT_DESCRIBED, /* nothing: names and shapes are checked */
    CSM_ADAPT_ROWS,      /* what is not read row by row: csm_checkpoint_find gives rows that are
                          * made as they are read */
    CSM_ADAPT_WHOLE      /* everything */
};
CSM_MUST_USE csm_status csm_checkpoint_adapt(csm_checkpoint *checkpoint,
                                             const csm_adapter *adapters, size_t n, int n_threads,
                                             enum csm_adapting how, csm_error *err);

const struct csm_config *csm_checkpoint_config(const csm_checkpoint *checkpoint);

/* What csm info and a token file tell. Strings live as long as the checkpoint. */
struct csm_checkpoint_info {
    enum csm_layout layout, codec_layout; /* NONE: not there */
    /* 32 hexadecimal digits of config.json and the weights' headers: equal models
     * have equal digests, other sizes or other tensors another. */
    const char *digest;
    /* Of most values in the language model's matrices: "F32", "BF16", "F16",
     * "q8 group 64", "q3 group 32", "mxfp4". */
    const char *stored_dtype;
    /* Values (those of a tied table once, zero offsets and scales of quantized
     * ones not counted) and bytes in the files. */
    uint64_t n_parameters, n_bytes;
    uint64_t n_codec_parameters, n_codec_bytes;
};
struct csm_checkpoint_info csm_checkpoint_describe(const csm_checkpoint *checkpoint);

/* What is to be said of it (notes.h); lives as long as the checkpoint. */
const struct csm_notes *csm_checkpoint_notes(const csm_checkpoint *checkpoint);

/* Say what its tokenizer lacks around a text, and what is put there (NULL: nothing), where
 * transformers, whose layout it is, puts nothing. CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_checkpoint_note_ends(csm_checkpoint *checkpoint, const char *before,
                                                 const char *after, csm_error *err);

/* Whether all floats of the language model's files are numbers: a training that diverged leaves
 * others. Reads them all. Where it is false, `err` names the tensor, its file, and what to do. */
bool csm_checkpoint_are_numbers(const csm_checkpoint *checkpoint, csm_error *err);

/* tokenizer.json: its bytes (`file` may be NULL), to be closed with csm_mapped_close, and its
 * path, which lives as long as the checkpoint. CSM_BAD_FILE when there is none. */
CSM_MUST_USE csm_status csm_checkpoint_tokenizer(const csm_checkpoint *checkpoint,
                                                 struct csm_mapped *file,
                                                 const char **path, csm_error *err);

/* A JSON file beside that tokenizer.json, whole numbers as reals; *out NULL: there is none, else
 * to be released with json_decref. CSM_BAD_FILE, CSM_BAD_FORMAT, CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_checkpoint_beside_tokenizer(const csm_checkpoint *checkpoint,
                                                        const char *name, json_t **out,
                                                        csm_error *err);

enum csm_part {
    CSM_BACKBONE,
    CSM_DEPTH,
    CSM_ENCODER, /* of Mimi */
    CSM_DECODER
};

/* A weight of a part. `index` is what stands in brackets, else 0; H is the
 * part's width, h its MLP's, q and kv its heads' n * head_dim, K codebooks, V
 * vocab, B the backbone's width, D the codec's. Stage s of SEANet goes from 0,
 * in the order of data; j is s * n_residual_layers + block. */
enum csm_role {
    /* backbone, depth; ENCODER and DECODER: Mimi's transformers */
    CSM_ROLE_ATTENTION_NORM,      /* [layer] (H) */
    CSM_ROLE_ATTENTION_NORM_BIAS, /* [layer] (H), Mimi */
    CSM_ROLE_Q,                   /* [layer] (q, H) */
    CSM_ROLE_K,                   /* [layer] (kv, H) */
    CSM_ROLE_V,                   /* [layer] (kv, H) */
    CSM_ROLE_O,                   /* [layer] (H, q) */
    CSM_ROLE_ATTENTION_SCALE,     /* [layer] (H), Mimi's layer scale */
    CSM_ROLE_MLP_NORM,            /* [layer] (H) */
    CSM_ROLE_MLP_NORM_BIAS,       /* [layer] (H), Mimi */
    CSM_ROLE_GATE,                /* [layer] (h, H), not Mimi */
    CSM_ROLE_UP,                  /* [layer] (h, H) */
    CSM_ROLE_DOWN,                /* [layer] (H, h) */
    CSM_ROLE_MLP_SCALE,           /* [layer] (H), Mimi's layer scale */

    /* backbone, depth */
    CSM_ROLE_FINAL_NORM,  /* (H) */
    CSM_ROLE_TEXT_TABLE,  /* backbone: (text_vocab, B) */
    CSM_ROLE_AUDIO_TABLE, /* (K * V, B), code c of codebook k in row k * V + c; the
                           * depth decoder's is the backbone's if has_tied_tables */
    CSM_ROLE_PROJECTION,  /* depth: (H, B) */
    CSM_ROLE_HEAD,        /* backbone: (V, B), of codebook 0. depth: [k - 1], of codebook k:
                           * `transposed` (H, V), or quantized (V, H) */

    /* Mimi's SEANet, weights as PyTorch's convolutions and their biases */
    CSM_ROLE_CONV_IN,         /* encoder: (F, 1, kernel); decoder: (C, D, kernel) */
    CSM_ROLE_CONV_IN_BIAS,
    CSM_ROLE_RESIDUAL_1,      /* [j] (C / compress, C, residual_kernel) */
    CSM_ROLE_RESIDUAL_1_BIAS, /* [j] */
    CSM_ROLE_RESIDUAL_2,      /* [j] (C, C / compress, 1) */
    CSM_ROLE_RESIDUAL_2_BIAS, /* [j] */
    CSM_ROLE_STRIDED,         /* [s] encoder (2C, C, 2r); decoder, transposed convolution:
                               * (C, C / 2, 2r) */
    CSM_ROLE_STRIDED_BIAS,    /* [s] */
    CSM_ROLE_CONV_OUT,        /* encoder: (D, C, last_kernel); decoder: (1, F, last_kernel) */
    CSM_ROLE_CONV_OUT_BIAS,
    CSM_ROLE_RESAMPLE,        /* encoder, down: (D, D, 4); decoder, up: (D, D / groups, 4) */

    /* Mimi's quantizer */
    CSM_ROLE_SEMANTIC_PROJECTION, /* encoder: (dim, D); decoder: (D, dim) */
    CSM_ROLE_ACOUSTIC_PROJECTION, /* likewise */
    CSM_ROLE_EMBED_SUM,     /* decoder or encoder, [codebook] (n_entries, dim): an entry's vector
                             * is embed_sum / max(cluster_usage, 1e-5) */
    CSM_ROLE_CLUSTER_USAGE, /* [codebook] (n_entries) */
    CSM_ROLE_COUNT
};

/* The weight of that role: a view into the mapped file (in a few cases, said in
 * checkpoint_find.c, a small tensor that the checkpoint made).
 *
 *   source  float tensors F32, BF16 or F16, of the shape above. Quantized
 *           matrices (rows, cols): tensor is U32, shape [rows, cols * bits / 32];
 *           scales and biases as weight_source.h says. `exact` is set
 *           for norms and for all of the codec.
 *
 * Returns CSM_OK; CSM_BAD_FORMAT when the tensor is missing, of another shape or
 * dtype, or belongs to a part that the directory does not have; the message names
 * tensor, both shapes and file. Any number of threads. */
CSM_MUST_USE csm_status csm_checkpoint_find(const csm_checkpoint *checkpoint, enum csm_part part,
                                            enum csm_role role, size_t index,
                                            struct csm_weight_source *source, csm_error *err);

/* The same, and never rows that are made as they are read (weight_source.h): adapters are merged
 * into it now. One caller at a time. Beside those of csm_checkpoint_find, CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_checkpoint_find_whole(const csm_checkpoint *checkpoint,
                                                  enum csm_part part, enum csm_role role,
                                                  size_t index, struct csm_weight_source *source,
                                                  csm_error *err);

#ifdef __cplusplus
}
#endif
/* An adapter that is not merged, for lanes that ask for it. A pair adds left (right x) to the
 * product of one matrix; its rows are in the order of the checkpoint's. */
struct csm_kept_adapter;
struct csm_kept_pair {
    enum csm_part part; /* CSM_BACKBONE, CSM_DEPTH */
    enum csm_role role; /* q, k, v, o, gate, up, down */
    size_t index;       /* of the layer */
    size_t rank;        /* 0: there is no other pair */
    const float *left, *right; /* [rows, rank], [rank, cols]; until the next is asked for */
};

/* Read one; `out` is NULL on failure. The checkpoint and the path outlive it. As
 * csm_checkpoint_adapt. */
CSM_MUST_USE csm_status csm_kept_adapter_open(const csm_checkpoint *checkpoint,
                                              const csm_adapter *adapter,
                                              struct csm_kept_adapter **out, csm_error *err);
/* Its next pair. CSM_BAD_FORMAT: it has something else; CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_kept_adapter_next(struct csm_kept_adapter *kept,
                                              struct csm_kept_pair *pair, csm_error *err);
void csm_kept_adapter_close(struct csm_kept_adapter *kept); /* takes NULL */

#endif
