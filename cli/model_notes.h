/* SPDX-License-Identifier: Apache-2.0
 *
 * model_notes.h - what the library notes of a model, for people to read. */
#ifndef CSM_CLI_MODEL_NOTES_H
#define CSM_CLI_MODEL_NOTES_H

#include <csm/csm.h>

/* Warnings alone, on standard error, one line each. */
void warn_of_model(const csm_model *model);

#endif
