/* SPDX-License-Identifier: Apache-2.0
 *
 * safetensors_write.c - csm_tensors_write.
 *
 * Larger elements come first and the header is padded with spaces to eight
 * bytes, so that every tensor is aligned to its element wherever it is mapped. */
#include <csm/tensors.h>

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/error.h"
#include "base/output.h"

enum { LENGTH_BYTES = 8, LARGEST_ELEMENT = 8 };

static csm_status check_tensor(const char *path, const csm_tensor *tensor, csm_error *err)
{
    size_t n_bytes = csm_dtype_size(tensor->dtype);
    if (strcmp(tensor->name, "__metadata__") == 0)
        return csm_fail(err, CSM_BAD_ARG, "%s: %s: no name for a tensor", path, tensor->name);
    if (n_bytes == 0)
        return csm_fail(err, CSM_BAD_ARG, "%s: %s: unknown dtype", path, tensor->name);
    if (tensor->rank > CSM_MAX_RANK)
        return csm_fail(err, CSM_BAD_ARG, "%s: %s: %zu dimensions, expected at most %d", path,
                        tensor->name, tensor->rank, CSM_MAX_RANK);
    for (size_t i = 0; i < tensor->rank; i++) {
        if (tensor->shape[i] != 0 && n_bytes > SIZE_MAX / tensor->shape[i])
            return csm_fail(err, CSM_BAD_ARG, "%s: %s: its size overflows", path, tensor->name);
        n_bytes *= tensor->shape[i];
    }
    if (n_bytes != tensor->n_bytes)
        return csm_fail(err, CSM_BAD_ARG, "%s: %s: %zu bytes, expected %zu by shape and dtype",
                        path, tensor->name, tensor->n_bytes, n_bytes);
    return CSM_OK;
}

/* Add a member that must be new; takes over `value`, which may be NULL (out of
 * memory, or a string that is not UTF-8). */
static csm_status add(const char *path, json_t *object, const char *key, json_t *value,
                      csm_error *err)
{
    if (json_object_get(object, key) != NULL) {
        json_decref(value);
        return csm_fail(err, CSM_BAD_ARG, "%s: %s: a name given twice", path, key);
    }
    if (json_object_set_new(object, key, value) != 0)
        return csm_fail(err, CSM_BAD_ARG, "%s: %s: out of memory, or not UTF-8", path, key);
    return CSM_OK;
}

static csm_status add_metadata(const char *path, json_t *header, const char *const *metadata,
                               size_t n_metadata, csm_error *err)
{
    if (n_metadata == 0)
        return CSM_OK;
    json_t *object = json_object();
    csm_status status = add(path, header, "__metadata__", object, err);
    for (size_t i = 0; status == CSM_OK && i < n_metadata; i++)
        status = add(path, object, metadata[2 * i], json_string(metadata[2 * i + 1]), err);
    return status;
}

/* A tensor's entry; *offset moves to its end. */
static csm_status add_tensor(const char *path, json_t *header, const csm_tensor *tensor,
                             size_t *offset, csm_error *err)
{
    json_t *shape = json_array();
    for (size_t i = 0; i < tensor->rank; i++)
        if (json_array_append_new(shape, json_integer((json_int_t)tensor->shape[i])) != 0) {
            json_decref(shape);
            return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
        }
    size_t end = *offset + tensor->n_bytes;
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", csm_dtype_name(tensor->dtype),
                              "shape", shape, "data_offsets", (json_int_t)*offset, (json_int_t)end);
    *offset = end;
    return add(path, header, tensor->name, entry, err);
}

/* Alignment of the k-th round of writing: 8, 4, 2, 1. */
static size_t element_size(int round)
{
    return (size_t)LARGEST_ELEMENT >> round;
}

static csm_status write_all(csm_output *out, const char *header, const csm_tensor *tensors,
                            size_t n_tensors, csm_error *err)
{
    const size_t n_text = strlen(header);
    const size_t n_header = (n_text + LENGTH_BYTES - 1) / LENGTH_BYTES * LENGTH_BYTES;
    unsigned char length[LENGTH_BYTES];
    for (int i = 0; i < LENGTH_BYTES; i++)
        length[i] = (unsigned char)((uint64_t)n_header >> 8 * i);
    csm_status status = csm_output_write(out, length, sizeof length, err);
    if (status == CSM_OK)
        status = csm_output_write(out, header, n_text, err);
    if (status == CSM_OK)
        status = csm_output_write(out, "       ", n_header - n_text, err);
    for (int round = 0; element_size(round) > 0; round++)
        for (size_t i = 0; status == CSM_OK && i < n_tensors; i++)
            if (csm_dtype_size(tensors[i].dtype) == element_size(round))
                status = csm_output_write(out, tensors[i].data, tensors[i].n_bytes, err);
    return status;
}

csm_status csm_tensors_write(const char *path, const csm_tensor *tensors, size_t n_tensors,
                             const char *const *metadata, size_t n_metadata, csm_error *err)
{
    char *text = NULL;
    csm_output *out = NULL;
    json_t *header = json_object();
    if (header == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);

    csm_status status = add_metadata(path, header, metadata, n_metadata, err);
    size_t offset = 0;
    for (size_t i = 0; status == CSM_OK && i < n_tensors; i++)
        status = check_tensor(path, &tensors[i], err);
    for (int round = 0; element_size(round) > 0; round++)
        for (size_t i = 0; status == CSM_OK && i < n_tensors; i++)
            if (csm_dtype_size(tensors[i].dtype) == element_size(round))
                status = add_tensor(path, header, &tensors[i], &offset, err);
    if (status != CSM_OK)
        goto end;
    text = json_dumps(header, JSON_COMPACT);
    if (text == NULL) {
        status = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
        goto end;
    }
    status = csm_output_open(path, &out, err);
    if (status != CSM_OK)
        goto end;
    status = write_all(out, text, tensors, n_tensors, err);
    if (status == CSM_OK) {
        status = csm_output_commit(out, err);
        out = NULL;
    }

end:
    csm_output_discard(out);
    free(text);
    json_decref(header);
    return status;
}
