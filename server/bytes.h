/* SPDX-License-Identifier: Apache-2.0
 *
 * bytes.h - base64, random names and numbers, and comparing secrets. */
#ifndef CSM_SERVER_BYTES_H
#define CSM_SERVER_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Base64 of n bytes, zero-terminated: a new string, to be freed; NULL: out of memory. */
char *bytes_to_base64(const void *bytes, size_t n);

/* The bytes of base64 text [n], white space allowed, padding or none; to be freed.
 * NULL: it is no base64, or there is no memory. */
void *bytes_from_base64(const char *text, size_t n, size_t *n_bytes);

/* prefix (at most 8 bytes) and 24 random hexadecimal digits, with a zero: 33 bytes fit. */
void bytes_random_name(const char *prefix, char *out);
uint64_t bytes_random_u64(void);

/* Whether two secrets are equal, in a time that does not depend on where they differ. */
bool bytes_same_secret(const char *a, const char *b);

#endif
