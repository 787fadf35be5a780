/* SPDX-License-Identifier: Apache-2.0 */
#include "files/mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "files/path.h"

/* What a repository that was cloned without Git LFS holds in place of each large file. */
static bool is_lfs_pointer(const struct csm_mapped *file)
{
    static const char begin[] = "version https://git-lfs";
    return file->size >= sizeof begin - 1 && memcmp(file->data, begin, sizeof begin - 1) == 0;
}

csm_status csm_mapped_open(const char *path, const char *expected, struct csm_mapped *file,
                           csm_error *err)
{
    memset(file, 0, sizeof *file);
    /* Without O_NONBLOCK a named pipe would wait for a writer for ever. */
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && csm_path_is_broken_link(path))
        return csm_fail(err, CSM_BAD_FILE,
                        "%s: a link that leads nowhere, expected %s: was it downloaded whole?", path,
                        expected);
    if (fd < 0)
        return csm_fail(err, CSM_BAD_FILE, "%s: cannot be read: %s", path, strerror(errno));

    csm_status status = CSM_OK;
    struct stat info;
    if (fstat(fd, &info) != 0)
        status = csm_fail(err, CSM_BAD_FILE, "%s: cannot be read: %s", path, strerror(errno));
    else if (S_ISDIR(info.st_mode))
        status = csm_fail(err, CSM_BAD_FILE, "%s: is a directory, expected %s", path, expected);
    else if (!S_ISREG(info.st_mode))
        status = csm_fail(err, CSM_BAD_FILE, "%s: not a regular file, expected %s", path, expected);
    else if ((uintmax_t)info.st_size > SIZE_MAX)
        status = csm_fail(err, CSM_BAD_FILE, "%s: too large for this machine", path);
    else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            status = csm_fail(err, CSM_BAD_FILE, "%s: cannot be mapped: %s", path, strerror(errno));
        } else {
            file->data = data;
            file->size = (size_t)info.st_size;
            if (is_lfs_pointer(file))
                status = csm_fail(err, CSM_BAD_FORMAT,
                                  "%s: a Git LFS pointer, expected the file itself: git lfs pull",
                                  path);
        }
    }
    close(fd);
    if (status != CSM_OK)
        csm_mapped_close(file);
    return status;
}

enum { MAX_PIPED_BYTES = 1 << 30 };

static csm_status read_pipe(const char *called, int fd, const char *expected,
                            struct csm_mapped *file, csm_error *err)
{
    size_t room = 1 << 16, n = 0;
    unsigned char *bytes = malloc(room);
    csm_status status = CSM_OK;
    while (bytes != NULL) {
        const ssize_t n_now = read(fd, bytes + n, room - n);
        if (n_now < 0 && errno == EINTR)
            continue;
        if (n_now <= 0) {
            if (n_now < 0)
                status = csm_fail(err, CSM_BAD_FILE, "%s: cannot be read: %s", called,
                                  strerror(errno));
            break;
        }
        n += (size_t)n_now;
        if (n == MAX_PIPED_BYTES) {
            status = csm_fail(err, CSM_BAD_FORMAT, "%s: more than 1 GiB, expected %s", called,
                              expected);
            break;
        }
        if (n < room)
            continue;
        unsigned char *grown = realloc(bytes, room *= 2);
        if (grown == NULL)
            free(bytes);
        bytes = grown;
    }
    if (bytes == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: %zu bytes: out of memory", called, room);
    *file = (struct csm_mapped){bytes, n, .is_read = true};
    if (status != CSM_OK)
        csm_mapped_close(file);
    return status;
}

csm_status csm_mapped_read(const char *path, const char *expected, const char **called,
                           struct csm_mapped *file, csm_error *err)
{
    memset(file, 0, sizeof *file);
    *called = path;
    if (strcmp(path, "-") == 0) {
        *called = "standard input";
        return read_pipe(*called, STDIN_FILENO, expected, file, err);
    }
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISFIFO(info.st_mode))
        return csm_mapped_open(path, expected, file, err);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return csm_fail(err, CSM_BAD_FILE, "%s: cannot be read: %s", path, strerror(errno));
    const csm_status status = read_pipe(path, fd, expected, file, err);
    close(fd);
    return status;
}

void csm_mapped_forget(const struct csm_mapped *file, const void *from, size_t n)
{
#ifdef MADV_DONTNEED
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t begin = (size_t)((const unsigned char *)from - file->data);
    const size_t first = (begin + page - 1) / page * page, end = (begin + n) / page * page;
    if (!file->is_borrowed && !file->is_read && first < end)
        (void)madvise((unsigned char *)file->data + first, end - first, MADV_DONTNEED);
#else
    (void)file, (void)from, (void)n;
#endif
}

void csm_mapped_close(struct csm_mapped *file)
{
    if (file->is_read)
        free((void *)file->data);
    else if (file->data != NULL && !file->is_borrowed)
        munmap((void *)file->data, file->size);
    memset(file, 0, sizeof *file);
}
