/* SPDX-License-Identifier: Apache-2.0
 *
 * inputs.h - what a command reads beside its texts before it opens the model: adapters, the key of
 * a mark, C2PA's certificate and key, a model by its name. */
#ifndef CSM_CLI_INPUTS_H
#define CSM_CLI_INPUTS_H

#include <csm/csm.h>

#include "adapters.h"
#include "draw_options.h"
#include "speak.h"

struct inputs {
    struct adapters adapters; /* to which the model's options point */
    char *downloaded;         /* the path of a model by its name; NULL: it was no name */
};

/* Read all of it, into `inputs`, `speak`, `options` and `model_path`, which stay valid until
 * inputs_free; to be freed, success or not. CSM_BAD_ARG, CSM_BAD_FILE, CSM_BAD_FORMAT and what a
 * download ends with. */
csm_status inputs_read(struct inputs *inputs, const struct model_choice *choice, struct speak *speak,
                       csm_model_options *options, const char **model_path, csm_error *err);
void inputs_free(struct inputs *inputs, struct speak *speak);

#endif
