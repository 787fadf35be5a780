/* SPDX-License-Identifier: Apache-2.0
 *
 * keys.h - the keys of --api-key-file, one of which a request has to bring. */
#ifndef CSM_SERVER_KEYS_H
#define CSM_SERVER_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include <csm/status.h>

struct keys {
    char **items; /* [n]; none: nobody is asked for one */
    size_t n;
};

/* A key a line; blanks around it and lines that begin with # are none of it.
 * CSM_BAD_FILE; CSM_BAD_FORMAT: no key, or a line beyond 510 characters; CSM_NO_MEMORY. `out` is
 * as it was then. */
csm_status keys_read(const char *path, struct keys *out, csm_error *err);
void keys_free(struct keys *keys);

/* Whether it is one of them, in a time that does not tell how nearly; given: NULL is none. */
bool keys_have(const struct keys *keys, const char *given);

#endif
