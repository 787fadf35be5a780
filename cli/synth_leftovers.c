/* SPDX-License-Identifier: Apache-2.0 */
#include "synth_leftovers.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "synth_item.h"

/* Cut `name` before its last dot; false: it has none. */
static bool cut_ending(char *name)
{
    char *dot = strrchr(name, '.');
    if (dot != NULL)
        *dot = '\0';
    return dot != NULL;
}

/* The item's name of a leftover: false where it is none. */
static bool name_of(const char *file, char name[512])
{
    const size_t n = strlen(file);
    if (n >= 512 || n < 5 || strcmp(file + n - 5, ".part") != 0)
        return false;
    memcpy(name, file, n + 1);
    if (!cut_ending(name) || !cut_ending(name))
        return false;
    const char *writer = name + strlen(name) + 1; /* PID-ATTEMPT */
    const size_t n_process = strspn(writer, "0123456789");
    const size_t n_attempt =
        writer[n_process] == '-' ? strspn(writer + n_process + 1, "0123456789") : 0;
    return n_process > 0 && n_attempt > 0 && writer[n_process + 1 + n_attempt] == '\0' &&
           cut_ending(name);
}

void synth_leftovers_remove(const char *path, const struct synth_shard *shard,
                            const struct synth_ids *ids)
{
    DIR *directory = opendir(path);
    if (directory == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char name[512];
        const struct synth_id *id =
            name_of(entry->d_name, name) ? synth_ids_find(ids, name) : NULL;
        if (id != NULL && synth_shard_has(shard, id->line))
            unlinkat(dirfd(directory), entry->d_name, 0);
    }
    closedir(directory);
}
