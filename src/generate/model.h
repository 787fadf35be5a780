/* SPDX-License-Identifier: Apache-2.0
 *
 * model.h - what an open csm_model and csm_codec hold. */
#ifndef CSM_GENERATE_MODEL_H
#define CSM_GENERATE_MODEL_H

#include <csm/csm.h>

#include "base/turns.h"
#include "checkpoint/checkpoint.h"
#include "generate/encoded.h"
#include "generate/prompt.h"
#include "generate/scheduler.h"
#include "generate/strategy.h"
#include "model/mimi.h"
#include "text/tokenizer.h"

/* An engine has one caller at a time: whoever uses the model's, or a codec's, takes a turn. */
struct csm_codec {
    struct csm_engine own_engine;   /* all zero when the engine is the model's */
    csm_checkpoint *own_checkpoint; /* NULL when the checkpoint is the model's */
    struct csm_turns own_turns;
    struct csm_turns *turns; /* NULL: nothing is loaded */
    struct csm_mimi mimi;
    bool is_bound;
    struct csm_encoded encoded; /* open while the codec is bound */
    csm_codec_info info;
};

struct csm_model {
    csm_model_info info;
    char *path;
    csm_checkpoint *checkpoint;
    csm_tokenizer *tokenizer; /* NULL when the directory has none */
    struct csm_turns turns;   /* of the engines below */
    struct csm_host host;
    struct csm_engine codec_engine; /* all zero: the host's has the codec too */
    csm_codec codec;
    int n_threads; /* as asked for */
    char **adapters; /* [info.n_adapters] names of those kept beside the base; the number of
                      * adapters[i] is i + 1 */
    bool is_described_only;
    struct csm_scheduler scheduler;
};

/* csm_model_open of an open checkpoint, which the model owns from then on, also
 * when this failed; NULL: of the directory `path`. */
csm_status csm_model_open_checkpoint(const char *path, csm_checkpoint *checkpoint,
                                     const csm_model_options *options, csm_model **out,
                                     csm_error *err);

/* The adapters that the options name, beside the host's language. */
csm_status csm_model_adapt(csm_model *model, const csm_model_options *options, csm_error *err);
/* The number of the adapter of a name; NULL: 0. CSM_BAD_ARG: there is none. */
csm_status csm_adapter_number(const csm_model *model, const char *name, size_t *number,
                              csm_error *err);
void csm_model_adapters_free(csm_model *model);

/* Bind the codec of a checkpoint into `codec` (all zero before); engine, turns and
 * checkpoint outlive it. Released also when this failed. */
csm_status csm_codec_bind(csm_codec *codec, const struct csm_engine *engine,
                          struct csm_turns *turns, const csm_checkpoint *checkpoint,
                          csm_error *err);
void csm_codec_release(csm_codec *codec);

#endif
