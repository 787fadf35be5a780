/* SPDX-License-Identifier: Apache-2.0
 *
 * hub_cache.h - the cache that huggingface_hub keeps, one folder a repository:
 *
 *   CACHEDIR.TAG
 *   .locks/models--ORG--NAME/ETAG.lock     flock: one transfer of a file at a time
 *   blobs/XX/XET_HASH, .refs, .lock        the shared store: files of many repositories
 *   models--ORG--NAME/refs/REVISION        its commit, 40 digits
 *   models--ORG--NAME/blobs/ETAG           contents; maybe a link into the shared store
 *   models--ORG--NAME/snapshots/COMMIT/F   relative link to the blob
 *   models--ORG--NAME/.no_exist/COMMIT/F   empty: the hub has no such file
 *   models--ORG--NAME/trees/COMMIT.json    hub_tree.h
 *
 * What is written is written beside and renamed, so that a reader never sees half. */
#ifndef CSM_HUB_CACHE_H
#define CSM_HUB_CACHE_H

#include "hub/hub_tree.h"

/* The commit of hub->revision by refs/, or itself if it is one: false if the cache
 * does not know. */
bool csm_hub_read_ref(const struct csm_hub *hub, char commit[41]);
CSM_MUST_USE csm_status csm_hub_write_ref(const struct csm_hub *hub, const char *commit,
                                          csm_error *err);

/* Paths to be freed; NULL when out of memory. */
char *csm_hub_snapshot_path(const struct csm_hub *hub, const char *commit);
char *csm_hub_blob_path(const struct csm_hub *hub, const struct csm_hub_file *file);

/* Whether a path leads, through links, to a regular file of that size. */
bool csm_hub_has_file(const char *path, uint64_t n_bytes);

/* Whether the snapshot has the file, of its size. */
bool csm_hub_is_in_snapshot(const struct csm_hub *hub, const char *commit,
                            const struct csm_hub_file *file);

/* Give the blob its name in the snapshot. CSM_BAD_FILE, CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_hub_link(const struct csm_hub *hub, const char *commit,
                                     const struct csm_hub_file *file, csm_error *err);

/* Note which of what a CSM reads the hub has not; and that this is a cache. */
void csm_hub_note_missing(const struct csm_hub *hub, const char *commit,
                          const struct csm_hub_tree *tree);
void csm_hub_tag_cache(const struct csm_hub *hub);

/* Wait for the file's lock, with one remark if another has it. `*lock` is to be
 * closed with csm_hub_unlock; -1 on failure. CSM_BAD_FILE, CSM_CANCELLED, CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_hub_lock(struct csm_hub *hub, const struct csm_hub_file *file,
                                     int *lock, csm_error *err);
void csm_hub_unlock(int lock);

/* Make the blob a link to what the shared store has, if it has it, noting the link
 * in its list of references first; whether it did. */
bool csm_hub_share_blob(const struct csm_hub *hub, const struct csm_hub_file *file);

#endif
