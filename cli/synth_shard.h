/* SPDX-License-Identifier: Apache-2.0
 *
 * synth_shard.h - which part of a manifest: --shard I/N, or the task of a Slurm array. */
#ifndef CSM_CLI_SYNTH_SHARD_H
#define CSM_CLI_SYNTH_SHARD_H

#include <stdbool.h>

#include "synth_journal.h"

/* Of "I/N", I from 1 to N; NULL: of SLURM_ARRAY_TASK_ID among SLURM_ARRAY_TASK_COUNT, if they are
 * there, which is said unless is_quiet; else 1/1. False: a mistake, which was reported. */
bool synth_shard_choose(const char *given, bool is_quiet, struct synth_shard *shard);

#endif
