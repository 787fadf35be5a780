/* SPDX-License-Identifier: Apache-2.0
 *
 * affine_case.h - what the tests of affine products share: matrices of random codes, and digits
 * that lie as a table wants them. */
#ifndef AFFINE_CASE_H
#define AFFINE_CASE_H

#include "unit/native_case.h"

#include "engine/native/kernel_math.h"

/* Random codes and scales, in any of the formats. */
static inline void random_tiles(struct affine_tiles *w, unsigned char *data, size_t n_tiles)
{
    const size_t code_bytes = csm_code_bytes(w->bits, w->group);
    const bool is_affine = w->format == CSM_WEIGHT_AFFINE;
    w->data = data;
    w->block_bytes = code_bytes + (size_t)(is_affine ? (w->wide_scales ? 128 : 64) : 0);
    w->tile_bytes = is_affine ? w->n_groups * w->block_bytes
                              : csm_scaled_tile_bytes(w->n_groups, code_bytes);
    for (size_t i = 0; i < n_tiles * w->tile_bytes; i++)
        data[i] = (unsigned char)(int)(random_float() * 128);
    for (size_t b = 0; is_affine && b < n_tiles * w->n_groups; b++)
        for (size_t i = 0; i < 32; i++) {
            unsigned char *scales = data + b * w->block_bytes + code_bytes;
            float scale = random_float();
            uint16_t half = csm_to_bf16(scale);
            if (w->wide_scales)
                memcpy(scales + 4 * i, &scale, 4);
            else
                memcpy(scales + 2 * i, &half, 2);
        }
    /* Powers of two whose products float32 holds, and the smallest. */
    for (size_t i = 0; w->format == CSM_WEIGHT_MXFP4 && i < n_tiles * w->n_groups * CSM_TILE; i++) {
        unsigned char *tile = data + i / (w->n_groups * CSM_TILE) * w->tile_bytes;
        const size_t g = i / CSM_TILE % w->n_groups;
        unsigned char *scale = tile + csm_scales_at(g, code_bytes) + i % CSM_TILE;
        *scale = i % 9 == 0 ? 0 : 100 + *scale % 50;
    }
}

/* Rows of digits in tiles, as the product makes them. */
static inline struct digits tiles_of(const struct kernels *k, const struct digits *rows, size_t n_groups,
                              size_t group, size_t n_x)
{
    const size_t n_bytes = CSM_PLANES * group;
    const size_t n_groups_all = csm_padded(n_x, CSM_DIGIT_ROWS) * n_groups;
    struct digits tiles = {malloc(n_groups_all * n_bytes), calloc(n_groups_all, sizeof(float)),
                           calloc(n_groups_all, sizeof(float)), true};
    memset(tiles.planes, 85, n_groups_all * n_bytes);
    memcpy(tiles.steps, rows->steps, n_x * n_groups * sizeof(float));
    memcpy(tiles.sums, rows->sums, n_x * n_groups * sizeof(float));
    for (size_t i = 0; i < n_x * n_groups; i++) {
        const size_t t = i / n_groups;
        k->tile_digits(rows->planes + i * n_bytes, group, t % CSM_DIGIT_ROWS,
                       tiles.planes + csm_digit_tile(n_groups, group, t, i % n_groups));
    }
    return tiles;
}

/* y of all rows, the digits as the table wants them. */
static inline void dots_of(const struct kernels *k, const struct affine_tiles *w, size_t tile, size_t n_rows,
                    const struct digits *digits, size_t n_x, float *y, size_t ldy)
{
    if (k->wants_tiles == NULL || !k->wants_tiles(w, n_x)) {
        k->dots_affine(w, tile, n_rows, digits, n_x, y, ldy);
        return;
    }
    struct digits tiles = tiles_of(k, digits, w->n_groups, (size_t)w->group, n_x);
    k->dots_affine(w, tile, n_rows, &tiles, n_x, y, ldy);
    free(tiles.planes);
    free(tiles.steps);
    free(tiles.sums);
}

#endif
