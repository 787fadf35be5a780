/* SPDX-License-Identifier: Apache-2.0
 *
 * complete.h - what a directory lacks, from the hub cache. */
#ifndef CSM_CHECKPOINT_COMPLETE_H
#define CSM_CHECKPOINT_COMPLETE_H

#include "checkpoint/checkpoint_parts.h"

/* Of a directory without codec: take Mimi from the cache, if its entries are as many as
 * the model's codes are without their 3 special ones, and note it; where it is not in
 * the cache, note the command that brings it. Never fails for what the cache holds. */
CSM_MUST_USE csm_status csm_complete_codec(struct csm_checkpoint *checkpoint, csm_error *err);

/* Of a directory without tokenizer.json whose text table is csm-1b's: the same. The
 * configuration is read. */
CSM_MUST_USE csm_status csm_complete_tokenizer(struct csm_checkpoint *checkpoint, csm_error *err);

#endif
