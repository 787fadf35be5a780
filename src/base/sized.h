/* SPDX-License-Identifier: Apache-2.0
 *
 * sized.h - structs that begin with their size, so that they may grow: what the caller's
 * has counts, the rest are defaults. */
#ifndef CSM_BASE_SIZED_H
#define CSM_BASE_SIZED_H

#include <stddef.h>

#include <csm/status.h>

/* Copy the caller's options over `out`, which holds the defaults.
 *
 *   known  the size of the struct here; out's size becomes it
 *   what   "model options": for the message
 *
 * CSM_BAD_ARG: no size, or more than is known here. */
csm_status csm_sized_read(const void *given, void *out, size_t known, const char *what,
                          csm_error *err);

/* Copy as much of `from` (of size `known`) as the caller's struct, whose size is set, has
 * room for; its size stays. */
void csm_sized_write(void *to, const void *from, size_t known);

#endif
