/* SPDX-License-Identifier: Apache-2.0
 *
 * code_rules.h - generation_config.json's rules over codes, as transformers' logits
 * processors apply them within CSM's generate(). */
#ifndef CSM_GENERATE_CODE_RULES_H
#define CSM_GENERATE_CODE_RULES_H

#include "checkpoint/config.h"

/* Where a draw stands.
 *
 *   is_first  begin_suppress_tokens act
 *   codes     [n_codes] of the frame so far. transformers' depth decoder holds these after a
 *             place holder, 0, which its processors take for a code */
struct csm_rule_place {
    bool is_first;
    const int32_t *codes;
    size_t n_codes;
};

/* Change a row of logits [vocab] in place: -inf for codes that may not be drawn. */
void csm_code_rules_apply(const struct csm_code_rules *rules, const struct csm_rule_place *place,
                          float *logits, size_t vocab);

#endif
