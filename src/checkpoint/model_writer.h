/* SPDX-License-Identifier: Apache-2.0
 *
 * model_writer.h - the files of a model directory that is written: each whole or
 * not at all. */
#ifndef CSM_CHECKPOINT_MODEL_WRITER_H
#define CSM_CHECKPOINT_MODEL_WRITER_H

#include <jansson.h>

#include "checkpoint/checkpoint.h"
#include "checkpoint/tensor_set.h"

/* DIRECTORY/NAME as safetensors; `format` is the metadata's: "mlx", "pt". */
CSM_MUST_USE csm_status csm_write_tensors(const char *directory, const char *name,
                                          const csm_tensor *tensors, size_t n, const char *format,
                                          csm_error *err);
CSM_MUST_USE csm_status csm_write_json(const char *directory, const char *name, const json_t *root,
                                       csm_error *err);
/* Write the tokenizer.json of a checkpoint, if it has one, wherever it lies. */
csm_status csm_copy_tokenizer(const csm_checkpoint *checkpoint, const char *to, csm_error *err);

/* Copy FROM/NAME to TO/NAME where there is one. */
CSM_MUST_USE csm_status csm_copy_if_there(const char *from, const char *to, const char *name,
                                          csm_error *err);

/* The tensors of a set of the checkpoint with what adapters made of them: those whose
 * name begins with `prefix`, without it. A table that an adapter untied is there twice. */
struct csm_tensor_list {
    size_t n;
    csm_tensor *tensors; /* [n]; names and bytes live as long as the checkpoint, */
    void **copies;       /* [n] but for these */
};
CSM_MUST_USE csm_status csm_adapted_tensors(const csm_checkpoint *checkpoint,
                                            const struct csm_tensor_set *set, const char *prefix,
                                            struct csm_tensor_list *list, csm_error *err);
void csm_tensor_list_free(struct csm_tensor_list *list);

#endif
