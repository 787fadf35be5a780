/* SPDX-License-Identifier: Apache-2.0
 *
 * place.h - where the running code lies, and what the environment says. */
#ifndef CSM_BASE_PLACE_H
#define CSM_BASE_PLACE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The directory of the file that holds this code: libcsm, or the program it is
 * linked into. Writes a zero-terminated path; "." if the system does not say. */
void csm_own_directory(char *dir, size_t size);

/* A variable of the environment that names a place; NULL where it is not set or
 * empty, and in a program that runs with more rights than its caller has. */
const char *csm_place_from_environment(const char *name);

/* May code be loaded from that file? Only where nobody could have put it there who
 * could not have changed this code as well: file and directory belong to root, to
 * the effective user, or to the owner of the directory of this code, and not
 * everybody may write them. */
bool csm_is_trusted(const char *path);

#ifdef __cplusplus
}
#endif
#endif
