/* SPDX-License-Identifier: Apache-2.0
 *
 * checkpoint_parts.h - what checkpoint_open.c and checkpoint_find.c share. */
#ifndef CSM_FILES_CHECKPOINT_PARTS_H
#define CSM_FILES_CHECKPOINT_PARTS_H

#include <jansson.h>

#include "checkpoint/layout.h"

struct csm_checkpoint {
    char *directory;
    char *tokenizer;             /* path; NULL: none */
    struct csm_weights *sets[2]; /* of the language model, of the codec if it lies elsewhere */
    struct csm_place language, codec;
    struct csm_config config;
    json_t *root;    /* config.json */
    struct csm_random_weights *random; /* NULL: the weights are files */
    float *identity; /* [codec.dim, codec.dim]: the projection where HF has none */
    char digest[33];
    char stored_dtype[32];
    struct csm_checkpoint_info info;
};

/* Find the files: fill sets, language and codec. */
csm_status csm_checkpoint_search(struct csm_checkpoint *checkpoint, int needs, csm_error *err);

/* How many indices a role has in a part: 0 where the part has no such role. */
size_t csm_role_count(const struct csm_config *config, enum csm_part part, enum csm_role role);

#endif
