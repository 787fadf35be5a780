/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels_ahead.c - AVX-512 on Intel's processors, with AMX where they have it.
 *
 * Their own prefetching asks too late for one row of activations: two cores of a Xeon got
 * 16 of 28 GB/s in bfloat16, and 27 when the second cache is asked for weights 16 KiB ahead
 * (docs/SPEED.md). */
#define FAR_AHEAD 16384
#include "engine/native/kernel_avx512_text.h"
#include "engine/native/kernels_amx.h"

/* With AMX, many rows are its tiles' work. With fewer than so many the registers are as fast. */
enum { FEWEST_AMX = 16 };

static void dots_affine_amx(const struct affine_tiles *w, size_t tile, size_t n_rows,
                            const struct digits *x, size_t n_x, float *y, size_t ldy)
{
    if (n_x < FEWEST_AMX || w->format != CSM_WEIGHT_AFFINE ||
        w->group < CSM_PLANE_COLUMNS || (w->bits != 4 && w->bits != 8))
        dots_affine(w, tile, n_rows, x, n_x, y, ldy);
    else
        csm_dots_affine_amx(w, tile, n_rows, x, n_x, y, ldy);
}

const struct kernels csm_kernels_avx512_ahead = TABLE("avx512-ahead", dots_affine);
const struct kernels csm_kernels_amx = TABLE("amx", dots_affine_amx);
