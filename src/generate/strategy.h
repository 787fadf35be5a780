/* SPDX-License-Identifier: Apache-2.0
 *
 * strategy.h - which engines a model runs on. */
#ifndef CSM_GENERATE_STRATEGY_H
#define CSM_GENERATE_STRATEGY_H

#include <csm/csm.h>

#include "engine/open.h"

struct csm_engines {
    csm_strategy strategy; /* never AUTO */
    const char *reason;    /* static, one line */
    bool has_fallen_back;  /* torch is in the place of one that did not start */
    struct csm_engine language;
    struct csm_engine codec; /* all zero: the language model's engine has the codec too */
    struct csm_engine fallback; /* torch, once `language` has failed (fallback.h) */
};

/* Choose and open the engines for the options. On failure nothing is open.
 * CSM_NO_ENGINE, CSM_BAD_ARG for a name that is none or a strategy that the
 * engine named cannot have; else what the engine's open returned. */
csm_status csm_engines_open(const csm_model_options *options, struct csm_engines *out,
                            csm_error *err);
void csm_engines_close(struct csm_engines *engines);

#endif
