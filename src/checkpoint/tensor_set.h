/* SPDX-License-Identifier: Apache-2.0
 *
 * tensor_set.h - named tensors, whatever they lie in: what layouts look names up
 * in. A provider makes one (tensor_files.h: safetensors; checkpoint_random.h:
 * random numbers), adds its tensors and hands over what must live as long.
 *
 * Names are those that the layouts know: what wrappers of PyTorch put before a
 * module's name is taken off when a tensor is added (unwrap.h), and told by
 * `wrapper`. A tensor's own name is as its file has it, for messages.
 *
 * Threads: any number may read a set that is whole. */
#ifndef CSM_CHECKPOINT_TENSOR_SET_H
#define CSM_CHECKPOINT_TENSOR_SET_H

#include "base/weight_source.h"

struct csm_set_tensor {
    const char *name; /* without wrappers */
    const char *file; /* name of the file that it lies in */
    csm_tensor tensor;
    /* How `tensor` holds its numbers: FLOAT also for the words, scales and biases of
     * formats that are several tensors (the lookup by role puts those together). */
    enum csm_weight_format format;
    bool is_bound; /* some role reads it: set while the checkpoint opens */
    /* What it was in its file, and how long, where floats were made of something else
     * (dequantize.h); else NULL. */
    struct csm_set_stored {
        const char *kind;
        size_t n_bytes;
    } stored;
};

struct csm_tensor_set {
    char *name; /* of the file or index, for messages */
    size_t n, room;
    struct csm_set_tensor *tensors; /* in the order in which they were added */
    char *wrapper; /* the first prefix that was taken off; NULL: none */
    /* Tensors that two shards hold with different numbers; the index says which is used. */
    struct csm_set_doubled {
        size_t n;
        const char *name, *used, *other; /* of the first, and its files */
    } doubled;
    /* Bytes that stand for what the set holds (headers, in order): of the digest. */
    struct csm_set_header {
        const void *bytes;
        size_t n;
    } *headers;
    size_t n_headers;

    size_t *slots; /* hash table of names: index + 1; 0: free */
    size_t n_slots;
    struct csm_set_owned {
        void *thing;
        void (*release)(void *thing);
    } *owned;
    size_t n_owned;
};

/* An empty set of that name. CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_tensor_set_new(const char *name, struct csm_tensor_set **out,
                                           csm_error *err);
void csm_tensor_set_free(struct csm_tensor_set *set); /* takes NULL */

/* Let the set release a thing when it is freed: the first kept is released last.
 * When this fails the thing is released. CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_tensor_set_keep(struct csm_tensor_set *set, void *thing,
                                            void (*release)(void *thing), csm_error *err);

/* Add a tensor; its name, its bytes and `file` live as long as the set.
 * CSM_BAD_FORMAT when its name, wrappers taken off, is there already;
 * CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_tensor_set_add(struct csm_tensor_set *set, const csm_tensor *tensor,
                                           enum csm_weight_format format, const char *file,
                                           csm_error *err);
CSM_MUST_USE csm_status csm_tensor_set_add_header(struct csm_tensor_set *set, const void *bytes,
                                                  size_t n, csm_error *err);

/* The tensor of that name, or NULL. */
struct csm_set_tensor *csm_tensor_set_find(const struct csm_tensor_set *set, const char *name);

#endif
