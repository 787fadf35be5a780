/* SPDX-License-Identifier: Apache-2.0 */
#include "files/path.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

char *csm_path_join(const char *directory, const char *name)
{
    size_t size = strlen(directory) + strlen(name) + 2;
    char *path = malloc(size);
    if (path != NULL)
        snprintf(path, size, "%s/%s", directory, name);
    return path;
}

bool csm_path_ends_with(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);
    return n >= m && strcmp(path + n - m, suffix) == 0;
}

bool csm_path_is_below(const char *path)
{
    if (path[0] == '/' || path[0] == '\0')
        return false;
    for (const char *part = path; part != NULL; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0'))
            return false;
    }
    return true;
}

const char *csm_path_without_dot(const char *path)
{
    while (strncmp(path, "./", 2) == 0)
        path += 2;
    return path;
}

bool csm_path_has(const char *directory, const char *name)
{
    char *path = csm_path_join(directory, name);
    bool has = path != NULL && access(path, F_OK) == 0;
    free(path);
    return has;
}

csm_status csm_path_make_parents(const char *path, csm_error *err)
{
    char *copy = strdup(path);
    if (copy == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
    csm_status status = CSM_OK;
    for (char *slash = strchr(copy + 1, '/'); slash != NULL && status == CSM_OK;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        struct stat info;
        if (mkdir(copy, 0777) != 0 && !(stat(copy, &info) == 0 && S_ISDIR(info.st_mode)))
            status = csm_fail(err, CSM_BAD_FILE, "%s: cannot be made: %s", copy, strerror(errno));
        *slash = '/';
    }
    free(copy);
    return status;
}

bool csm_path_is_broken_link(const char *path)
{
    char begin;
    return access(path, F_OK) != 0 && readlink(path, &begin, 1) >= 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

csm_status csm_listing_read(const char *directory, struct csm_listing *listing, csm_error *err)
{
    memset(listing, 0, sizeof *listing);
    DIR *open = opendir(directory);
    if (open == NULL)
        return errno == ENOTDIR
                   ? csm_fail(err, CSM_BAD_FILE, "%s: is a file, expected a model directory",
                              directory)
                   : csm_fail(err, CSM_BAD_FILE, "%s: cannot be read: %s, expected a model directory",
                              directory, strerror(errno));
    size_t capacity = 0;
    csm_status status = CSM_OK;
    for (const struct dirent *entry; status == CSM_OK && (entry = readdir(open)) != NULL;) {
        if (listing->n == capacity) {
            capacity = 2 * capacity + 16;
            char **grown = realloc(listing->names, capacity * sizeof *grown);
            if (grown == NULL) {
                status = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", directory);
                break;
            }
            listing->names = grown;
        }
        listing->names[listing->n] = strdup(entry->d_name);
        if (listing->names[listing->n] == NULL)
            status = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", directory);
        else
            listing->n++;
    }
    closedir(open);
    if (status != CSM_OK)
        csm_listing_free(listing);
    else
        qsort(listing->names, listing->n, sizeof *listing->names, compare_names);
    return status;
}

csm_status csm_listing_of(const char *const *names, size_t n, struct csm_listing *listing,
                          csm_error *err)
{
    *listing = (struct csm_listing){.names = calloc(n + 1, sizeof *listing->names)};
    while (listing->names != NULL && listing->n < n &&
           (listing->names[listing->n] = strdup(names[listing->n])) != NULL)
        listing->n++;
    if (listing->n < n || listing->names == NULL) {
        csm_listing_free(listing);
        return csm_fail(err, CSM_NO_MEMORY, "%zu names: out of memory", n);
    }
    qsort(listing->names, n, sizeof *listing->names, compare_names);
    return CSM_OK;
}

void csm_listing_free(struct csm_listing *listing)
{
    for (size_t i = 0; i < listing->n; i++)
        free(listing->names[i]);
    free(listing->names);
    memset(listing, 0, sizeof *listing);
}
