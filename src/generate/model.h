/* SPDX-License-Identifier: Apache-2.0
 *
 * model.h - what an open csm_model and csm_codec hold. */
#ifndef CSM_GENERATE_MODEL_H
#define CSM_GENERATE_MODEL_H

#include <csm/csm.h>

#include "checkpoint/checkpoint.h"
#include "generate/strategy.h"
#include "model/language.h"
#include "model/mimi.h"
#include "text/tokenizer.h"

struct csm_codec {
    struct csm_engine own_engine;   /* all zero when the engine is the model's */
    csm_checkpoint *own_checkpoint; /* NULL when the checkpoint is the model's */
    struct csm_mimi mimi;
    csm_codec_info info;
};

struct csm_model {
    csm_model_info info;
    char *path;
    csm_checkpoint *checkpoint;
    struct csm_engines engines;
    csm_tokenizer *tokenizer; /* NULL when the directory has none */
    struct csm_language language;
    struct csm_language_state state; /* opened by the first generation */
    struct csm_prompt read;          /* the positions that `state` holds; none when unsure */
    csm_codec codec;
    csm_generation *generation; /* the one that has the state, or NULL */
};

/* csm_model_open of an open checkpoint, which the model owns from then on, also
 * when this failed; NULL: of the directory `path`. */
csm_status csm_model_open_checkpoint(const char *path, csm_checkpoint *checkpoint,
                                     const csm_model_options *options, csm_model **out,
                                     csm_error *err);

/* Bind the codec of a checkpoint into `codec` (all zero before); engine and
 * checkpoint outlive it. Released also when this failed. */
csm_status csm_codec_bind(csm_codec *codec, const struct csm_engine *engine,
                          const csm_checkpoint *checkpoint, csm_error *err);
void csm_codec_release(csm_codec *codec);

/* The prompt of a conversation, or with text NULL of its context alone; freed with
 * csm_prompt_free, also when this failed. */
csm_status csm_prompt_build(csm_model *model, const csm_turn *context, size_t n_context,
                            const char *text, int speaker, struct csm_prompt *prompt,
                            csm_error *err);
void csm_prompt_free(struct csm_prompt *prompt);

/* How many positions two prompts share at their beginning. */
size_t csm_prompt_shared(const struct csm_prompt *a, const struct csm_prompt *b,
                         size_t n_codebooks);

/* Append a frame that was generated. CSM_NO_MEMORY. */
csm_status csm_prompt_append(struct csm_prompt *prompt, const int32_t *codes, size_t n_codebooks,
                             csm_error *err);

#endif
