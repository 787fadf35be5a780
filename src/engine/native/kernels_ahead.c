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

/* With AMX, several rows are its tiles' work. Fewer take the registers as long. */
enum { FEWEST_AMX = 5 };

static bool wants_tiles(const struct affine_tiles *w, size_t n_x)
{
    return n_x >= FEWEST_AMX && w->format == CSM_WEIGHT_AFFINE && w->group >= CSM_PLANE_COLUMNS &&
           (w->bits == 4 || w->bits == 8);
}

static void dots_affine_amx(const struct affine_tiles *w, size_t tile, size_t n_rows,
                            const struct digits *x, size_t n_x, float *y, size_t ldy)
{
    if (x->in_tiles)
        csm_dots_affine_amx(w, tile, n_rows, x, n_x, y, ldy);
    else
        dots_affine(w, tile, n_rows, x, n_x, y, ldy);
}

const struct kernels csm_kernels_avx512_ahead = {TABLE("avx512-ahead"), .dots_affine = dots_affine};
const struct kernels csm_kernels_amx = {TABLE("amx"), .dots_affine = dots_affine_amx,
                                        .wants_tiles = wants_tiles,
                                        .tile_digits = csm_tile_digits_amx};
