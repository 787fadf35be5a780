/* SPDX-License-Identifier: Apache-2.0
 *
 * version.h - which csm these headers belong to. Before 1.0 a new MINOR may change the
 * binary interface, and the shared library's name says so: libcsm.so.0.MINOR. */
#ifndef CSM_VERSION_H
#define CSM_VERSION_H

/* The version, number by number. */
#define CSM_VERSION_MAJOR 0
#define CSM_VERSION_MINOR 2
#define CSM_VERSION_PATCH 0

/* To compare with: CSM_VERSION_NUMBER >= 200 is 0.2.0 or later. */
#define CSM_VERSION_NUMBER                                                                         \
    (CSM_VERSION_MAJOR * 10000 + CSM_VERSION_MINOR * 100 + CSM_VERSION_PATCH)

#endif
