/* SPDX-License-Identifier: Apache-2.0
 *
 * hub_download.c - from a name to a directory. */
#include <stdlib.h>

#include "hub/hub_search.h"
#include "hub/hub_transfer.h"

csm_status csm_hub_download(const char *repo, const csm_hub_options *options, char **directory,
                            csm_error *err)
{
    struct csm_hub hub;
    *directory = NULL;
    csm_status status = csm_hub_open(&hub, repo, options, err);
    if (status == CSM_OK)
        status = hub.is_offline ? csm_hub_search(&hub, directory, err)
                                : csm_hub_transfer(&hub, directory, err);
    csm_hub_close(&hub);
    if (status != CSM_OK) {
        free(*directory);
        *directory = NULL;
    }
    return status;
}
