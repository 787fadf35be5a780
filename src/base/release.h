/* SPDX-License-Identifier: Apache-2.0
 *
 * release.h - is a library of the release that was built with? */
#ifndef CSM_BASE_RELEASE_H
#define CSM_BASE_RELEASE_H

#include <stdbool.h>
#include <string.h>

/* Is `version` the release "X.Y.Z", or a build of it, as 1.2.3+cpu or 1.2.3.dev1 are
 * of 1.2.3, and 1.2.30 is not? */
static inline bool csm_is_release(const char *version, const char *release)
{
    size_t n = strlen(release);
    return strncmp(version, release, n) == 0 && (version[n] < '0' || version[n] > '9');
}

#endif
