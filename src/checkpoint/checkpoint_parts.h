/* SPDX-License-Identifier: Apache-2.0
 *
 * checkpoint_parts.h - what the files of this room share. */
#ifndef CSM_CHECKPOINT_PARTS_H
#define CSM_CHECKPOINT_PARTS_H

#include <jansson.h>

#include "checkpoint/adapter.h"
#include "checkpoint/layout.h"
#include "checkpoint/notes.h"
#include "checkpoint/roles.h"
#include "files/folder.h"
#include "checkpoint/tensor_set.h"

struct csm_checkpoint {
    char *directory;
    struct csm_folder folder; /* of that path */
    bool is_alone; /* files in memory that are given: nothing is looked for elsewhere */
    bool is_gguf;
    csm_memory_file own_tokenizer; /* of a GGUF: its folder is this file alone, or none */
    struct csm_tensor_set *gguf;   /* until it is one of `sets` */
    char *tokenizer;                /* path; NULL: none */
    struct csm_tensor_set *sets[2]; /* of the language model, of the codec if it lies elsewhere */
    struct csm_place language, codec;
    struct csm_config config;
    json_t *root;    /* config.json; an empty object where there is none */
    float *identity; /* [codec.dim, codec.dim]: the projection where HF has none */
    char digest[33];
    char stored_dtype[32];
    struct csm_checkpoint_info info;
    struct csm_notes notes;
    char *beside; /* directory of an adapter that lies with the model; NULL: none */
    struct csm_adapters adapters;
    bool has_one_table; /* untied by an adapter: both parts begin with the one of the file */
};

/* Fill `directory` and `beside`: the directory asked for, or the base of an adapter that
 * lies in it alone. */
csm_status csm_checkpoint_find_base(struct csm_checkpoint *checkpoint, const char *directory,
                                    int needs, csm_error *err);

/* Take the tensors, config.json and tokenizer of a GGUF file instead of a directory's. */
csm_status csm_checkpoint_take_gguf(struct csm_checkpoint *checkpoint, const char *path,
                                    int needs, csm_error *err);

/* Of a GGUF, what its tensors' shapes told of the codec: into config.json's object, so that
 * it stands for itself where it is written. The configuration is read. */
csm_status csm_checkpoint_tell_codec(struct csm_checkpoint *checkpoint, csm_error *err);

/* Find the files (checkpoint->root is read): fill sets, language and codec. */
csm_status csm_checkpoint_search(struct csm_checkpoint *checkpoint, int needs, csm_error *err);

/* Look every weight up once: marks what is bound, fills the numbers of `info`. */
csm_status csm_checkpoint_check(struct csm_checkpoint *checkpoint, csm_error *err);

/* Whether a tensor of that name is half of a low-rank pair (LoRA), by its name alone. */
bool csm_name_is_low_rank(const char *name);

/* What is left of the sets then: noted, or refused with its name (unbound.c). */
csm_status csm_checkpoint_check_unbound(struct csm_checkpoint *checkpoint, csm_error *err);

/* A weight as it is stored; `used` receives the set's tensors that it is made of. */
enum { CSM_MAX_USED = 3 };
csm_status csm_find_stored(const struct csm_checkpoint *checkpoint, enum csm_part part,
                           enum csm_role role, size_t index, struct csm_weight_source *source,
                           struct csm_set_tensor *used[CSM_MAX_USED], csm_error *err);

/* MLX's quantization of a matrix whose float shape would be `shape` and whose words
 * are used[0] (and source->tensor): fills the rest of both. */
csm_status csm_find_mlx_quantized(const struct csm_checkpoint *checkpoint,
                                  const struct csm_place *place, struct csm_shape shape,
                                  struct csm_weight_source *source,
                                  struct csm_set_tensor *used[CSM_MAX_USED], csm_error *err);

/* Refuse files of another quantization by its name, with the way out
 * (foreign_quantization.c): as config.json says, or by the names in a set. */
csm_status csm_refuse_foreign_config(const char *directory, const json_t *root, csm_error *err);
csm_status csm_refuse_foreign_tensors(const struct csm_tensor_set *set, csm_error *err);

/* F32, F16 or BF16: what engines hold. */
bool csm_dtype_is_weight(csm_dtype dtype);
bool csm_has_shape(const csm_tensor *tensor, const struct csm_shape *shape);
csm_status csm_refuse_shape(const csm_tensor *tensor, const struct csm_shape *expected,
                            const char *file, csm_error *err);

#endif
