/* SPDX-License-Identifier: Apache-2.0
 *
 * hub_search.c - whether what the cache has of a revision can be used. */
#include "hub/hub_search.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "files/path.h"
#include "hub/hub_cache.h"

static csm_status no_memory(csm_error *err)
{
    return csm_fail(err, CSM_NO_MEMORY, "hub: out of memory");
}

enum { MOST_DEEP = 4 }; /* directories in one another that are looked into */

/* What `within` (NULL: the root) of a snapshot shows, links followed; a link that leads nowhere is
 * left out. */
static csm_status look_at(const char *snapshot, const char *within, int depth,
                          struct csm_hub_tree *tree, csm_error *err)
{
    struct csm_listing listing = {0};
    char *directory = within != NULL ? csm_path_join(snapshot, within) : strdup(snapshot);
    csm_status status = directory != NULL ? csm_listing_read(directory, &listing, err) : no_memory(err);
    for (size_t i = 0; i < listing.n && status == CSM_OK; i++) {
        struct stat info;
        const char *name = listing.names[i];
        char *path = within != NULL ? csm_path_join(within, name) : strdup(name);
        char *whole = path != NULL ? csm_path_join(snapshot, path) : NULL;
        if (whole == NULL)
            status = no_memory(err);
        else if (!csm_hub_is_safe_path(path) || stat(whole, &info) != 0)
            status = CSM_OK;
        else if (S_ISREG(info.st_mode))
            status = csm_hub_tree_add(tree, &(struct csm_hub_file){.path = path}, snapshot, err);
        else if (S_ISDIR(info.st_mode) && depth < MOST_DEEP)
            status = look_at(snapshot, path, depth + 1, tree, err);
        free(whole);
        free(path);
    }
    csm_listing_free(&listing);
    free(directory);
    return status;
}

/* The first file that the hub's list says a CSM reads and the snapshot has not; NULL. */
static const struct csm_hub_file *first_missing(const struct csm_hub *hub, const char *commit,
                                                const struct csm_hub_tree *tree, const bool *want)
{
    for (size_t i = 0; i < tree->n; i++)
        if (want[i] && !csm_hub_is_in_snapshot(hub, commit, &tree->files[i]))
            return &tree->files[i];
    return NULL;
}

/* Whether a snapshot can be used: what it shows has weights, whole by their index, or
 * the files that were named; and what the hub's list says of their sizes is so. Where
 * that list knows of more that a CSM reads, `missing` (to be freed) names the first. */
static csm_status judge(const struct csm_hub *hub, const char *commit, const char *snapshot,
                        char **missing, csm_error *err)
{
    struct csm_hub_tree shown = {0}, listed = {0};
    *missing = NULL;
    csm_status status = look_at(snapshot, NULL, 0, &shown, err);
    bool *want = calloc(shown.n + 1, sizeof *want);
    if (status == CSM_OK && want == NULL)
        status = no_memory(err);
    if (status == CSM_OK && hub->options.n_files == 0)
        status = csm_hub_choose(hub, snapshot, &shown, want, err);
    for (size_t i = 0; status == CSM_OK && i < hub->options.n_files; i++)
        if (!csm_path_has(snapshot, hub->options.files[i]))
            status = csm_fail(err, CSM_BAD_FILE, "%s: no file %s", snapshot, hub->options.files[i]);
    if (status == CSM_OK && csm_hub_tree_read(&listed, hub->folder, commit)) {
        for (size_t i = 0; i < shown.n && status == CSM_OK; i++) {
            const struct csm_hub_file *file = csm_hub_tree_find(&listed, shown.files[i].path);
            if (want[i] && file != NULL && !csm_hub_is_in_snapshot(hub, commit, file))
                status = csm_fail(err, CSM_BAD_FILE, "%s/%s: expected %llu bytes", snapshot,
                                  file->path, (unsigned long long)file->n_bytes);
        }
        bool *wanted = calloc(listed.n + 1, sizeof *wanted);
        const struct csm_hub_file *first =
            status == CSM_OK && wanted != NULL &&
                    csm_hub_choose(hub, snapshot, &listed, wanted, NULL) == CSM_OK
                ? first_missing(hub, commit, &listed, wanted) : NULL;
        if (first != NULL)
            *missing = strdup(first->path);
        free(wanted);
    }
    free(want);
    csm_hub_tree_free(&listed);
    csm_hub_tree_free(&shown);
    return status;
}

static csm_status absent(const struct csm_hub *hub, const char *why, csm_error *err)
{
    const bool is_main = strcmp(hub->revision, "main") == 0;
    return csm_fail(err, CSM_BAD_FILE, "%s: %s: csm download %s%s%s brings it", hub->repo, why,
                    hub->repo, is_main ? "" : " --revision ", is_main ? "" : hub->revision);
}

csm_status csm_hub_search(struct csm_hub *hub, char **directory, csm_error *err)
{
    char commit[41];
    if (!csm_hub_read_ref(hub, commit))
        return absent(hub, "not in the hub cache", err);
    char *snapshot = csm_hub_snapshot_path(hub, commit), *missing = NULL;
    if (snapshot == NULL)
        return no_memory(err);
    csm_error why;
    csm_status status = CSM_BAD_FILE;
    if (csm_path_has(snapshot, "."))
        status = judge(hub, commit, snapshot, &missing, &why);
    else
        (void)csm_fail(&why, CSM_BAD_FILE, "no snapshot");
    if (status == CSM_NO_MEMORY || status == CSM_BAD_ARG) {
        status = csm_fail(err, status, "%s", why.text);
    } else if (status != CSM_OK) {
        char text[sizeof why.text + 32];
        snprintf(text, sizeof text, "not whole in the hub cache (%s)", why.text);
        status = absent(hub, text, err);
    } else if (missing != NULL) {
        char remark[2400];
        snprintf(remark, sizeof remark, "%s: the cache's copy has no %s, which the hub has",
                 hub->repo, missing);
        status = csm_hub_remark(hub, remark, err);
    }
    free(missing);
    if (status == CSM_OK)
        *directory = snapshot;
    else
        free(snapshot);
    return status;
}
