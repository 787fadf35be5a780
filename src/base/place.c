/* SPDX-License-Identifier: Apache-2.0
 *
 * For a program, dladdr gives the name it was called by, which says nothing when
 * a shell found it along PATH; Linux then has the link /proc/self/exe. */
#define _GNU_SOURCE /* dladdr */
#include "base/place.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void csm_own_directory(char *dir, size_t size)
{
    static const char here = 0;
    char path[4096] = "";
    Dl_info info;
    if (dladdr(&here, &info) != 0 && info.dli_fname != NULL && info.dli_fname[0] == '/')
        snprintf(path, sizeof path, "%s", info.dli_fname);
    if (path[0] == '\0') {
        ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
        path[n > 0 ? n : 0] = '\0';
    }
    char *slash = strrchr(path, '/');
    if (slash != NULL)
        *slash = '\0';
    snprintf(dir, size, "%s", slash != NULL ? path : ".");
}
