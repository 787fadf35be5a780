/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels_amx.h - affine products of many rows on Intel's AMX, for a table that is
 * AVX-512's otherwise. */
#ifndef CSM_NATIVE_KERNELS_AMX_H
#define CSM_NATIVE_KERNELS_AMX_H

#include "engine/native/kernels.h"

/* Whether the processor has AMX for bytes and the system lets this process use it.
 * Linux gives the permission once, for the whole process, when it is asked for here. */
bool csm_has_amx(void);

/* dots_affine for n_x rows of x, any number of them, and a group of 32, 64, 128 or 256;
 * the bits of every other table. */
void csm_dots_affine_amx(const struct affine_tiles *w, size_t tile, size_t n_rows,
                         const struct digits *x, size_t n_x, float *y, size_t ldy);

#endif
