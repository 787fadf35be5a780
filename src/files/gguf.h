/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf.h - GGUF files, versions 2 and 3: read, checked whole, memory-mapped.
 *
 * Format (ggml's docs/gguf.md): "GGUF", the version, two counts, key-value pairs, what the
 * tensors are called and where they lie, then, from a multiple of general.alignment (32
 * where it says nothing) on, the tensors' bytes. All numbers have the little end first.
 *
 * What is accepted: keys and tensor names once each, of at most 65535 and 63 bytes,
 * non-empty and without a zero byte; no arrays of arrays; tensors of 1 to 4 axes, none of
 * them 0, of the types below, in rows of whole blocks, inside the file, at multiples of
 * the alignment and without overlap. */
#ifndef CSM_FILES_GGUF_H
#define CSM_FILES_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "files/mapped.h"

/* Types of tensors that are read; numbers are ggml's. */
enum csm_gguf_type {
    CSM_GGUF_F32 = 0,
    CSM_GGUF_F16 = 1,
    CSM_GGUF_Q4_0 = 2,
    CSM_GGUF_Q4_1 = 3,
    CSM_GGUF_Q5_0 = 6,
    CSM_GGUF_Q5_1 = 7,
    CSM_GGUF_Q8_0 = 8,
    CSM_GGUF_Q2_K = 10,
    CSM_GGUF_Q3_K = 11,
    CSM_GGUF_Q4_K = 12,
    CSM_GGUF_Q5_K = 13,
    CSM_GGUF_Q6_K = 14,
    CSM_GGUF_BF16 = 30
};

/* "q4_k"; values and bytes of a block. */
struct csm_gguf_format {
    enum csm_gguf_type type;
    const char *name;
    size_t block_values, block_bytes;
};
const struct csm_gguf_format *csm_gguf_format(enum csm_gguf_type type);

struct csm_gguf_tensor {
    const char *name; /* zero-terminated; lives as long as the file */
    enum csm_gguf_type type;
    size_t rank;     /* 1..4 */
    size_t shape[4]; /* row-major, as in safetensors: the last one is contiguous */
    const void *data;
    size_t n_bytes;
};

typedef struct csm_gguf csm_gguf; /* an open file */

/* Open a file, or bytes that are mapped or borrowed already, which are taken over in case
 * of failure too; `path` is for messages.
 *
 *   out  to be closed with csm_gguf_close; untouched on failure
 *
 * Returns CSM_OK; CSM_BAD_FILE; CSM_BAD_FORMAT; CSM_NO_MEMORY. Any number of threads may
 * read one open file. */
CSM_MUST_USE csm_status csm_gguf_of(const char *path, struct csm_mapped *bytes, csm_gguf **out,
                                    csm_error *err);
CSM_MUST_USE csm_status csm_gguf_open(const char *path, csm_gguf **out, csm_error *err);
void csm_gguf_close(csm_gguf *file); /* takes NULL */

/* Whether bytes begin as a GGUF file does. */
bool csm_gguf_is(const void *bytes, size_t n);

size_t csm_gguf_count(const csm_gguf *file);
const struct csm_gguf_tensor *csm_gguf_at(const csm_gguf *file, size_t i);

/* Let go of a tensor's memory: it was copied, and is not read again soon. */
void csm_gguf_forget(const csm_gguf *file, const struct csm_gguf_tensor *tensor);

/* Everything before the tensors' bytes: of a digest. */
const void *csm_gguf_header(const csm_gguf *file, size_t *n_bytes);

/* ---- values by key; false: no such key, or one of another type ---------------- */

bool csm_gguf_has(const csm_gguf *file, const char *key);

/* A string's bytes, not zero-terminated. */
bool csm_gguf_text(const csm_gguf *file, const char *key, const char **text, size_t *n);

/* An integer of any width, or a boolean; false also beyond INT64_MAX. */
bool csm_gguf_integer(const csm_gguf *file, const char *key, int64_t *value);

/* A float of either width, or an integer. */
bool csm_gguf_number(const csm_gguf *file, const char *key, double *value);

/* An array of strings or of integers, read from its front. `left` counts down. */
struct csm_gguf_array {
    const unsigned char *at;
    uint32_t type;
    size_t left;
};
bool csm_gguf_texts(const csm_gguf *file, const char *key, struct csm_gguf_array *array);
bool csm_gguf_integers(const csm_gguf *file, const char *key, struct csm_gguf_array *array);

/* The next one; left > 0. */
void csm_gguf_next_text(struct csm_gguf_array *array, const char **text, size_t *n);
int64_t csm_gguf_next_integer(struct csm_gguf_array *array);

#endif
