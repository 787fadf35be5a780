/* SPDX-License-Identifier: Apache-2.0
 *
 * place.h - where the running code lies. */
#ifndef CSM_BASE_PLACE_H
#define CSM_BASE_PLACE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The directory of the file that holds this code: libcsm, or the program it is
 * linked into. Writes a zero-terminated path; "." if the system does not say. */
void csm_own_directory(char *dir, size_t size);

#ifdef __cplusplus
}
#endif
#endif
