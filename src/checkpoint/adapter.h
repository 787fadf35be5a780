/* SPDX-License-Identifier: Apache-2.0
 *
 * adapter.h - what fine-tuning kept beside its base: low-rank pairs (LoRA, rsLoRA,
 * DoRA), rows of tables, and tensors kept whole. Merged into the base's weights once, in float32,
 * when a model opens: an engine that takes rows as they are made has no copy of the base
 * between the file and its own form.
 *
 * A directory of PEFT's (adapter_config.json of peft_type LORA and
 * adapter_model.safetensors: names and rows of transformers' model, Mimi's
 * transformers among them) or of csm-mlx's and mlx-lm's (adapter_config.json with
 * lora_parameters, and adapters.safetensors or adapter.safetensors: MLX's names and
 * rows). The base may be in any layout: rows are put in its order. What an adapter
 * holds and the model has no place for is refused by name, as is what its
 * configuration asks for and this program does not do. */
#ifndef CSM_CHECKPOINT_ADAPTER_H
#define CSM_CHECKPOINT_ADAPTER_H

#include <jansson.h>

#include "checkpoint/roles.h"
#include "checkpoint/tensor_set.h"

/* W + left right, left [rows, rank] with the scale in it, right [rank, cols] in the panels of
 * low_rank.h. With a
 * magnitude (DoRA) the sum is scaled, row by row (of PEFT's embeddings column by
 * column), to that norm over the norm of base + left right. */
struct csm_delta {
    size_t rows, cols, rank;
    float *left, *right;
    float *magnitude; /* [rows], or [cols]; NULL: none */
    bool is_by_column;
};

/* All that adapters change in one weight. Rows are in the adapter's order. */
struct csm_patch {
    enum csm_part part;
    enum csm_role role;
    size_t index;
    csm_tensor whole; /* in place of the base's; data NULL: the base's stays */
    bool whole_has_pairs;
    /* Rows of a table that stand in place of what all else makes of them. */
    size_t n_own_rows;
    struct csm_own_row {
        size_t row; /* of the table */
        csm_tensor tensor;
        size_t at; /* row of `tensor` */
    } *own_rows;
    size_t n;
    struct csm_patched {
        struct csm_delta delta;
        bool has_pairs; /* rows of q and k as pairs, not halves */
    } *deltas; /* [n], in the order in which they were asked for */
    struct csm_merger *merger; /* makes rows of what the weight becomes; NULL: not yet */
    csm_tensor merged; /* what it became, in the base's dtype and order; data NULL: not yet */
};

struct csm_adapters {
    void *heads; /* merged heads of the depth decoder, one tensor as in the file; or NULL */
    size_t n_sets;
    struct csm_tensor_set **sets; /* the files, for tensors kept whole */
    size_t n;
    struct csm_patch *patches;
    /* Pairs of modules that PEFT's adapter_config.json does not name, which PEFT leaves out. */
    size_t n_unnamed;
    char unnamed[256]; /* the first one's module */
};

/* Whether a directory holds an adapter: an adapter_config.json. */
bool csm_adapter_is_there(const char *directory);

/* Read one more adapter.
 *
 *   scale   of its low-rank part; 1 as it was trained. Tensors kept whole are not
 *           scaled (as PEFT's set_scale)
 *
 * Returns CSM_OK; CSM_BAD_FILE, CSM_BAD_FORMAT, CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_adapters_add(struct csm_adapters *adapters,
                                         const csm_checkpoint *checkpoint, const char *directory,
                                         double scale, csm_error *err);

/* Make every patch's merger, of the checkpoint's stored weight, and `merged` where rows are not
 * enough: of heads, tables and the codec.
 *
 *   n_threads  0: one per core
 *   is_whole   make `merged` of all
 *
 * CSM_BAD_FORMAT, CSM_NO_MEMORY, CSM_BAD_ARG. */
CSM_MUST_USE csm_status csm_adapters_merge(struct csm_adapters *adapters,
                                           const csm_checkpoint *checkpoint, int n_threads,
                                           bool is_whole, csm_error *err);

/* Make `merged` of one that has a merger. */
CSM_MUST_USE csm_status csm_patch_merge(struct csm_adapters *adapters, struct csm_patch *patch,
                                        const csm_checkpoint *checkpoint, csm_error *err);

/* Rows that are made as they are read, and what they are of: a tensor without bytes. */
const struct csm_made_rows *csm_patch_rows(const struct csm_patch *patch, csm_tensor *tensor);

/* The patch of a weight, or NULL. */
struct csm_patch *csm_adapters_find(const struct csm_adapters *adapters, enum csm_part part,
                                          enum csm_role role, size_t index);

/* Of the base's row r, where the adapter has it, whose rows of q and k may be in the other order.
 *
 *   head_dim  of a matrix of q or k; 0 of others, whose rows have one order */
size_t csm_adapter_row(size_t r, size_t head_dim, bool base_has_pairs, bool has_pairs);

void csm_merger_free(struct csm_merger *merger); /* takes NULL */
void csm_adapters_free(struct csm_adapters *adapters);

/* ---- between adapter.c, adapter_peft.c and adapter_mlx.c ---- */

/* An adapter that is being read. */
struct csm_adapter_reader {
    const csm_checkpoint *checkpoint;
    struct csm_adapters *adapters;
    const char *directory;
    double scale;
    json_t *config;             /* adapter_config.json */
    struct csm_tensor_set *set; /* tensors that are used are marked bound */
    csm_error *err;
};

/* The module of a weight: its name without ".weight". */
void csm_adapter_module(const char *name, char *module, size_t size);

/* Begin what an adapter has of one weight: its patch, made when it is first asked for, with the
 * tensor that is kept whole, where `whole` is not NULL. CSM_NO_MEMORY; CSM_BAD_FORMAT: it is of
 * another type or shape, or another adapter keeps one. */
CSM_MUST_USE csm_status csm_adapter_begin(struct csm_adapter_reader *reader, enum csm_part part,
                                          enum csm_role role, size_t index,
                                          struct csm_set_tensor *whole, bool has_pairs,
                                          struct csm_patch **patch);

/* A low-rank pair as the file has it.
 *
 *   of_left, of_right  where elements lie: left[row, k] is element
 *                      at + row * line + k * rank, right[k, col] likewise
 *   scale              of the product, the reader's own apart
 *   magnitude          may be NULL */
struct csm_stride {
    size_t at, line, rank;
};
CSM_MUST_USE csm_status csm_adapter_add_pair(struct csm_adapter_reader *reader,
                                             struct csm_patch *patch,
                                             const struct csm_set_tensor *left,
                                             struct csm_stride of_left,
                                             const struct csm_set_tensor *right,
                                             struct csm_stride of_right, size_t rank, double scale,
                                             const struct csm_set_tensor *magnitude,
                                             bool is_by_column, bool has_pairs);

/* Rows of a table that were trained alone.
 *
 *   rows    [n, cols], marked bound here
 *   tokens  the table's row of each: an array of n integers
 *
 * CSM_BAD_FORMAT: another shape or type, or rows that the table does not have; CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_adapter_add_rows(struct csm_adapter_reader *reader,
                                             struct csm_patch *patch, struct csm_set_tensor *rows,
                                             const json_t *tokens);

CSM_MUST_USE csm_status csm_adapter_read_peft(struct csm_adapter_reader *reader);
CSM_MUST_USE csm_status csm_adapter_read_mlx(struct csm_adapter_reader *reader);

#endif
