/* SPDX-License-Identifier: Apache-2.0
 *
 * folder.h - the files of a model: a directory, or files that lie in memory. */
#ifndef CSM_FILES_FOLDER_H
#define CSM_FILES_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include <csm/tensors.h>

#include "files/mapped.h"
#include "files/path.h"

struct csm_folder {
    const char *path;             /* of the directory; what messages call files in memory */
    const csm_memory_file *files; /* NULL: on disk */
    size_t n_files;
};

/* Whether there is a file of that name. A link that leads nowhere counts: opening it tells so. */
bool csm_folder_has(const struct csm_folder *folder, const char *name);

/* As csm_listing_read, csm_mapped_open, csm_json_load and csm_tensors_open, of a file of the
 * folder. What lies in memory is not copied: it must live as long as what is opened. */
CSM_MUST_USE csm_status csm_folder_list(const struct csm_folder *folder,
                                        struct csm_listing *listing, csm_error *err);
CSM_MUST_USE csm_status csm_folder_map(const struct csm_folder *folder, const char *name,
                                       const char *expected, struct csm_mapped *file,
                                       csm_error *err);
CSM_MUST_USE csm_status csm_folder_json(const struct csm_folder *folder, const char *name,
                                        json_t **out, csm_error *err);
/* The same as csm_json_parse_reals reads it; *out NULL: no such file. */
CSM_MUST_USE csm_status csm_folder_reals(const struct csm_folder *folder, const char *name,
                                         json_t **out, csm_error *err);
CSM_MUST_USE csm_status csm_folder_tensors(const struct csm_folder *folder, const char *name,
                                           csm_tensors **out, csm_error *err);

#endif
