/* SPDX-License-Identifier: Apache-2.0
 *
 * text_input.h - a text from a file or standard input. */
#ifndef CSM_CLI_TEXT_INPUT_H
#define CSM_CLI_TEXT_INPUT_H

#include <csm/status.h>

/* The whole of a file ("-": standard input) without the line ends at its end, as
 * a zero-terminated string to be freed with free(). CSM_BAD_FILE; CSM_BAD_FORMAT
 * when it holds a zero byte or nothing; CSM_NO_MEMORY. */
csm_status text_input(const char *path, char **text, csm_error *err);

#endif
