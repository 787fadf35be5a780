/* SPDX-License-Identifier: Apache-2.0
 *
 * config_parts.h - what the two halves of config.json have in common. */
#ifndef CSM_CHECKPOINT_CONFIG_PARTS_H
#define CSM_CHECKPOINT_CONFIG_PARTS_H

#include "checkpoint/config_read.h"
#include "files/json_file.h"

/* Bounds that keep every product of sizes far from overflow. */
enum {
    CSM_MAX_SIZE = 1 << 24, /* widths, vocabularies, positions */
    CSM_MAX_COUNT = 4096    /* layers, heads, codebooks */
};

/* Keys in transformers' spelling over the values that `config` comes with;
 * `object` may be NULL. Checks that the sizes fit each other. */
void csm_config_transformer(struct csm_json_reader *reader, const json_t *object,
                            const char *activation, struct csm_transformer_config *config);

/* Size `axis` of a tensor of a place; 0 where it is missing or has fewer. */
size_t csm_shape_of(const struct csm_place *place, enum csm_part part, enum csm_role role,
                    size_t index, const struct csm_codec_config *codec, size_t axis);

/* How many there are of a role with consecutive indices. */
size_t csm_count_of(const struct csm_place *place, enum csm_part part, enum csm_role role,
                    const struct csm_codec_config *codec);

#endif
