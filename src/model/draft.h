/* SPDX-License-Identifier: Apache-2.0
 *
 * draft.h - the depth decoder's weights once more, in 4 bits: what guesses the codes that the
 * true weights then confirm. */
#ifndef CSM_MODEL_DRAFT_H
#define CSM_MODEL_DRAFT_H

#include "model/pass.h"

/* Tables and sequences are the true model's. */
struct csm_draft {
    struct csm_language language;
    struct csm_pass pass;
};

/* Of a language model whose matrices are floats, on an engine that quantizes; both outlive
 * it. Closed with csm_draft_close, also when this failed (all zero is closed). */
csm_status csm_draft_open(const struct csm_language *language, struct csm_draft *draft,
                          csm_error *err);
void csm_draft_close(struct csm_draft *draft);

#endif
