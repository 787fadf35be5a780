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

/* dots_affine of codes of 4 or 8 bits in groups of 32, 64 or 128, and digits in tiles; the
 * bits of every other table. */
void csm_dots_affine_amx(const struct affine_tiles *w, size_t tile, size_t n_rows,
                         const struct digits *x, size_t n_x, float *y, size_t ldy);

/* tile_digits of its table. */
void csm_tile_digits_amx(const int8_t *planes, size_t group, size_t row, int8_t *tiles);

#endif
