/* SPDX-License-Identifier: Apache-2.0
 *
 * fallback.h - hybrid in the place of an engine that failed. */
#ifndef CSM_GENERATE_FALLBACK_H
#define CSM_GENERATE_FALLBACK_H

#include "generate/generation.h"

/* Whether hybrid may take over after a failure of this status: the strategy was
 * left to us, the engine has not PyTorch's draws itself, and it was the engine that failed
 * or gave logits that are no numbers. */
bool csm_can_fall_back(const csm_generation *generation, csm_status failed);

/* Move a generation to engine torch, which is opened once for all of the model: what it has
 * read is to be read again, its random stream stands where the frames drawn so far left it,
 * and the report says so. `err` has the failure; where torch cannot take over either, it
 * receives both messages, and the status is the first failure's. */
csm_status csm_fall_back(csm_generation *generation, csm_status failed, csm_error *err);

#endif
