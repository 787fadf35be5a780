/* SPDX-License-Identifier: Apache-2.0
 *
 * synth_leftovers.h - what a killed run has left half written beside its files. */
#ifndef CSM_CLI_SYNTH_LEFTOVERS_H
#define CSM_CLI_SYNTH_LEFTOVERS_H

#include "synth_ids.h"
#include "synth_journal.h"

/* Remove NAME.ENDING.PID-ATTEMPT.part of the shard's items; other shards may be at work. */
void synth_leftovers_remove(const char *directory, const struct synth_shard *shard,
                            const struct synth_ids *ids);

#endif
