/* SPDX-License-Identifier: Apache-2.0
 *
 * path.h - paths, and what lies in a directory. */
#ifndef CSM_FILES_PATH_H
#define CSM_FILES_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include <csm/status.h>

/* "DIRECTORY/NAME" to be freed, NULL when out of memory. */
char *csm_path_join(const char *directory, const char *name);

bool csm_path_ends_with(const char *path, const char *suffix);

/* Whether a path leads to something below the directory that it is taken from: not absolute,
 * without "..". */
bool csm_path_is_below(const char *path);

/* The path without "./" before it. */
const char *csm_path_without_dot(const char *path);

/* Whether something of that name is in the directory. */
bool csm_path_has(const char *directory, const char *name);

/* Make the directories that a file's path goes through, those that are there apart. CSM_BAD_FILE
 * with errno's text; CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_path_make_parents(const char *path, csm_error *err);

/* Whether a path is a link that leads nowhere: a file of a cache whose content was taken away. */
bool csm_path_is_broken_link(const char *path);

/* The names in a directory, sorted by byte. */
struct csm_listing {
    size_t n;
    char **names;
};
CSM_MUST_USE csm_status csm_listing_read(const char *directory, struct csm_listing *listing,
                                         csm_error *err);
/* The same of names that are known. */
CSM_MUST_USE csm_status csm_listing_of(const char *const *names, size_t n,
                                       struct csm_listing *listing, csm_error *err);
void csm_listing_free(struct csm_listing *listing);

#endif
