/* SPDX-License-Identifier: Apache-2.0
 *
 * strategy.h - which engines a model runs on. */
#ifndef CSM_GENERATE_STRATEGY_H
#define CSM_GENERATE_STRATEGY_H

#include <csm/model.h>

#include "engine/open.h"
#include "model/pass.h"

struct csm_speculation;

/* A language model on an engine. */
struct csm_host {
    struct csm_engine engine;
    const struct csm_traits *traits;
    struct csm_language language;
    struct csm_pass pass; /* the scheduler's */
    struct csm_speculation *speculation; /* NULL: none */
    csm_precision precision;
    csm_strategy strategy; /* of generations that name none; never AUTO */
    const char *reason;    /* static, one line */
    bool is_asked;         /* the model's options named the strategy */
};

/* Choose and open the engines for the options: the host's, without a language yet, and the
 * codec's, all zero where the host's has it too. On failure nothing is open.
 * CSM_NO_ENGINE, CSM_BAD_ARG for a name that is none or a strategy that the
 * engine named cannot have; else what the engine's open returned. */
csm_status csm_engines_open(const csm_model_options *options, struct csm_host *host,
                            struct csm_engine *codec, csm_error *err);

/* Bind the language model; what is open is closed by csm_host_close, also when this failed. */
csm_status csm_host_open(struct csm_host *host, const csm_checkpoint *checkpoint, csm_error *err);
void csm_host_close(struct csm_host *host);

#endif
