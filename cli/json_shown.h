/* SPDX-License-Identifier: Apache-2.0
 *
 * json_shown.h - names of files as JSON holds them. */
#ifndef CLI_JSON_SHOWN_H
#define CLI_JSON_SHOWN_H

#include <jansson.h>

/* A string of `text`, with U+FFFD for each byte that is not UTF-8, as a file's name may have it: jansson
 * takes none of those. NULL: no memory. */
json_t *json_shown(const char *text);

#endif
