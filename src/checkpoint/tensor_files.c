/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/tensor_files.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "files/path.h"
#include "files/safetensors.h"

/* Where the digits before `end` begin; `end` itself: there are none. */
static const char *digits_before(const char *begin, const char *end)
{
    while (end > begin && isdigit((unsigned char)end[-1]))
        end--;
    return end;
}

bool csm_is_shard(const char *name, size_t *stem, size_t *n)
{
    static const char suffix[] = ".safetensors", of[] = "-of-";
    const size_t n_of = sizeof of - 1;
    if (!csm_path_ends_with(name, suffix))
        return false;
    const char *end = name + strlen(name) - (sizeof suffix - 1);
    const char *total = digits_before(name, end);
    if (total == end || (size_t)(total - name) < n_of || memcmp(total - n_of, of, n_of) != 0)
        return false;
    const char *number = digits_before(name, total - n_of);
    if (number == total - n_of || number - name < 2 || number[-1] != '-')
        return false;
    if (stem != NULL)
        *stem = (size_t)(number - 1 - name);
    if (n != NULL)
        *n = strtoul(total, NULL, 10);
    return true;
}

static void close_tensors(void *file)
{
    csm_tensors_close(file);
}

/* Open one more file of the set; its tensors are added by the caller. */
static csm_status open_file(struct csm_tensor_set *set, const struct csm_folder *folder, const char *name,
                            csm_tensors **out, const char **kept_name, csm_error *err)
{
    char *copy = strdup(name);
    csm_tensors *file = NULL;
    csm_status st = copy == NULL ? csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", name)
                                 : csm_folder_tensors(folder, name, &file, err);
    if (st != CSM_OK) {
        free(copy);
        return st;
    }
    st = csm_tensor_set_keep(set, file, close_tensors, err);
    if (st != CSM_OK) {
        free(copy);
        return st;
    }
    st = csm_tensor_set_keep(set, copy, free, err);
    size_t n = 0;
    const void *header = csm_tensors_header(file, &n);
    if (st == CSM_OK)
        st = csm_tensor_set_add_header(set, header, n, err);
    *out = file;
    *kept_name = copy;
    return st;
}

static csm_status add_tensors(struct csm_tensor_set *set, const csm_tensors *file,
                              const char *name, csm_error *err)
{
    csm_status st = CSM_OK;
    for (size_t i = 0; st == CSM_OK && i < csm_tensors_count(file); i++)
        st = csm_tensor_set_add(set, csm_tensors_at(file, i), CSM_WEIGHT_FLOAT, name, err);
    return st;
}

static csm_status add_file(struct csm_tensor_set *set, const struct csm_folder *folder, const char *name,
                           csm_error *err)
{
    csm_tensors *file = NULL;
    const char *kept = NULL;
    csm_status st = open_file(set, folder, name, &file, &kept, err);
    return st == CSM_OK ? add_tensors(set, file, kept, err) : st;
}

