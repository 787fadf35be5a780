/* SPDX-License-Identifier: Apache-2.0
 *
 * file_names.h - what the ending of a name promises to whoever opens the file. */
#ifndef CSM_CLI_FILE_NAMES_H
#define CSM_CLI_FILE_NAMES_H

#include <stdbool.h>

/* Whether `path` ends as a file of numbers, of a model or of sound does, in any case of letters.
 * `except` is an ending that does not count; NULL: none. */
bool promises_a_file(const char *path, const char *except);

#endif
