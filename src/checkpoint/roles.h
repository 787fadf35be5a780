/* SPDX-License-Identifier: Apache-2.0
 *
 * roles.h - how many weights of each role a part has, and of which shape: the
 * model's, whatever layout its files are in. */
#ifndef CSM_CHECKPOINT_ROLES_H
#define CSM_CHECKPOINT_ROLES_H

#include "checkpoint/checkpoint.h"

enum { CSM_N_PARTS = CSM_DECODER + 1 };

/* A shape that a tensor should have; rank 0: the part has no such role. */
struct csm_shape {
    size_t rank;
    size_t size[3];
};

/* Of HF's layout, whose depth heads are one tensor [K - 1, H, V]. */
struct csm_shape csm_role_shape(const struct csm_config *config, enum csm_part part,
                                enum csm_role role, size_t index);

/* How many indices a role has in a part: 0 where the part has no such role. */
size_t csm_role_count(const struct csm_config *config, enum csm_part part, enum csm_role role);

/* Sizes of the transformer of a part. */
const struct csm_transformer_config *csm_part_transformer(const struct csm_config *config,
                                                          enum csm_part part);

bool csm_part_is_codec(enum csm_part part);

#endif
