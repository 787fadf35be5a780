/* SPDX-License-Identifier: Apache-2.0
 *
 * model_path.h - what --model-path means: a directory or file, or ORG/NAME of a hub. */
#ifndef CSM_CLI_MODEL_PATH_H
#define CSM_CLI_MODEL_PATH_H

#include <csm/hub.h>

/* csm_hub_download with a line of progress on standard error, where that is a
 * terminal, and its remarks, unless is_quiet. Ctrl-C ends the process;
 * what has come is kept for the next time. */
csm_status model_download(const char *repo, csm_hub_options *options, bool is_quiet,
                          char **directory, csm_error *err);

/* Make a path of what was given: itself where something has that path, or where it
 * has not the shape of ORG/NAME (that name as an address or with a revision is refused:
 * CSM_BAD_FILE); else the model's directory in the hub cache,
 * downloaded if it is not there (HF_HUB_OFFLINE: never).
 *
 *   path   what was given, NULL too; receives the path
 *   owned  receives what is to be freed with csm_free when the path is not used any
 *          more; NULL if nothing */
csm_status model_path_resolve(const char **path, bool is_quiet, char **owned, csm_error *err);

#endif
