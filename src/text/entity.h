/* SPDX-License-Identifier: Apache-2.0
 *
 * entity.h - HTML's names of characters: &eacute; &#233; &#xE9; &nbsp; */
#ifndef CSM_TEXT_ENTITY_H
#define CSM_TEXT_ENTITY_H

#include "base/builder.h"

/* Append what the entity ("&...;", n bytes) stands for; an unknown one as it is. */
void csm_entity_decode(struct csm_builder *out, const char *entity, size_t n);

#endif
