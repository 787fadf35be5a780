/* SPDX-License-Identifier: Apache-2.0
 *
 * cast.h - who speaks as whom in a script: [Alice] Hello. with --cast Alice=anna. */
#ifndef CSM_CLI_CAST_H
#define CSM_CLI_CAST_H

#include "context.h"

struct cast_role {
    char name[65];     /* as the script has it */
    const char *voice; /* a voice of csm voice list, or a speaker's number */
    int speaker;
};

struct cast {
    struct cast_role roles[64];
    size_t n;
};

/* The names of the script, in its order, each with a speaker that means nothing yet.
 * CSM_BAD_FORMAT: too many. */
csm_status cast_names(const char *script, struct cast *cast, csm_error *err);

/* Give each name of the script a speaker: that of its --cast NAME=VOICE, else of the voice
 * that has its name. A recording becomes context, pinned, under a number that nobody else
 * has. CSM_BAD_ARG (a --cast that is none, that the script does not have; a name without a
 * voice; no such voice); CSM_BAD_FORMAT (a line of the script); errors of the voice's file. */
csm_status cast_read(const struct option_list *given, const char *script, csm_model *model,
                     struct context *context, struct cast *cast, csm_error *err);

/* The speaker of a label [n] of the script, "0" or "Alice"; -1: it is none. */
int cast_speaker(const struct cast *cast, const char *label, size_t n);

/* The label in brackets that a line begins with: its length, and where its text begins; 0: it
 * begins with none. */
size_t cast_label(const char *line, const char **label, const char **text);

#endif
