/* SPDX-License-Identifier: Apache-2.0
 *
 * scratch_file.h - files of this process, for what is read by path. */
#ifndef CSM_TESTS_FUZZ_SCRATCH_FILE_H
#define CSM_TESTS_FUZZ_SCRATCH_FILE_H

#include <fcntl.h>
#include <unistd.h>

#include "check.h"

struct scratch_file {
    char path[64];
};

/* A name, in memory where the system has such; `name` tells files apart. */
static inline struct scratch_file scratch_file(const char *name)
{
    struct scratch_file file;
    snprintf(file.path, sizeof file.path, "%s/csm-fuzz-%ld-%s",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (long)getpid(), name);
    return file;
}

static inline void scratch_write(const struct scratch_file *file, const uint8_t *data, size_t n)
{
    int fd = open(file->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, data, n) == (ssize_t)n && close(fd) == 0);
}

#endif
