/* SPDX-License-Identifier: Apache-2.0
 *
 * json_io.h - texts of JSON in and out. Seeds have 64 bits without a sign, jansson's integers
 * have one: from 2^63 on a "seed" is read as a text of its digits, and the negative integer
 * for which json_integer((json_int_t)seed) takes it is written as what it stands for. */
#ifndef CSM_SERVER_JSON_IO_H
#define CSM_SERVER_JSON_IO_H

#include <jansson.h>

/* As json_loadb, without a byte order mark before it. */
json_t *json_read(const char *text, size_t n, size_t flags, json_error_t *error);

/* Compact text of an object, which is taken; to be freed; NULL: out of memory. */
char *json_text(json_t *object);

#endif
