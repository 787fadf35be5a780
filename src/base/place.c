/* SPDX-License-Identifier: Apache-2.0
 *
 * For a program, dladdr gives the name it was called by, which says nothing when
 * a shell found it along PATH; Linux then has the link /proc/self/exe. */
#define _GNU_SOURCE /* dladdr, secure_getenv */
#include "base/place.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

const char *csm_place_from_environment(const char *name)
{
#if defined(__linux__)
    const char *value = secure_getenv(name);
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__OpenBSD__) || defined(__NetBSD__)
    const char *value = issetugid() ? NULL : getenv(name);
#else
    const char *value = getuid() == geteuid() && getgid() == getegid() ? getenv(name) : NULL;
#endif
    return value != NULL && *value != '\0' ? value : NULL;
}

static bool is_held_by(const char *path, uid_t owner)
{
    struct stat info;
    return stat(path, &info) == 0 && (info.st_mode & S_IWOTH) == 0 &&
           (info.st_uid == 0 || info.st_uid == geteuid() || info.st_uid == owner);
}

bool csm_is_trusted(const char *path)
{
    char own[2048], directory[4096];
    struct stat info;
    csm_own_directory(own, sizeof own);
    uid_t owner = stat(own, &info) == 0 ? info.st_uid : 0;
    snprintf(directory, sizeof directory, "%s", path);
    char *slash = strrchr(directory, '/');
    if (slash != NULL)
        slash[slash == directory] = '\0';
    return is_held_by(path, owner) && is_held_by(slash != NULL ? directory : ".", owner);
}
