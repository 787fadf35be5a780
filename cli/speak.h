/* SPDX-License-Identifier: Apache-2.0
 *
 * speak.h - what csm generate does once a model is open. */
#ifndef CSM_CLI_SPEAK_H
#define CSM_CLI_SPEAK_H

#include <csm/csm.h>

#include "options.h"

struct speak {
    const char *text;
    int speaker; /* negative: the model's default */
    struct option_list context_audio, context_text, context_speaker;
    int max_ms;
    const char *output;      /* a file, "-" or "none" */
    const char *save_tokens; /* NULL: do not */
    bool save_logits, is_debug, is_quiet, is_json;
    csm_generate_options options; /* seed, temperatures, sampler, stream */
    double open_ms;               /* what opening the model took */
};

/* Speak and write all that was asked for. */
csm_status speak(struct speak *what, csm_model *model, csm_error *err);

#endif
