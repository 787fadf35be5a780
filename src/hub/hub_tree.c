/* SPDX-License-Identifier: Apache-2.0 */
#include "hub/hub_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/output.h"
#include "files/json_file.h"
#include "files/path.h"
#include "hub/hub_cache.h"

enum { MAX_FILES = 100 * 1000 };

/* More than any file is; the sum of MAX_FILES of them fits. */
static const uint64_t max_bytes = (uint64_t)1 << 46;

void csm_hub_tree_free(struct csm_hub_tree *tree)
{
    for (size_t i = 0; i < tree->n; i++)
        free(tree->files[i].path);
    free(tree->files);
    memset(tree, 0, sizeof *tree);
}

const char *csm_hub_file_etag(const struct csm_hub_file *file)
{
    return file->sha256[0] != '\0' ? file->sha256 : file->blob_id;
}

const struct csm_hub_file *csm_hub_tree_find(const struct csm_hub_tree *tree, const char *path)
{
    for (size_t i = 0; i < tree->n; i++)
        if (strcmp(tree->files[i].path, path) == 0)
            return &tree->files[i];
    return NULL;
}

static bool is_sum(const char *text, size_t length)
{
    return text[0] == '\0' || csm_hub_is_hex(text, length);
}

csm_status csm_hub_tree_add(struct csm_hub_tree *tree, const struct csm_hub_file *file,
                            const char *where, csm_error *err)
{
    if (!csm_hub_is_safe_path(file->path))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: a file named '%s', expected a name below the "
                                             "repository", where, file->path);
    if (!is_sum(file->blob_id, 40) || !is_sum(file->sha256, 64) || !is_sum(file->xet_hash, 64))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %s: a checksum that is none, expected 40 or 64 "
                                             "hexadecimal digits", where, file->path);
    if (file->n_bytes > max_bytes)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %s: %llu bytes, expected fewer", where,
                        file->path, (unsigned long long)file->n_bytes);
    if (tree->n == MAX_FILES)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: more than %d files, expected fewer", where,
                        MAX_FILES);
    if (tree->n == tree->capacity) {
        const size_t capacity = 2 * tree->capacity + 16;
        struct csm_hub_file *grown = realloc(tree->files, capacity * sizeof *grown);
        if (grown == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", where);
        tree->files = grown;
        tree->capacity = capacity;
    }
    struct csm_hub_file *added = &tree->files[tree->n];
    *added = *file;
    added->path = strdup(file->path);
    if (added->path == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", where);
    tree->n++;
    return CSM_OK;
}

/* A string member into a field; a longer one becomes what no sum is. */
static void take_text(char *field, size_t size, const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (text != NULL)
        snprintf(field, size, "%s", strlen(text) < size ? text : "?");
}

static uint64_t size_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) && json_integer_value(value) >= 0
               ? (uint64_t)json_integer_value(value) : UINT64_MAX;
}

static csm_status add_listed(struct csm_hub_tree *tree, const json_t *entry, const char *where,
                             csm_error *err)
{
    const char *type = json_string_value(json_object_get(entry, "type"));
    const char *path = json_string_value(json_object_get(entry, "path"));
    if (type == NULL || path == NULL)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: expected files, each with type and path", where);
    if (strcmp(type, "file") != 0)
        return CSM_OK;
    const json_t *lfs = json_object_get(entry, "lfs");
    struct csm_hub_file file = {.path = (char *)path, .n_bytes = size_of(entry, "size")};
    take_text(file.blob_id, sizeof file.blob_id, entry, "oid");
    take_text(file.xet_hash, sizeof file.xet_hash, entry, "xetHash");
    if (json_is_object(lfs)) {
        take_text(file.sha256, sizeof file.sha256, lfs, "oid");
        file.n_bytes = size_of(lfs, "size");
    }
    if (csm_hub_file_etag(&file)[0] == '\0')
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %s: no checksum, expected oid", where, path);
    return csm_hub_tree_add(tree, &file, where, err);
}

csm_status csm_hub_tree_add_page(struct csm_hub_tree *tree, const char *where, const char *bytes,
                                 size_t n, csm_error *err)
{
    json_error_t json;
    json_t *page = json_loadb(bytes == NULL ? "" : bytes, n, JSON_REJECT_DUPLICATES, &json);
    if (!json_is_array(page)) {
        json_decref(page);
        return csm_fail(err, CSM_BAD_FORMAT, "%s: not the list of a hub's files, expected a JSON "
                                             "array", where);
    }
    csm_status status = CSM_OK;
    size_t i;
    json_t *entry;
    json_array_foreach(page, i, entry) {
        if (status == CSM_OK)
            status = add_listed(tree, entry, where, err);
    }
    json_decref(page);
    return status;
}

