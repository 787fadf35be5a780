/* SPDX-License-Identifier: Apache-2.0
 *
 * cores.c - /proc/self/cgroup names the group, cpu.max in it says "QUOTA PERIOD" or
 * "max PERIOD" (Linux, Documentation/admin-guide/cgroup-v2.rst). In a container both begin at
 * its own group. */
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

/* 0: no limit, or no such file. */
static int limit_of(const char *root, const char *path)
{
    char name[2 * MOST_PATH];
    long long quota, period;
    const int n = snprintf(name, sizeof name, "%s%s/cpu.max", root, path);
    FILE *f = n > 0 && (size_t)n < sizeof name ? fopen(name, "r") : NULL;
    if (f == NULL)
        return 0;
    const bool is_limited = fscanf(f, "%lld %lld", &quota, &period) == 2 && quota > 0 && period > 0;
    fclose(f);
    if (!is_limited || quota / period > INT_MAX)
        return 0;
    return quota < period ? 1 : (int)(quota / period);
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
/* Of this process's own group. */
static int own_group_cores(void)
{
    char line[MOST_PATH + 8];
    int cores = 0;
    FILE *f = fopen("/proc/self/cgroup", "r");
    if (f == NULL)
        return 0;
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "0::", 3) == 0) { /* version 2 */
            line[strcspn(line, "\n")] = '\0';
            cores = csm_group_cores("/sys/fs/cgroup", line + 3);
        }
    fclose(f);
    return cores;
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
