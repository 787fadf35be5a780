/* SPDX-License-Identifier: Apache-2.0 */
#include "synth_shard.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_SHARDS = 1000000 };

/* A whole number at *text, which moves behind it. */
static bool read_number(const char **text, uint64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoull(*text, &end, 10);
    const bool is_one = **text >= '0' && **text <= '9' && errno == 0;
    *text = end;
    return is_one;
}

static bool is_shard(const struct synth_shard *s)
{
    return s->n >= 1 && s->n <= MAX_SHARDS && s->index >= 1 && s->index <= s->n;
}

static bool read_variable(const char *name, uint64_t absent, uint64_t *value)
{
    const char *text = getenv(name);
    *value = absent;
    return text == NULL || (read_number(&text, value) && *text == '\0');
}

/* Tasks are numbered from any number on, in any steps. */
static bool choose_of_slurm(bool is_quiet, struct synth_shard *shard)
{
    uint64_t id, first, last, step;
    const bool are_numbers = read_variable("SLURM_ARRAY_TASK_ID", 0, &id) &&
                             read_variable("SLURM_ARRAY_TASK_COUNT", 1, &shard->n) &&
                             read_variable("SLURM_ARRAY_TASK_MIN", 0, &first) &&
                             read_variable("SLURM_ARRAY_TASK_STEP", 1, &step) &&
                             read_variable("SLURM_ARRAY_TASK_MAX", id, &last);
    if (are_numbers && step > 0 && id >= first && (id - first) % step == 0 &&
        (last == id || (last > id && (last - first) / step + 1 == shard->n)))
        shard->index = (id - first) / step + 1;
    if (!is_shard(shard)) {
        fprintf(stderr, "csm: SLURM_ARRAY_TASK_ID, SLURM_ARRAY_TASK_COUNT: tasks that leave numbers "
                        "out, expected --shard I/N with them\n");
        return false;
    }
    if (!is_quiet)
        fprintf(stderr, "csm: --shard %llu/%llu, of SLURM_ARRAY_TASK_ID\n",
                (unsigned long long)shard->index, (unsigned long long)shard->n);
    return true;
}

bool synth_shard_choose(const char *given, bool is_quiet, struct synth_shard *shard)
{
    *shard = (struct synth_shard){0, 0};
    if (given == NULL && getenv("SLURM_ARRAY_TASK_ID") != NULL &&
        getenv("SLURM_ARRAY_TASK_COUNT") != NULL)
        return choose_of_slurm(is_quiet, shard);
    const char *text = given != NULL ? given : "1/1";
    if (read_number(&text, &shard->index) && *text++ == '/' && read_number(&text, &shard->n) &&
        *text == '\0' && is_shard(shard))
        return true;
    fprintf(stderr, "csm: --shard: '%s', expected I/N, I from 1 to N\n", given);
    return false;
}
