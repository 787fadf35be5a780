/* SPDX-License-Identifier: Apache-2.0 */
#include "files/mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

csm_status csm_mapped_open(const char *path, const char *expected, struct csm_mapped *file,
                           csm_error *err)
{
    memset(file, 0, sizeof *file);
    /* Without O_NONBLOCK a named pipe would wait for a writer for ever. */
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
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
        }
    }
    close(fd);
    return status;
}

void csm_mapped_forget(const struct csm_mapped *file, const void *from, size_t n)
{
#ifdef MADV_DONTNEED
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t begin = (size_t)((const unsigned char *)from - file->data);
    const size_t first = (begin + page - 1) / page * page, end = (begin + n) / page * page;
    if (!file->is_borrowed && first < end)
        (void)madvise((unsigned char *)file->data + first, end - first, MADV_DONTNEED);
#else
    (void)file, (void)from, (void)n;
#endif
}

void csm_mapped_close(struct csm_mapped *file)
{
    if (file->data != NULL && !file->is_borrowed)
        munmap((void *)file->data, file->size);
    memset(file, 0, sizeof *file);
}
