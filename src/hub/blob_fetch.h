/* SPDX-License-Identifier: Apache-2.0
 *
 * blob_fetch.h - one file of a commit into the cache's blobs. */
#ifndef CSM_HUB_BLOB_FETCH_H
#define CSM_HUB_BLOB_FETCH_H

#include "hub/hub_cache.h"
#include "hub/transport.h"

/* Have the file's blob, whole and checked, and its link in the snapshot: from the
 * cache, the shared store, or the hub, going on where a transfer was cut off.
 * hub->progress counts. Statuses as csm_hub_download's. */
CSM_MUST_USE csm_status csm_hub_fetch(struct csm_hub *hub, struct csm_transport *transport,
                                      const char *commit, const struct csm_hub_file *file,
                                      csm_error *err);

#endif