/* All of STEM-i-of-n, i with as many digits as in `name`, which is one of them. */
static csm_status add_numbered(struct csm_tensor_set *set, const struct csm_folder *folder,
                               const char *name, size_t stem, size_t n, csm_error *err)
{
    const char *number = name + stem + 1, *tail = strchr(number, '-');
    const int n_digits = (int)(tail - number);
    const size_t size = strlen(name) + 24;
    char *shard = malloc(size);
    csm_status st = CSM_OK;
    if (shard == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", name);
    if (n == 0)
        st = csm_fail(err, CSM_BAD_FORMAT, "%s/%s: one of 0 shards, expected 1 or more", folder->path,
                      name);
    for (size_t i = 1; st == CSM_OK && i <= n; i++) {
        snprintf(shard, size, "%.*s-%0*zu%s", (int)stem, name, n_digits, i, tail);
        if (!csm_folder_has(folder, shard))
            st = csm_fail(err, CSM_BAD_FILE, "%s/%s: missing, expected beside %s", folder->path,
                          shard, name);
        else
            st = add_file(set, folder, shard, err);
    }
    free(shard);
    return st;
}

/* An open shard of an index. */
struct shard {
    const char *name;
    csm_tensors *file;
};

static bool is_same(const csm_tensor *a, const csm_tensor *b)
{
    return a->dtype == b->dtype && a->rank == b->rank && a->n_bytes == b->n_bytes &&
           memcmp(a->shape, b->shape, a->rank * sizeof *a->shape) == 0 &&
           (a->n_bytes == 0 || memcmp(a->data, b->data, a->n_bytes) == 0);
}

/* Remember a tensor that the index gives to `used`, and that `other` holds with other numbers. */
static void note_doubled(struct csm_set_doubled *doubled, const csm_tensor *tensor,
                         const struct shard *used, const struct shard *other)
{
    const csm_tensor *mapped = csm_tensors_find(used->file, tensor->name);
    if (mapped == NULL || is_same(mapped, tensor))
        return;
    if (doubled->n++ == 0) {
        doubled->name = tensor->name;
        doubled->used = used->name;
        doubled->other = other->name;
    }
}

static csm_status add_indexed(struct csm_tensor_set *set, const struct csm_folder *folder,
                              const char *index_path, const json_t *map, csm_error *err)
{
    const size_t n = json_object_size(map);
    if (!json_is_object(map) || n == 0)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: weight_map: expected an object of tensors and their files",
                        index_path);
    struct shard *shards = calloc(n, sizeof *shards);
    json_t *numbers = json_object(); /* shard -> its place in `shards` */
    size_t n_shards = 0;
    csm_status st = CSM_OK;
    if (shards == NULL || numbers == NULL)
        st = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", index_path);

    const char *tensor;
    json_t *value;
    json_object_foreach((json_t *)map, tensor, value) {
        if (st != CSM_OK)
            break;
        const char *name = json_string_value(value);
        if (name == NULL || !csm_path_is_below(name)) {
            st = csm_fail(err, CSM_BAD_FORMAT,
                          "%s: weight_map of %s: expected a file in this directory or below it",
                          index_path, tensor);
            break;
        }
        name = csm_path_without_dot(name);
        const json_t *number = json_object_get(numbers, name);
        size_t at = number != NULL ? (size_t)json_integer_value(number) : n_shards;
        if (number == NULL) {
            st = open_file(set, folder, name, &shards[at].file, &shards[at].name, err);
            if (st == CSM_OK &&
                json_object_set_new(numbers, name, json_integer((json_int_t)at)) != 0)
                st = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", index_path);
            n_shards++;
        }
        if (st == CSM_OK && csm_tensors_find(shards[at].file, tensor) == NULL)
            st = csm_fail(err, CSM_BAD_FORMAT, "%s: %s: missing, expected by %s", name, tensor,
                          index_path);
    }
    /* What two shards hold is the map's; what it forgets comes with its shard. */
    for (size_t s = 0; st == CSM_OK && s < n_shards; s++)
        for (size_t i = 0; st == CSM_OK && i < csm_tensors_count(shards[s].file); i++) {
            const csm_tensor *t = csm_tensors_at(shards[s].file, i);
            const char *said = json_string_value(json_object_get(map, t->name));
            const json_t *at = said != NULL ? json_object_get(numbers, csm_path_without_dot(said)) : NULL;
            const size_t mapped = at != NULL ? (size_t)json_integer_value(at) : s;
            if (mapped == s)
                st = csm_tensor_set_add(set, t, CSM_WEIGHT_FLOAT, shards[s].name, err);
            else
                note_doubled(&set->doubled, t, &shards[mapped], &shards[s]);
        }
    json_decref(numbers);
    free(shards);
    return st;
}

csm_status csm_tensor_files_open(const struct csm_folder *folder, const char *name,
                                 struct csm_tensor_set **out, csm_error *err)
{
    struct csm_tensor_set *set = NULL;
    csm_status st = csm_tensor_set_new(name, &set, err);
    if (st != CSM_OK)
        return st;
    size_t stem, n;
    if (csm_path_ends_with(name, ".json")) {
        json_t *index = NULL;
        char *path = csm_path_join(folder->path, name);
        if (path == NULL)
            st = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", name);
        else
            st = csm_folder_json(folder, name, &index, err);
        if (st == CSM_OK)
            st = add_indexed(set, folder, path, json_object_get(index, "weight_map"), err);
        json_decref(index);
        free(path);
    } else if (csm_is_shard(name, &stem, &n)) {
        st = add_numbered(set, folder, name, stem, n, err);
    } else {
        st = add_file(set, folder, name, err);
    }
    if (st != CSM_OK)
        csm_tensor_set_free(set);
    else
        *out = set;
    return st;
}
