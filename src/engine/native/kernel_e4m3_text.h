/* SPDX-License-Identifier: Apache-2.0
 *
 * kernel_e4m3_text.h - the text of dots_e4m3, for every table that has registers. The file that
 * includes it has v16 and what kernel_tiles_text.h asks for, and
 *
 *   times(a, b)
 *   load_e4m3(p), load_e8m0(p)   16 bytes: numbers e4m3 over 256, powers of two
 *   E4M3_X                       2 * E4M3_X sums fit the registers */

__attribute__((always_inline)) static inline void
tile_e4m3(const struct e4m3_tiles *w, const unsigned char *tile, const float *x, size_t ldx,
          float *y, size_t ldy, size_t n_lanes, const int X)
{
    const unsigned char *scales = tile;
    v16 sums[E4M3_X];
    for (int t = 0; t < X; t++)
        sums[t] = all(0);
    for (size_t g = 0; g < w->n_groups; g++, scales += CSM_TILE, x += CSM_E4M3_GROUP) {
        v16 even[E4M3_X], odd[E4M3_X];
        if (g % CSM_SCALED_TOGETHER == 0) {
            scales = tile;
            tile += CSM_SCALES_TOGETHER;
        }
        for (int t = 0; t < X; t++)
            even[t] = odd[t] = all(0);
        for (size_t c = 0; c < CSM_E4M3_GROUP; c += 2, tile += 2 * CSM_TILE) {
            const v16 first = load_e4m3(tile), second = load_e4m3(tile + CSM_TILE);
            for (int t = 0; t < X; t++) {
                const float *in = x + (size_t)t * ldx + c;
                even[t] = multiply_add(first, all(in[0]), even[t]);
                odd[t] = multiply_add(second, all(in[1]), odd[t]);
            }
        }
        const v16 scale = load_e8m0(scales);
        for (int t = 0; t < X; t++) {
            const v16 sum = multiply_add(all(1), odd[t], even[t]);
            sums[t] = multiply_add(scale, times(sum, all(256)), sums[t]);
        }
    }
    for (int t = 0; t < X; t++)
        store_part(y + (size_t)t * ldy, sums[t], n_lanes);
}

static void dots_e4m3(const struct e4m3_tiles *w, size_t tile, size_t n_rows, const float *x,
                      size_t ldx, size_t n_x, float *y, size_t ldy)
{
    const size_t tile_bytes = csm_e4m3_tile_bytes(w->n_groups);
    const unsigned char *at = w->data + tile * tile_bytes;
    for (size_t r = 0; r < n_rows; r += LANES, at += tile_bytes) {
        const size_t n = n_rows - r < LANES ? n_rows - r : LANES;
        size_t t = 0;
        for (; t + E4M3_X <= n_x; t += E4M3_X)
            tile_e4m3(w, at, x + t * ldx, ldx, y + t * ldy + r, ldy, n, E4M3_X);
        for (; t < n_x; t++)
            tile_e4m3(w, at, x + t * ldx, ldx, y + t * ldy + r, ldy, n, 1);
    }
}
