/* SPDX-License-Identifier: Apache-2.0
 *
 * embedded.h - files that are built into the program: server/page.html, openapi.json. */
#ifndef CSM_SERVER_EMBEDDED_H
#define CSM_SERVER_EMBEDDED_H

#include <stddef.h>

extern const unsigned char embedded_page[], embedded_openapi[];
extern const size_t embedded_page_size, embedded_openapi_size;

#endif
