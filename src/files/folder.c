/* SPDX-License-Identifier: Apache-2.0 */
#include "files/folder.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "files/json_file.h"
#include "files/safetensors.h"

static const csm_memory_file *find(const struct csm_folder *folder, const char *name)
{
    for (size_t i = 0; i < folder->n_files; i++)
        if (strcmp(folder->files[i].name, name) == 0)
            return &folder->files[i];
    return NULL;
}

bool csm_folder_has(const struct csm_folder *folder, const char *name)
{
    if (folder->files != NULL)
        return find(folder, name) != NULL;
    char *path = csm_path_join(folder->path, name);
    const bool has = path != NULL && (access(path, F_OK) == 0 || csm_path_is_broken_link(path));
    free(path);
    return has;
}

csm_status csm_folder_list(const struct csm_folder *folder, struct csm_listing *listing,
                           csm_error *err)
{
    if (folder->files == NULL)
        return csm_listing_read(folder->path, listing, err);
    const char **names = calloc(folder->n_files + 1, sizeof *names);
    if (names == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", folder->path);
    for (size_t i = 0; i < folder->n_files; i++)
        names[i] = folder->files[i].name;
    csm_status status = csm_listing_of(names, folder->n_files, listing, err);
    free(names);
    return status;
}

csm_status csm_folder_map(const struct csm_folder *folder, const char *name, const char *expected,
                          struct csm_mapped *file, csm_error *err)
{
    const csm_memory_file *held = folder->files != NULL ? find(folder, name) : NULL;
    memset(file, 0, sizeof *file);
    if (held != NULL) {
        *file = (struct csm_mapped){held->bytes, held->n_bytes, .is_borrowed = true};
        return CSM_OK;
    }
    if (folder->files != NULL)
        return csm_fail(err, CSM_BAD_FILE, "%s/%s: missing, expected %s", folder->path, name,
                        expected);
    char *path = csm_path_join(folder->path, name);
    csm_status status = path == NULL ? csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", name)
                                     : csm_mapped_open(path, expected, file, err);
    free(path);
    return status;
}

static csm_status read_json(const struct csm_folder *folder, const char *name,
                            csm_status (*parse)(const char *, const void *, size_t, json_t **,
                                                csm_error *),
                            json_t **out, csm_error *err)
{
    struct csm_mapped file = {0};
    char *path = csm_path_join(folder->path, name);
    csm_status status = path == NULL ? csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", name)
                                     : csm_folder_map(folder, name, "a JSON file", &file, err);
    if (status == CSM_OK)
        status = parse(path, file.data, file.size, out, err);
    csm_mapped_close(&file);
    free(path);
    return status;
}

csm_status csm_folder_json(const struct csm_folder *folder, const char *name, json_t **out,
                           csm_error *err)
{
    return read_json(folder, name, csm_json_parse, out, err);
}

csm_status csm_folder_reals(const struct csm_folder *folder, const char *name, json_t **out,
                            csm_error *err)
{
    *out = NULL;
    return csm_folder_has(folder, name) ? read_json(folder, name, csm_json_parse_reals, out, err)
                                        : CSM_OK;
}

csm_status csm_folder_tensors(const struct csm_folder *folder, const char *name, csm_tensors **out,
                              csm_error *err)
{
    struct csm_mapped file = {0};
    char *path = csm_path_join(folder->path, name);
    csm_status status = path == NULL
                            ? csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", name)
                            : csm_folder_map(folder, name, "a safetensors file", &file, err);
    if (status == CSM_OK)
        status = csm_tensors_of(path, &file, out, err);
    free(path);
    return status;
}