static char *cached_path(const char *folder, const char *commit)
{
    char name[64];
    snprintf(name, sizeof name, "trees/%s.json", commit);
    return csm_path_join(folder, name);
}

bool csm_hub_tree_read(struct csm_hub_tree *tree, const char *folder, const char *commit)
{
    char *path = cached_path(folder, commit);
    json_t *root = NULL;
    csm_status status = path != NULL ? csm_json_load(path, &root, NULL) : CSM_NO_MEMORY;
    const json_t *version = json_object_get(root, "format_version");
    json_t *files = json_object_get(root, "files");
    if (status == CSM_OK && (json_integer_value(version) != 1 || !json_is_object(files)))
        status = CSM_BAD_FORMAT;
    const char *name;
    json_t *entry;
    json_object_foreach(files, name, entry) {
        struct csm_hub_file file = {.path = (char *)name, .n_bytes = size_of(entry, "size")};
        take_text(file.blob_id, sizeof file.blob_id, entry, "blob_id");
        take_text(file.sha256, sizeof file.sha256, entry, "lfs_sha256");
        take_text(file.xet_hash, sizeof file.xet_hash, entry, "xet_hash");
        if (file.sha256[0] != '\0')
            file.n_bytes = size_of(entry, "lfs_size");
        if (status == CSM_OK && csm_hub_file_etag(&file)[0] == '\0')
            status = CSM_BAD_FORMAT;
        if (status == CSM_OK)
            status = csm_hub_tree_add(tree, &file, path, NULL);
    }
    json_decref(root);
    free(path);
    if (status != CSM_OK)
        csm_hub_tree_free(tree);
    return status == CSM_OK;
}

static json_t *cached_entry(const struct csm_hub_file *file)
{
    json_t *entry = json_pack("{s:I, s:s}", "size", (json_int_t)file->n_bytes, "blob_id",
                              file->blob_id);
    if (file->sha256[0] != '\0') {
        json_object_set_new(entry, "lfs_sha256", json_string(file->sha256));
        json_object_set_new(entry, "lfs_size", json_integer((json_int_t)file->n_bytes));
    }
    if (file->xet_hash[0] != '\0')
        json_object_set_new(entry, "xet_hash", json_string(file->xet_hash));
    return entry;
}

static int compare_paths(const void *a, const void *b)
{
    const struct csm_hub_file *const *x = a, *const *y = b;
    return strcmp((*x)->path, (*y)->path);
}

/* As json.dump(indent=1) of the same tree writes it. */
static char *cached_text(const struct csm_hub_tree *tree)
{
    json_t *files = json_object();
    const struct csm_hub_file **sorted = calloc(tree->n + 1, sizeof *sorted);
    for (size_t i = 0; sorted != NULL && i < tree->n; i++)
        sorted[i] = &tree->files[i];
    if (sorted != NULL)
        qsort(sorted, tree->n, sizeof *sorted, compare_paths);
    for (size_t i = 0; sorted != NULL && i < tree->n; i++)
        json_object_set_new(files, sorted[i]->path, cached_entry(sorted[i]));
    json_t *root = json_pack("{s:i, s:o}", "format_version", 1, "files", files);
    char *text = sorted != NULL && root != NULL && json_object_size(files) == tree->n
                     ? json_dumps(root, JSON_INDENT(1) | JSON_ENSURE_ASCII) : NULL;
    json_decref(root);
    free(sorted);
    return text;
}

void csm_hub_tree_write(const struct csm_hub_tree *tree, const char *folder, const char *commit)
{
    char *path = cached_path(folder, commit);
    char *text = cached_text(tree);
    csm_output *out = NULL;
    if (path != NULL && text != NULL && csm_path_make_parents(path, NULL) == CSM_OK &&
        csm_output_open(path, &out, NULL) == CSM_OK) {
        if (csm_output_write(out, text, strlen(text), NULL) == CSM_OK)
            (void)!csm_output_commit(out, NULL);
        else
            csm_output_discard(out);
    }
    free(text);
    free(path);
}
