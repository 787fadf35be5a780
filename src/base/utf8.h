/* SPDX-License-Identifier: Apache-2.0
 *
 * utf8.h - checking and stepping through UTF-8. */
#ifndef CSM_BASE_UTF8_H
#define CSM_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many bytes from the start are valid UTF-8 (no surrogates, no overlong
 * forms, nothing above U+10FFFF): n if all are. */
size_t csm_utf8_valid(const char *text, size_t n);

/* How many characters a text has. */
size_t csm_utf8_count(const char *text);

/* The character at valid text, and its length. */
size_t csm_utf8_next(const char *text, uint32_t *character);

/* Unicode's White_Space, which is what \s means in a tokenizer's pattern. */
bool csm_utf8_is_space(uint32_t character);

#endif
