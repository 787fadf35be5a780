/* SPDX-License-Identifier: Apache-2.0
 *
 * checksum.h - the sum by which the hub names a file's content: SHA-256 of a file
 * in its large storage (64 hexadecimal digits), git's SHA-1 of any other (40): the
 * digest of "blob SIZE", a zero byte, and the content. */
#ifndef CSM_HUB_CHECKSUM_H
#define CSM_HUB_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

enum { CSM_CHECKSUM_SIZE = 65 }; /* of its text, with the zero */

struct csm_checksum;

/* A sum of the kind that `name` is one of, for a content of `n_bytes`. NULL when
 * out of memory. To be ended with csm_checksum_end. */
struct csm_checksum *csm_checksum_begin(const char *name, uint64_t n_bytes);
void csm_checksum_add(struct csm_checksum *sum, const void *bytes, size_t n);

/* Write the digits to `text`, unless it is NULL, and free the sum (may be NULL). */
void csm_checksum_end(struct csm_checksum *sum, char text[CSM_CHECKSUM_SIZE]);

#endif
