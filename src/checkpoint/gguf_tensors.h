/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_tensors.h - a provider of a tensor set: the tensors of GGUF files under their names in
 * HF's layout. Floats are views of the mapped file. A quantized matrix of the language model
 * becomes words, scales and biases of affine quantization in float32 (gguf_rows.h), which
 * loses nothing; one of the codec, and what is no matrix, is multiplied out to float32. Where
 * a dialect lays a tensor out otherwise (gguf_names.h), it is copied. */
#ifndef CSM_CHECKPOINT_GGUF_TENSORS_H
#define CSM_CHECKPOINT_GGUF_TENSORS_H

#include "checkpoint/gguf_names.h"
#include "checkpoint/tensor_set.h"
#include "files/gguf.h"

struct csm_gguf_source {
    const csm_gguf *file;
    enum csm_gguf_dialect dialect;
    const char *path; /* for messages; lives as long as the set */
    size_t head_dim;  /* of a LLAMA's q and k */
};

/* The tensors of a file, added to a set that lives no longer than it. Factors of a rotation
 * (way ROPE) are left to the caller.
 * Returns CSM_OK; CSM_BAD_FORMAT; CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_gguf_add(struct csm_tensor_set *set,
                                     const struct csm_gguf_source *source, csm_error *err);

#endif
