/* SPDX-License-Identifier: Apache-2.0
 *
 * cores.c - /proc/self/cgroup names the groups. Of version 2, cpu.max says "QUOTA PERIOD" or
 * "max PERIOD" (Linux, Documentation/admin-guide/cgroup-v2.rst). Of version 1, whose controllers
 * have a tree each, cpu.cfs_quota_us says QUOTA or -1 and cpu.cfs_period_us PERIOD
 * (Documentation/scheduler/sched-bwc.rst). In a container the tree of files begins at its own
 * group; version 1 may still name that as the host does, so a group without files counts for
 * nothing. */
#ifdef __linux__
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "base/cores.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MOST_PATH = 4096 };

/* The numbers at the beginning of a group's file: how many there are, 0 to 2. */
static int read_numbers(const char *root, const char *path, const char *file, long long number[2])
{
    char name[2 * MOST_PATH + 32];
    const int n = snprintf(name, sizeof name, "%s%s/%s", root, path, file);
    FILE *f = n > 0 && (size_t)n < sizeof name ? fopen(name, "r") : NULL;
    if (f == NULL)
        return 0;
    const int n_read = fscanf(f, "%lld %lld", &number[0], &number[1]);
    fclose(f);
    return n_read > 0 ? n_read : 0;
}

/* 0: no limit, or no such file. */
static int limit_of(const char *root, const char *path)
{
    long long limit[2]; /* quota, period */
    if (read_numbers(root, path, "cpu.max", limit) != 2) {
        long long period[2];
        if (read_numbers(root, path, "cpu.cfs_quota_us", limit) == 0 ||
            read_numbers(root, path, "cpu.cfs_period_us", period) == 0)
            return 0;
        limit[1] = period[0];
    }
    if (limit[0] <= 0 || limit[1] <= 0 || limit[0] / limit[1] > INT_MAX)
        return 0;
    return limit[0] < limit[1] ? 1 : (int)(limit[0] / limit[1]);
}

int csm_group_cores(const char *root, const char *path)
{
    char at[MOST_PATH];
    int least = limit_of(root, "");
    if (strlen(path) >= sizeof at)
        return least;
    strcpy(at, path);
    for (char *slash; (slash = strrchr(at, '/')) != NULL; *slash = '\0') {
        const int limit = slash[1] == '\0' ? 0 : limit_of(root, at);
        if (limit > 0 && (least == 0 || limit < least))
            least = limit;
    }
    return least;
}

#ifdef __linux__
/* Where the files of a line of /proc/self/cgroup are, by its list of controllers: version 2 has
 * an empty one. NULL: they say nothing of time. */
static const char *tree_of(const char *controllers)
{
    if (controllers[0] == '\0')
        return "/sys/fs/cgroup";
    do {
        const size_t length = strcspn(controllers, ",");
        if (length == 3 && strncmp(controllers, "cpu", 3) == 0)
            return "/sys/fs/cgroup/cpu";
        controllers += length;
    } while (*controllers++ == ',');
    return NULL;
}

/* Of this process's own groups. */
static int own_group_cores(void)
{
    char line[MOST_PATH + 64];
    int least = 0;
    FILE *f = fopen("/proc/self/cgroup", "r");
    if (f == NULL)
        return 0;
    while (fgets(line, sizeof line, f) != NULL) { /* NUMBER:CONTROLLERS:PATH */
        char *controllers = strchr(line, ':');
        char *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
        if (path == NULL)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        const char *tree = tree_of(controllers + 1);
        const int cores = tree == NULL ? 0 : csm_group_cores(tree, path);
        if (cores > 0 && (least == 0 || cores < least))
            least = cores;
    }
    fclose(f);
    return least;
}

int csm_usable_cores(void)
{
    cpu_set_t set;
    const int limit = own_group_cores();
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        n = CPU_COUNT(&set);
    n = limit > 0 && limit < n ? limit : n;
    return n > 0 ? (int)n : 1;
}
#else
int csm_usable_cores(void)
{
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}
#endif
