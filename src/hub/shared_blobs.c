/* SPDX-License-Identifier: Apache-2.0
 *
 * shared_blobs.c - the store that huggingface_hub 2.x shares between repositories:
 * CACHE/blobs/XX/XET_HASH. What is in it need not be transferred. A repository's
 * blob then is a relative link to it, and a line of XET_HASH.refs names that blob:
 * written first, under XET_HASH.lock, since an entry without lines is cleared away.
 * Nothing is added to the store: only contents whose Xet hash was checked may be,
 * and plain HTTP does not tell it. */
#define _DEFAULT_SOURCE /* flock, O_NOFOLLOW */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files/path.h"
#include "hub/hub_cache.h"

/* A store is one only by its marker, "1" and a newline. */
static bool is_marked(const char *store)
{
    char *path = csm_path_join(store, ".huggingface-shared-blobs");
    struct stat info;
    char text[4] = "";
    FILE *file = path != NULL && lstat(path, &info) == 0 && S_ISREG(info.st_mode)
                     ? fopen(path, "rb") : NULL;
    if (file != NULL) {
        text[fread(text, 1, sizeof text - 1, file)] = '\0';
        fclose(file);
    }
    free(path);
    return strcmp(text, "1\n") == 0;
}

/* Open a regular file for all who share the cache. */
static int open_shared(const char *path, int flags)
{
    const int fd = open(path, flags | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    struct stat info;
    if (fd >= 0 && (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))) {
        close(fd);
        return -1;
    }
    if (fd >= 0)
        (void)fchmod(fd, 0666);
    return fd;
}

static bool add_reference(const char *manifest, const char *line)
{
    const int fd = open_shared(manifest, O_WRONLY | O_APPEND);
    const bool is_written = fd >= 0 && write(fd, line, strlen(line)) == (ssize_t)strlen(line) &&
                            fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return is_written;
}

/* The entry is there, whole and readable: note the blob, then make it a link. */
static bool link_entry(const struct csm_hub *hub, const struct csm_hub_file *file,
                       const char *entry, const char *blob)
{
    struct stat info;
    if (lstat(entry, &info) != 0 || !S_ISREG(info.st_mode) ||
        (uint64_t)info.st_size != file->n_bytes || access(entry, R_OK) != 0)
        return false;
    char manifest[4096], line[512], target[256], beside[4096];
    snprintf(manifest, sizeof manifest, "%s.refs", entry);
    snprintf(line, sizeof line, "%s/blobs/%s\n", strrchr(hub->folder, '/') + 1,
             csm_hub_file_etag(file));
    snprintf(target, sizeof target, "../../blobs/%.2s/%s", file->xet_hash, file->xet_hash);
    snprintf(beside, sizeof beside, "%s.%ld.shared", blob, (long)getpid());
    (void)unlink(beside);
    const bool is_linked = symlink(target, beside) == 0 && add_reference(manifest, line) &&
                           rename(beside, blob) == 0;
    if (!is_linked)
        (void)unlink(beside);
    return is_linked;
}

bool csm_hub_share_blob(const struct csm_hub *hub, const struct csm_hub_file *file)
{
    char *store = csm_path_join(hub->cache_dir, "blobs");
    char *blob = csm_hub_blob_path(hub, file);
    bool is_shared = false;
    if (store != NULL && blob != NULL && hub->has_shared_blobs && file->xet_hash[0] != '\0' &&
        is_marked(store)) {
        char entry[4000], lock_path[4010];
        snprintf(entry, sizeof entry, "%s/%.2s/%s", store, file->xet_hash, file->xet_hash);
        snprintf(lock_path, sizeof lock_path, "%s.lock", entry);
        const int lock = open_shared(lock_path, O_WRONLY);
        is_shared = lock >= 0 && flock(lock, LOCK_EX) == 0 && link_entry(hub, file, entry, blob);
        csm_hub_unlock(lock);
    }
    free(blob);
    free(store);
    return is_shared;
}
