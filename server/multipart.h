/* SPDX-License-Identifier: Apache-2.0
 *
 * multipart.h - the parts of a multipart/form-data body (RFC 7578). */
#ifndef CSM_SERVER_MULTIPART_H
#define CSM_SERVER_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>

enum { MULTIPART_MAX_PARTS = 32 };

/* Views into the body. */
struct multipart_part {
    const char *name; /* of the field, zero-terminated */
    bool is_file;     /* it has a file name */
    char *value;      /* [n], and a zero behind it */
    size_t n;
};

struct multipart {
    struct multipart_part parts[MULTIPART_MAX_PARTS];
    size_t n;
};

/* Parse in place: the body [n] and the zero behind it are overwritten.
 *   type  of the request: "multipart/form-data; boundary=..."
 * NULL, or a line for a person about what is wrong. */
const char *multipart_parse(const char *type, char *body, size_t n, struct multipart *out);

/* The part of that name, or NULL. */
const struct multipart_part *multipart_find(const struct multipart *parts, const char *name);

#endif
