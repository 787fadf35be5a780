/* SPDX-License-Identifier: Apache-2.0
 *
 * dry_run.h - what a text will be, before it is spoken. */
#ifndef CSM_CLI_DRY_RUN_H
#define CSM_CLI_DRY_RUN_H

#include "recite.h"

/* csm generate --dry-run: an utterance a line on standard output, those of a script with
 * their [speaker], and lines "[pause 300 ms]". Errors as split_text and split_script;
 * CSM_BAD_FORMAT (nothing to say), CSM_BAD_FILE (standard output). */
csm_status print_text(const struct speak *what, const struct recite *how, csm_error *err);

/* Warns of what the text asks and will not get: letters that the
 * embedded voice has not learned, pauses in one utterance of --save-tokens, or in a turn of
 * its own file. */
void remark_text(struct speak *what, const struct recite *how, bool is_embedded);

#endif
