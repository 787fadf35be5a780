/* SPDX-License-Identifier: Apache-2.0
 *
 * kernel_affine_text.h - the text of dots_affine, for every table that has registers. The file
 * that includes it has DEFINE_ROWS(name, bits, format, columns): a function of the type below,
 * all rows of x times the n_lanes rows of one tile, of that format in groups of `columns`. */
DEFINE_ROWS(rows_1, 1, CSM_WEIGHT_AFFINE, CSM_PLANE_COLUMNS)
DEFINE_ROWS(rows_2, 2, CSM_WEIGHT_AFFINE, CSM_PLANE_COLUMNS)
DEFINE_ROWS(rows_3, 3, CSM_WEIGHT_AFFINE, CSM_PLANE_COLUMNS)
DEFINE_ROWS(rows_4, 4, CSM_WEIGHT_AFFINE, CSM_PLANE_COLUMNS)
DEFINE_ROWS(rows_5, 5, CSM_WEIGHT_AFFINE, CSM_PLANE_COLUMNS)
DEFINE_ROWS(rows_6, 6, CSM_WEIGHT_AFFINE, CSM_PLANE_COLUMNS)
DEFINE_ROWS(rows_8, 8, CSM_WEIGHT_AFFINE, CSM_PLANE_COLUMNS)
DEFINE_ROWS(rows_4_of_16, 4, CSM_WEIGHT_AFFINE, 16)
DEFINE_ROWS(rows_8_of_16, 8, CSM_WEIGHT_AFFINE, 16)
DEFINE_ROWS(rows_mxfp4, 4, CSM_WEIGHT_MXFP4, CSM_PLANE_COLUMNS)
DEFINE_ROWS(rows_nvfp4, 4, CSM_WEIGHT_NVFP4, 16)

typedef void (*rows_of_format)(const struct affine_tiles *w, const unsigned char *tile,
                               size_t n_lanes, const struct digits *x, size_t n_x, float *y,
                               size_t ldy);

static void dots_affine(const struct affine_tiles *w, size_t tile, size_t n_rows,
                        const struct digits *x, size_t n_x, float *y, size_t ldy)
{
    static const rows_of_format affine[] = {[1] = rows_1, [2] = rows_2, [3] = rows_3, [4] = rows_4,
                                            [5] = rows_5, [6] = rows_6, [8] = rows_8};
    const rows_of_format rows = w->format == CSM_WEIGHT_MXFP4   ? rows_mxfp4
                                : w->format == CSM_WEIGHT_NVFP4 ? rows_nvfp4
                                : w->group < CSM_PLANE_COLUMNS
                                    ? (w->bits == 4 ? rows_4_of_16 : rows_8_of_16)
                                    : affine[w->bits];
    const unsigned char *at = w->data + tile * w->tile_bytes;
    for (size_t r = 0; r < n_rows; r += CSM_TILE, at += w->tile_bytes)
        rows(w, at, n_rows - r < CSM_TILE ? n_rows - r : CSM_TILE, x, n_x, y + r, ldy);
}
