/* SPDX-License-Identifier: Apache-2.0
 *
 * hub_transfer_absent.c - in place of hub_transfer.c where csm was built without
 * libcurl or nettle. */
#include "base/error.h"
#include "hub/hub_transfer.h"

csm_status csm_hub_transfer(struct csm_hub *hub, char **directory, csm_error *err)
{
    *directory = NULL;
    return csm_fail(err, CSM_NO_ENGINE,
                    "%s: this csm was built without libcurl or nettle: install "
                    "libcurl4-openssl-dev and nettle-dev, and build it again", hub->repo);
}
