/* SPDX-License-Identifier: Apache-2.0
 *
 * bind.h - weights of a checkpoint made into an engine's, and kept in one list,
 * so that a half-bound model is freed as a whole one is. */
#ifndef CSM_MODEL_BIND_H
#define CSM_MODEL_BIND_H

#include "engine/open.h"
#include "checkpoint/checkpoint.h"
#include "model/stack.h"

/* All zero but for engine and checkpoint, which outlive it. */
struct csm_binder {
    const struct csm_engine *engine;
    const csm_checkpoint *checkpoint;
    int to_bits; /* what matrices become, csm_weight_source's */
    csm_weight **weights;
    size_t n, room;
};

/* Free every weight of the list. */
void csm_binder_free(struct csm_binder *binder);

/* Make a weight of a source; the list owns it. */
csm_status csm_bind_source(struct csm_binder *binder, const struct csm_weight_source *source,
                           csm_weight **out, csm_error *err);

/* Make the weight of a role (checkpoint.h); the list owns it. */
csm_status csm_bind(struct csm_binder *binder, enum csm_part part, enum csm_role role, size_t index,
                    csm_weight **out, csm_error *err);

/* All layers of a part, and its final norm where it has one (backbone, depth). */
csm_status csm_bind_stack(struct csm_binder *binder, enum csm_part part,
                          const struct csm_transformer_config *config, struct csm_stack *stack,
                          csm_error *err);

#endif
