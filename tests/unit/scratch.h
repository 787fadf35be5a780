/* SPDX-License-Identifier: Apache-2.0
 *
 * scratch.h - a directory for one test program's files, gone at its end:
 * cmocka_run_group_tests(tests, scratch_make, scratch_remove). */
#ifndef CSM_TESTS_SCRATCH_H
#define CSM_TESTS_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCRATCH_PATH_MAX = 512 };

static inline char *scratch_directory(void)
{
    static char directory[] = "/tmp/csm-test-XXXXXX";
    return directory;
}

static inline int scratch_make(void **state)
{
    (void)state;
    return mkdtemp(scratch_directory()) == NULL;
}

static inline int scratch_remove(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", scratch_directory());
    return system(command);
}

/* The path of a file in the directory. */
static inline void scratch_path(char path[SCRATCH_PATH_MAX], const char *name)
{
    snprintf(path, SCRATCH_PATH_MAX, "%s/%s", scratch_directory(), name);
}

static inline void scratch_write(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

#endif
