/* SPDX-License-Identifier: Apache-2.0
 *
 * tensors.h - safetensors files: read, checked and memory-mapped; written
 * whole or not at all.
 *
 * Format: https://huggingface.co/docs/safetensors (eight bytes of header
 * length, little end first; a JSON header; the tensors' bytes). */
#ifndef CSM_TENSORS_H
#define CSM_TENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <csm/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Element types: enum name, safetensors name, bytes. */
#define CSM_DTYPE_MAP(X)                                                                           \
    X(F64, 8)                                                                                      \
    X(F32, 4)                                                                                      \
    X(F16, 2)                                                                                      \
    X(BF16, 2)                                                                                     \
    X(I64, 8)                                                                                      \
    X(I32, 4)                                                                                      \
    X(I16, 2)                                                                                      \
    X(I8, 1)                                                                                       \
    X(U64, 8)                                                                                      \
    X(U32, 4)                                                                                      \
    X(U16, 2)                                                                                      \
    X(U8, 1)                                                                                       \
    X(BOOL, 1)                                                                                     \
    X(F8_E4M3, 1)                                                                                  \
    X(F8_E5M2, 1)                                                                                  \
    X(F8_E8M0, 1)
#define CSM_DTYPE_ENUM(name, bytes) CSM_DTYPE_##name,
typedef enum csm_dtype { CSM_DTYPE_MAP(CSM_DTYPE_ENUM) CSM_DTYPE_COUNT } csm_dtype;
#undef CSM_DTYPE_ENUM

enum { CSM_MAX_RANK = 8 /* dimensions of a tensor at most */ };

/* One tensor: a view of bytes that somebody else owns. */
typedef struct csm_tensor {
    const char *name;
    csm_dtype dtype;
    size_t rank;                /* 0..CSM_MAX_RANK; 0 is a scalar */
    size_t shape[CSM_MAX_RANK]; /* row-major, the last one contiguous */
    const void *data;           /* aligned to the element's size */
    size_t n_bytes;             /* product of shape times the element's size */
} csm_tensor;

typedef struct csm_tensors csm_tensors; /* an open file */

/* A file that lies in memory, under a name without a directory. Nobody copies the bytes: they
 * stay, unchanged, as long as what was opened from them. */
typedef struct csm_memory_file {
    const char *name; /* "model.safetensors" */
    const void *bytes;
    size_t n_bytes;
} csm_memory_file;

/* Name ("F32") and size in bytes of an element; "?" and 0 outside the enum. */
CSM_API const char *csm_dtype_name(csm_dtype dtype);
CSM_API size_t csm_dtype_size(csm_dtype dtype);

/* Elements first..first+n-1 of a tensor of F64, F32, F16 or BF16 as float32: exact
 * but for F64, which is rounded. The caller keeps them inside the tensor. False,
 * and nothing written, for another dtype. */
CSM_API bool csm_tensor_floats(const csm_tensor *tensor, size_t first, size_t n, float *out);

/* Open one safetensors file, memory-mapped read-only and checked whole: header
 * of at most 100 MB of valid UTF-8 JSON, known dtypes, sizes without overflow,
 * offsets inside the file, without gap or overlap, no name twice.
 *
 *   path  a safetensors file, a pipe, or "-" for standard input (at most 1 GiB
 *         of these); a pickle (.pt, .bin) is refused with a message that names
 *         the way out
 *   out   receives the open file; to be closed by csm_tensors_close; untouched
 *         on failure
 *
 * Returns CSM_OK; CSM_BAD_FILE (cannot be opened or mapped), CSM_BAD_FORMAT,
 * CSM_NO_MEMORY. Threads: any number may read one open file. */
CSM_API CSM_MUST_USE csm_status csm_tensors_open(const char *path, csm_tensors **out,
                                                 csm_error *err);

/* Close; takes NULL. All views and strings of this file end here. */
CSM_API void csm_tensors_close(csm_tensors *file);

/* How many tensors, and the i-th (i < count) in the file's order of offsets. */
CSM_API size_t csm_tensors_count(const csm_tensors *file);
CSM_API const csm_tensor *csm_tensors_at(const csm_tensors *file, size_t i);

/* The tensor of that name, or NULL. Takes O(1). */
CSM_API const csm_tensor *csm_tensors_find(const csm_tensors *file, const char *name);

/* A string of the header's __metadata__, or NULL. */
CSM_API const char *csm_tensors_metadata(const csm_tensors *file, const char *key);

/* Write a safetensors file: beside the target first, synced, then renamed, so
 * that a full disk or a killed process leaves the old file or none.
 *
 *   tensors   [n_tensors] views; names unique; written in the order given,
 *             largest alignment first as the format wants
 *   metadata  [2 * n_metadata] key, value, key, value, ...; may be NULL if 0
 *
 * Returns CSM_OK; CSM_BAD_FILE (with errno's text); CSM_BAD_ARG (a name twice,
 * n_bytes that disagrees with the shape); CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_tensors_write(const char *path, const csm_tensor *tensors,
                                                  size_t n_tensors, const char *const *metadata,
                                                  size_t n_metadata, csm_error *err);

#ifdef __cplusplus
}
#endif
#endif
