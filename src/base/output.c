/* SPDX-License-Identifier: Apache-2.0 */
#include "base/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

struct csm_output {
    int fd;
    char *path;   /* the target, links resolved */
    char *beside; /* where the bytes are until commit; NULL: written straight */
    bool can_seek;
    bool is_stdout;
};

static csm_status bad_file(csm_error *err, const char *path, const char *what)
{
    return csm_fail(err, CSM_BAD_FILE, "%s: %s: %s", path, what, strerror(errno));
}

/* Free without touching the target. */
static void release(csm_output *out)
{
    if (out->fd >= 0 && !out->is_stdout)
        close(out->fd);
    free(out->beside);
    free(out->path);
    free(out);
}

/* Create a new file whose name is the target's and a suffix that nobody uses. */
static csm_status create_beside(csm_output *out, csm_error *err)
{
    size_t size = strlen(out->path) + 48;
    char *name = malloc(size);
    if (name == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", out->path);
    for (unsigned attempt = 0; attempt < 1000; attempt++) {
        snprintf(name, size, "%s.%ld-%u.part", out->path, (long)getpid(), attempt);
        out->fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (out->fd >= 0) {
            out->beside = name;
            return CSM_OK;
        }
        if (errno != EEXIST)
            break;
    }
    csm_status status = bad_file(err, out->path, "cannot be written");
    free(name);
    return status;
}

/* The file that a path means: links are followed to their end, which need not be
 * there. NULL with errno: no memory, or links in a circle. To be freed. */
static char *follow(const char *path)
{
    enum { MOST_LINKS = 40 }; /* Linux's own limit */
    char *at = strdup(path);
    for (int i = 0; at != NULL; i++) {
        char next[PATH_MAX];
        ssize_t n = readlink(at, next, sizeof next - 1);
        if (n < 0)
            return at;
        next[n] = '\0';
        const char *slash = strrchr(at, '/');
        size_t n_before = next[0] == '/' || slash == NULL ? 0 : (size_t)(slash - at) + 1;
        char *joined = i < MOST_LINKS ? malloc(n_before + (size_t)n + 1) : NULL;
        if (joined != NULL) {
            memcpy(joined, at, n_before);
            memcpy(joined + n_before, next, (size_t)n + 1);
        }
        free(at);
        at = joined;
        errno = i < MOST_LINKS ? ENOMEM : ELOOP;
    }
    return NULL;
}

static csm_status open_path(csm_output *out, const char *path, csm_error *err)
{
    struct stat info;
    bool exists = stat(path, &info) == 0;
    bool is_regular = exists && S_ISREG(info.st_mode);
    out->path = exists && !is_regular ? strdup(path) : follow(path);
    if (out->path == NULL && errno == ELOOP)
        return bad_file(err, path, "cannot be written");
    if (out->path == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
    if (exists && S_ISDIR(info.st_mode))
        return csm_fail(err, CSM_BAD_FILE, "%s: is a directory, expected a file to write", path);
    if (exists && !is_regular) {
        out->fd = open(path, O_WRONLY | O_CLOEXEC);
        return out->fd >= 0 ? CSM_OK : bad_file(err, path, "cannot be written");
    }
    csm_status status = create_beside(out, err);
    if (status == CSM_OK && is_regular)
        (void)fchmod(out->fd, info.st_mode & 07777); /* the new file keeps the old one's rights */
    return status;
}

csm_status csm_output_open(const char *path, csm_output **result, csm_error *err)
{
    csm_output *out = calloc(1, sizeof *out);
    if (out == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
    out->fd = -1;
    csm_status status = CSM_OK;
    if (strcmp(path, "-") == 0) {
        out->is_stdout = true;
        out->fd = STDOUT_FILENO;
        out->path = strdup("standard output");
        if (out->path == NULL)
            status = csm_fail(err, CSM_NO_MEMORY, "standard output: out of memory");
    } else {
        status = open_path(out, path, err);
    }
    if (status != CSM_OK) {
        release(out);
        return status;
    }
    /* Standard output redirected to a fresh file can seek as well as our own. */
    struct stat info;
    out->can_seek = out->beside != NULL || (fstat(out->fd, &info) == 0 && S_ISREG(info.st_mode) &&
                                            lseek(out->fd, 0, SEEK_CUR) == 0 &&
                                            (fcntl(out->fd, F_GETFL) & O_APPEND) == 0);
    *result = out;
    return CSM_OK;
}

csm_status csm_output_write(csm_output *out, const void *bytes, size_t n, csm_error *err)
{
    for (const char *at = bytes; n > 0;) {
        ssize_t written = write(out->fd, at, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) { /* a pipe that is full */
            (void)poll(&(struct pollfd){.fd = out->fd, .events = POLLOUT}, 1, -1);
            continue;
        }
        if (written < 0)
            return bad_file(err, out->path, "cannot be written");
        at += written;
        n -= (size_t)written;
    }
    return CSM_OK;
}

csm_status csm_output_rewrite(csm_output *out, uint64_t offset, const void *bytes, size_t n,
                              csm_error *err)
{
    for (const char *at = bytes; n > 0;) {
        ssize_t written = pwrite(out->fd, at, n, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return bad_file(err, out->path, "cannot be written");
        at += written;
        offset += (uint64_t)written;
        n -= (size_t)written;
    }
    return CSM_OK;
}

bool csm_output_can_seek(const csm_output *out)
{
    return out->can_seek;
}

/* So that the rename itself survives a power cut. Best effort: some file
 * systems cannot sync a directory. */
static void sync_directory_of(const char *path)
{
    char *directory = strdup(path);
    if (directory == NULL)
        return;
    char *slash = strrchr(directory, '/');
    if (slash != NULL)
        slash[slash == directory] = '\0';
    int fd = open(slash != NULL ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(directory);
}

csm_status csm_output_commit(csm_output *out, csm_error *err)
{
    csm_status status = CSM_OK;
    if (out->beside != NULL && fsync(out->fd) != 0)
        status = bad_file(err, out->path, "cannot be written");
    if (!out->is_stdout) {
        if (close(out->fd) != 0 && status == CSM_OK)
            status = bad_file(err, out->path, "cannot be written");
        out->fd = -1;
    }
    if (status == CSM_OK && out->beside != NULL) {
        if (rename(out->beside, out->path) != 0)
            status = bad_file(err, out->path, "cannot be written");
        else
            sync_directory_of(out->path);
    }
    if (status != CSM_OK && out->beside != NULL)
        unlink(out->beside);
    release(out);
    return status;
}

void csm_output_discard(csm_output *out)
{
    if (out == NULL)
        return;
    if (out->beside != NULL)
        unlink(out->beside);
    release(out);
}
