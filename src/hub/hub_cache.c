/* SPDX-License-Identifier: Apache-2.0 */
#define _DEFAULT_SOURCE /* flock */
#include "hub/hub_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/builder.h"
#include "base/error.h"
#include "base/output.h"
#include "files/path.h"

static csm_status no_memory(csm_error *err)
{
    return csm_fail(err, CSM_NO_MEMORY, "hub: out of memory");
}

static csm_status bad_file(csm_error *err, const char *path, const char *what)
{
    return csm_fail(err, CSM_BAD_FILE, "%s: %s: %s", path, what, strerror(errno));
}

/* hub->folder/part/commit/name, to be freed; name may be NULL. */
static char *path_in(const struct csm_hub *hub, const char *part, const char *commit,
                     const char *name)
{
    struct csm_builder b = {0};
    const char *const pieces[] = {hub->folder, "/", part, "/", commit, name != NULL ? "/" : "",
                                  name != NULL ? name : ""};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        csm_builder_add_text(&b, pieces[i]);
    return csm_builder_take(&b);
}

char *csm_hub_snapshot_path(const struct csm_hub *hub, const char *commit)
{
    return path_in(hub, "snapshots", commit, NULL);
}

char *csm_hub_blob_path(const struct csm_hub *hub, const struct csm_hub_file *file)
{
    return path_in(hub, "blobs", csm_hub_file_etag(file), NULL);
}

/* Write a small file. */
static csm_status write_text(const char *path, const char *text, csm_error *err)
{
    csm_output *out;
    csm_status status = csm_path_make_parents(path, err);
    if (status == CSM_OK)
        status = csm_output_open(path, &out, err);
    if (status != CSM_OK)
        return status;
    status = csm_output_write(out, text, strlen(text), err);
    if (status == CSM_OK)
        return csm_output_commit(out, err);
    csm_output_discard(out);
    return status;
}

bool csm_hub_read_ref(const struct csm_hub *hub, char commit[41])
{
    if (csm_hub_is_hex(hub->revision, CSM_HUB_COMMIT_LENGTH)) {
        memcpy(commit, hub->revision, CSM_HUB_COMMIT_LENGTH + 1);
        return true;
    }
    char *path = path_in(hub, "refs", hub->revision, NULL);
    FILE *file = path != NULL ? fopen(path, "rb") : NULL;
    size_t n = 0;
    char text[64] = "";
    if (file != NULL) {
        n = fread(text, 1, sizeof text - 1, file);
        fclose(file);
    }
    free(path);
    while (n > 0 && text[n - 1] == '\n')
        n--;
    text[n] = '\0';
    if (!csm_hub_is_hex(text, CSM_HUB_COMMIT_LENGTH))
        return false;
    memcpy(commit, text, CSM_HUB_COMMIT_LENGTH + 1);
    return true;
}

csm_status csm_hub_write_ref(const struct csm_hub *hub, const char *commit, csm_error *err)
{
    char had[41];
    if (csm_hub_read_ref(hub, had) && strcmp(had, commit) == 0)
        return CSM_OK; /* a cache that cannot be written is one that can be read */
    char *path = path_in(hub, "refs", hub->revision, NULL);
    csm_status status = path != NULL ? write_text(path, commit, err) : no_memory(err);
    free(path);
    return status;
}

bool csm_hub_has_file(const char *path, uint64_t n_bytes)
{
    struct stat info;
    return path != NULL && stat(path, &info) == 0 && S_ISREG(info.st_mode) &&
           (uint64_t)info.st_size == n_bytes;
}

bool csm_hub_is_in_snapshot(const struct csm_hub *hub, const char *commit,
                            const struct csm_hub_file *file)
{
    char *path = path_in(hub, "snapshots", commit, file->path);
    const bool is_there = csm_hub_has_file(path, file->n_bytes);
    free(path);
    return is_there;
}

