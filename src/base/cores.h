/* SPDX-License-Identifier: Apache-2.0
 *
 * cores.h - how many cores this process may use. */
#ifndef CSM_BASE_CORES_H
#define CSM_BASE_CORES_H

/* The cores that its affinity allows, or fewer where a control group (Linux, version 1 or 2)
 * limits its time: whole cores of that limit, since threads that wait for each other by spinning would
 * spend more and be stopped. At least 1. */
int csm_usable_cores(void);

/* The least limit of the group `path` ("/", "/a/b") and those above it, in the tree of files of
 * either version at `root`: whole cores, at least 1; 0: none has a limit. */
int csm_group_cores(const char *root, const char *path);

#endif
