/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/weights.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/error.h"
#include "files/json_file.h"
#include "files/path.h"

struct csm_weights {
    char *name;
    size_t n_files;
    char **names;        /* [n_files] */
    csm_tensors **files; /* [n_files] */
    json_t *map;         /* tensor -> index of its file; NULL: a single file */
};

const char *csm_weights_name(const struct csm_weights *weights)
{
    return weights->name;
}

size_t csm_weights_count(const struct csm_weights *weights)
{
    return weights->n_files;
}

const csm_tensors *csm_weights_at(const struct csm_weights *weights, size_t i)
{
    return weights->files[i];
}

const csm_tensor *csm_weights_find(const struct csm_weights *weights, const char *name,
                                   const char **file)
{
    size_t i = 0;
    if (weights->map != NULL) {
        const json_t *index = json_object_get(weights->map, name);
        if (index == NULL)
            return NULL;
        i = (size_t)json_integer_value(index);
    }
    if (file != NULL)
        *file = weights->names[i];
    return csm_tensors_find(weights->files[i], name);
}

/* Open one more file of the set; there is room for it. */
static csm_status add_file(struct csm_weights *weights, const char *directory, const char *name,
                           csm_error *err)
{
    char *path = csm_path_join(directory, name);
    char *copy = strdup(name);
    csm_status status = CSM_OK;
    if (path == NULL || copy == NULL)
        status = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", name);
    else
        status = csm_tensors_open(path, &weights->files[weights->n_files], err);
    if (status == CSM_OK) {
        weights->names[weights->n_files++] = copy;
        copy = NULL;
    }
    free(copy);
    free(path);
    return status;
}

/* The number of the shard of that name; opened when it is met first. */
static csm_status shard(struct csm_weights *weights, const char *directory, json_t *numbers,
                        const char *name, size_t *number, csm_error *err)
{
    const json_t *known = json_object_get(numbers, name);
    if (known != NULL) {
        *number = (size_t)json_integer_value(known);
        return CSM_OK;
    }
    *number = weights->n_files;
    csm_status status = add_file(weights, directory, name, err);
    if (status == CSM_OK &&
        json_object_set_new(numbers, name, json_integer((json_int_t)*number)) != 0)
        status = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", name);
    return status;
}

static csm_status open_shards(struct csm_weights *weights, const char *directory,
                              const char *index_path, const json_t *map, csm_error *err)
{
    const size_t n = json_object_size(map);
    if (!json_is_object(map) || n == 0)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: weight_map: expected an object of tensors and their files",
                        index_path);
    weights->names = calloc(n, sizeof *weights->names);
    weights->files = calloc(n, sizeof *weights->files);
    weights->map = json_object();
    json_t *numbers = json_object(); /* shard -> its place in files */
    csm_status status = CSM_OK;
    if (weights->names == NULL || weights->files == NULL || weights->map == NULL || numbers == NULL)
        status = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", index_path);

    const char *tensor;
    json_t *value;
    json_object_foreach((json_t *)map, tensor, value) {
        if (status != CSM_OK)
            break;
        const char *name = json_string_value(value);
        if (name == NULL || strchr(name, '/') != NULL) {
            status = csm_fail(err, CSM_BAD_FORMAT,
                              "%s: weight_map of %s: expected a file of this directory", index_path,
                              tensor);
            break;
        }
        size_t number;
        status = shard(weights, directory, numbers, name, &number, err);
        if (status == CSM_OK && csm_tensors_find(weights->files[number], tensor) == NULL)
            status = csm_fail(err, CSM_BAD_FORMAT, "%s: %s: missing, expected by %s", name, tensor,
                              index_path);
        if (status == CSM_OK &&
            json_object_set_new(weights->map, tensor, json_integer((json_int_t)number)) != 0)
            status = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", index_path);
    }
    json_decref(numbers);
    return status;
}

csm_status csm_weights_open(const char *directory, const char *name, struct csm_weights **out,
                            csm_error *err)
{
    json_t *index = NULL;
    char *path = csm_path_join(directory, name);
    struct csm_weights *weights = calloc(1, sizeof *weights);
    csm_status status = CSM_OK;
    if (path == NULL || weights == NULL || (weights->name = strdup(name)) == NULL) {
        status = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", name);
    } else if (csm_path_ends_with(name, ".json")) {
        status = csm_json_load(path, &index, err);
        if (status == CSM_OK)
            status =
                open_shards(weights, directory, path, json_object_get(index, "weight_map"), err);
    } else {
        weights->names = calloc(1, sizeof *weights->names);
        weights->files = calloc(1, sizeof *weights->files);
        if (weights->names == NULL || weights->files == NULL)
            status = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
        else
            status = add_file(weights, directory, name, err);
    }
    json_decref(index);
    free(path);
    if (status != CSM_OK)
        csm_weights_close(weights);
    else
        *out = weights;
    return status;
}

void csm_weights_close(struct csm_weights *weights)
{
    if (weights == NULL)
        return;
    for (size_t i = 0; i < weights->n_files; i++) {
        csm_tensors_close(weights->files[i]);
        free(weights->names[i]);
    }
    json_decref(weights->map);
    free(weights->files);
    free(weights->names);
    free(weights->name);
    free(weights);
}
