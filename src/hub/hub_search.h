/* SPDX-License-Identifier: Apache-2.0
 *
 * hub_search.h - a model in the cache, without asking anybody. */
#ifndef CSM_HUB_SEARCH_H
#define CSM_HUB_SEARCH_H

#include "hub/hub_tree.h"

/* The snapshot of hub->revision, if it can be used; remarks go to the user.
 * CSM_OK with a path to be freed; CSM_BAD_FILE, naming the command that brings it;
 * CSM_BAD_ARG: several GGUF files; CSM_CANCELLED; CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_hub_search(struct csm_hub *hub, char **directory, csm_error *err);

#endif
