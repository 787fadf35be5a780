/* SPDX-License-Identifier: Apache-2.0
 *
 * hub_transfer.h - a model from the hub. */
#ifndef CSM_HUB_TRANSFER_H
#define CSM_HUB_TRANSFER_H

#include "hub/hub_settings.h"

/* Bring hub->revision into the cache; `*directory` is to be freed. Statuses as
 * csm_hub_download's; CSM_NO_ENGINE of a csm that was built without libcurl. */
CSM_MUST_USE csm_status csm_hub_transfer(struct csm_hub *hub, char **directory, csm_error *err);

#endif
