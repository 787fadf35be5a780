/* SPDX-License-Identifier: Apache-2.0
 *
 * context.h - the turns before the one that is spoken, as the command line names
 * them: a voice, then recordings with their texts. */
#ifndef CSM_CLI_CONTEXT_H
#define CSM_CLI_CONTEXT_H

#include <csm/session.h>

#include "options.h"
#include "warnings.h"

struct context_options {
    struct option_list audio, text, speaker; /* --context-* */
    const char *voice;                       /* --voice NAME, or NULL */
};

struct context {
    csm_session *session; /* the turns, pinned */
    int speaker;          /* whom the voice tells to speak as; -1: nobody */
    size_t n_turns;       /* that were given: the first of the session, pinned */
    csm_turn *turns;      /* [n_turns] room for context_turns */
};

/* Read and encode them, and warn of recordings that lend no voice. `speaker` is who will
 * speak, where that was asked for: not as another than a voice of the model's. `context` is
 * to be freed with context_free, also when this failed. Errors as csm_audio_read,
 * csm_session_add, csm_voice_find. */
csm_status context_read(const struct context_options *options, int speaker, csm_model *model,
                        struct context *context, struct warnings *warnings, csm_error *err);

/* The turns there are now are those that were given: context_read calls it, and who adds
 * more. CSM_NO_MEMORY. */
csm_status context_settle(struct context *context, csm_error *err);

/* [n_turns] views of them, valid until the session changes. */
const csm_turn *context_turns(const struct context *context);

void context_free(struct context *context);

#endif
