/* SPDX-License-Identifier: Apache-2.0
 *
 * made_of.h - a digest of the settings that speech depends on, by which --resume knows whether
 * what is there is what would be made. */
#ifndef CSM_CLI_MADE_OF_H
#define CSM_CLI_MADE_OF_H

#include "speak.h"

/* Move a digest of part_digest on by a text; by the model, the settings but seed and text, and
 * the turns of a session. */
void made_of_text(char digest[33], const char *text);
void made_of_settings(char digest[33], const struct speak *what, const csm_model *model,
                      const csm_session *session);

#endif