/* "../../blobs/ETAG", with one more "../" for each directory in the file's name. */
static char *link_target(const struct csm_hub_file *file)
{
    struct csm_builder b = {0};
    csm_builder_add_text(&b, "../../");
    for (const char *slash = strchr(file->path, '/'); slash != NULL; slash = strchr(slash + 1, '/'))
        csm_builder_add_text(&b, "../");
    csm_builder_add_text(&b, "blobs/");
    csm_builder_add_text(&b, csm_hub_file_etag(file));
    return csm_builder_take(&b);
}

/* Replace what has the name, if anything has, in one step. */
static csm_status replace_link(const char *target, const char *path, csm_error *err)
{
    char beside[4096];
    snprintf(beside, sizeof beside, "%s.%ld.link", path, (long)getpid());
    (void)unlink(beside);
    if (symlink(target, beside) == 0 && rename(beside, path) == 0)
        return CSM_OK;
    csm_status status = bad_file(err, path, "cannot be linked");
    (void)unlink(beside);
    return status;
}

csm_status csm_hub_link(const struct csm_hub *hub, const char *commit,
                        const struct csm_hub_file *file, csm_error *err)
{
    char *path = path_in(hub, "snapshots", commit, file->path);
    char *blob = csm_hub_blob_path(hub, file);
    char *target = link_target(file);
    csm_status status = CSM_OK;
    if (path == NULL || blob == NULL || target == NULL)
        status = no_memory(err);
    if (status == CSM_OK)
        status = csm_path_make_parents(path, err);
    if (status == CSM_OK && hub->has_links)
        status = replace_link(target, path, err);
    else if (status == CSM_OK && rename(blob, path) != 0)
        status = bad_file(err, path, "cannot be written");
    free(target);
    free(blob);
    free(path);
    return status;
}

void csm_hub_note_missing(const struct csm_hub *hub, const char *commit,
                          const struct csm_hub_tree *tree)
{
    for (size_t i = 0; csm_hub_settings_files[i] != NULL; i++) {
        const char *name = csm_hub_settings_files[i];
        char *path = csm_hub_tree_find(tree, name) == NULL
                         ? path_in(hub, ".no_exist", commit, name) : NULL;
        if (path != NULL && access(path, F_OK) != 0)
            (void)!write_text(path, "", NULL);
        free(path);
    }
}

void csm_hub_tag_cache(const struct csm_hub *hub)
{
    char *path = csm_path_join(hub->cache_dir, "CACHEDIR.TAG");
    if (path != NULL && access(path, F_OK) != 0)
        (void)!write_text(path,
                          "Signature: 8a477f597d28d172789f06886806bc55\n"
                          "# A cache directory: backups may leave it out.\n"
                          "#\thttps://bford.info/cachedir/\n", NULL);
    free(path);
}

csm_status csm_hub_lock(struct csm_hub *hub, const struct csm_hub_file *file, int *lock,
                        csm_error *err)
{
    *lock = -1;
    char name[256];
    snprintf(name, sizeof name, ".locks/%s/%s.lock", strrchr(hub->folder, '/') + 1,
             csm_hub_file_etag(file));
    char *path = csm_path_join(hub->cache_dir, name);
    if (path == NULL)
        return no_memory(err);
    csm_status status = csm_path_make_parents(path, err);
    if (status == CSM_OK) {
        *lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0664);
        if (*lock < 0)
            status = bad_file(err, path, "cannot be opened");
        else
            (void)fchmod(*lock, 0664); /* others who share the cache may wait for it */
    }
    bool is_said = false;
    while (status == CSM_OK && flock(*lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK) {
            status = bad_file(err, path, "cannot be locked");
            break;
        }
        char remark[2200];
        snprintf(remark, sizeof remark, "%s: %s: another process transfers it; waiting", hub->repo,
                 file->path);
        status = is_said ? csm_hub_wait(hub, 100, err) : csm_hub_remark(hub, remark, err);
        is_said = true;
    }
    free(path);
    if (status != CSM_OK) {
        csm_hub_unlock(*lock);
        *lock = -1;
    }
    return status;
}

void csm_hub_unlock(int lock)
{
    if (lock >= 0)
        close(lock); /* which lets go of the flock */
}
