/* SPDX-License-Identifier: Apache-2.0
 *
 * error.h - filling the caller's csm_error: csm_fail, which is public; and one line of text. */
#ifndef CSM_BASE_ERROR_H
#define CSM_BASE_ERROR_H

#include <stddef.h>

#include <csm/status.h>

/* Names out of files may hold anything; a message stays one line of UTF-8, and no
 * terminal takes orders from it: control characters, those of two bytes (U+0080 to
 * U+009F) too, and bytes of no character become '?'. What the end of its buffer of
 * `size` bytes cut in two goes. */
void csm_scrub(char *text, size_t size);

#endif
