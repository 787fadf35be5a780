/* SPDX-License-Identifier: Apache-2.0
 *
 * kernel_tiles_text.h - the text of dots_tiles and dots_mixed, for every table that has
 * registers. The file that includes it says what a register of 16 lanes is:
 *
 *   v16, all(x), load_whole(p), multiply_add(a, b, sum)
 *   load_part(p, n), store_part(p, v, n)    the first n lanes, 1..16
 *   low_bits, load_low(p)                   the low bits of a unit
 *   two_codes(high, low, p, out)            16 codes each of columns 2 * p, 2 * p + 1
 *   TILES, TILES_X      the sums of a block, TILES * TILES_X, fit the registers
 *   MIXED_X             2 * MIXED_X do, of mixed products
 *
 * Many rows of x are bound by arithmetic: a group of codes is widened once, then
 * blocks of sums go over it. Few rows are bound by memory: each code is used as it
 * is loaded. */
enum { FEW_X = 4 };

/* The lines to come are asked for by hand, so many bytes ahead and into the second cache:
 * the processor's own guess comes too late. Past the end of a matrix they belong to the
 * next one, or to nobody, which is no error. */
enum { AHEAD = 6144, LINE = 64 };

static inline size_t lanes_of(size_t n_rows, int tile)
{
    size_t before = (size_t)tile * LANES;
    return n_rows - before < LANES ? n_rows - before : LANES;
}

/* n columns of T tiles, `apart` floats from tile to tile, times X rows of x. Codes have
 * scales [T * LANES]; float32 has none. The result is added to `from`: [n_rows] for
 * each row of x, ld_from apart; NULL: 0. */
__attribute__((always_inline)) static inline void
tiles_block(const float *w, size_t apart, size_t n, const float *scales, const float *x, size_t ldx,
            const float *from, size_t ld_from, float *y, size_t ldy, size_t n_rows, const int T,
            const int X)
{
    v16 sums[TILES * TILES_X];
    for (int i = 0; i < T; i++)
        for (int t = 0; t < X; t++)
            sums[i * X + t] = from == NULL || scales != NULL
                                  ? all(0)
                                  : load_part(from + (size_t)t * ld_from + i * LANES,
                                              lanes_of(n_rows, i));
    for (size_t c = 0; c < n; c++) {
        v16 rows[TILES];
        for (int i = 0; i < T; i++)
            rows[i] = load_whole(w + (size_t)i * apart + c * LANES);
        for (int t = 0; t < X; t++) {
            v16 in = all(x[(size_t)t * ldx + c]);
            for (int i = 0; i < T; i++)
                sums[i * X + t] = multiply_add(rows[i], in, sums[i * X + t]);
        }
    }
    for (int i = 0; i < T; i++)
        for (int t = 0; t < X; t++) {
            size_t lanes = lanes_of(n_rows, i);
            v16 sum = sums[i * X + t];
            if (scales != NULL)
                sum = multiply_add(load_whole(scales + i * LANES), sum,
                                   from == NULL ? all(0)
                                                : load_part(from + (size_t)t * ld_from + i * LANES,
                                                            lanes));
            store_part(y + (size_t)t * ldy + i * LANES, sum, lanes);
        }
}

/* All rows of x, in blocks of constant size. */
__attribute__((always_inline)) static inline void
tiles_rows(const float *w, size_t apart, size_t n, const float *scales, const float *x, size_t ldx,
           size_t n_x, const float *from, size_t ld_from, float *y, size_t ldy, size_t n_rows,
           const int T)
{
#define BLOCKS(X)                                                                                  \
    for (; t + (X) <= n_x; t += (X))                                                               \
    tiles_block(w, apart, n, scales, x + t * ldx, ldx, from == NULL ? NULL : from + t * ld_from,   \
                ld_from, y + t * ldy, ldy, n_rows, T, (X))
    size_t t = 0;
    BLOCKS(TILES_X);
    BLOCKS(4);
    BLOCKS(2);
    BLOCKS(1);
#undef BLOCKS
}

static inline void widen_unit(const struct code_block *block, size_t unit, float *wide)
{
    low_bits low = load_low(block->low[unit]);
    for (int p = 0; p < CSM_CODE_UNIT / 2; p++) {
        v16 codes[2];
        two_codes(block->high[unit] + p * 2 * CSM_TILE, low, p, codes);
        store_part(wide + 2 * p * LANES, codes[0], LANES);
        store_part(wide + (2 * p + 1) * LANES, codes[1], LANES);
    }
}

__attribute__((always_inline)) static inline void
tiles_many(const struct column_tiles *w, const unsigned char *tile, const float *start,
           const float *x, size_t ldx, size_t n_x, float *y, size_t ldy, size_t n_rows, const int T)
{
    if (!w->is_coded) {
        tiles_rows((const float *)(const void *)tile, w->cols * LANES, w->cols, NULL, x, ldx, n_x,
                   start, 0, y, ldy, n_rows, T);
        return;
    }
    _Alignas(64) float wide[TILES][CSM_CODE_GROUP * LANES], scales[TILES * LANES];
    for (size_t c = 0; c < w->cols; c += CSM_CODE_GROUP) {
        size_t n = w->cols - c < CSM_CODE_GROUP ? w->cols - c : CSM_CODE_GROUP;
        for (int i = 0; i < T; i++) {
            const struct code_block *block =
                (const struct code_block *)(const void *)(tile + (size_t)i * w->tile_bytes) +
                c / CSM_CODE_GROUP;
            store_part(scales + i * LANES, load_whole(block->scales), LANES);
            for (size_t unit = 0; unit * CSM_CODE_UNIT < n; unit++)
                widen_unit(block, unit, &wide[i][unit * CSM_CODE_UNIT * LANES]);
        }
        tiles_rows(wide[0], CSM_CODE_GROUP * LANES, n, scales, x + c, ldx, n_x,
                   c == 0 ? start : y, c == 0 ? 0 : ldy, y, ldy, n_rows, T);
    }
}

/* A whole unit. */
__attribute__((always_inline)) static inline void
few_columns(const struct code_block *block, size_t unit, const float *x, size_t ldx, const int X,
            v16 *dots)
{
    enum { UNIT = sizeof *block * CSM_CODE_UNIT / CSM_CODE_GROUP };
    const char *ahead = (const char *)block + AHEAD + unit * UNIT;
    for (int line = 0; line < UNIT; line += LINE)
        __builtin_prefetch(ahead + line, 0, 2);
    low_bits low = load_low(block->low[unit]);
    for (int p = 0; p < CSM_CODE_UNIT / 2; p++) {
        v16 codes[2];
        two_codes(block->high[unit] + p * 2 * CSM_TILE, low, p, codes);
        for (int s = 0; s < 2; s++)
            for (int t = 0; t < X; t++)
                dots[t] =
                    multiply_add(codes[s], all(x[(size_t)t * ldx + (size_t)(2 * p + s)]), dots[t]);
    }
}

/* One tile: one stream of memory. */
__attribute__((always_inline)) static inline void
tile_few(const struct column_tiles *w, const unsigned char *tile, const float *start,
         const float *x, size_t ldx, float *y, size_t ldy, size_t n_lanes, const int X)
{
    const struct code_block *block = (const struct code_block *)(const void *)tile;
    v16 sums[FEW_X];
    for (int t = 0; t < X; t++)
        sums[t] = start == NULL ? all(0) : load_part(start, n_lanes);
    for (size_t from = 0; from < w->cols; from += CSM_CODE_GROUP, block++) {
        size_t n = w->cols - from < CSM_CODE_GROUP ? w->cols - from : CSM_CODE_GROUP, c = 0;
        v16 dots[FEW_X];
        for (int t = 0; t < X; t++)
            dots[t] = all(0);
        for (; c + CSM_CODE_UNIT <= n; c += CSM_CODE_UNIT)
            few_columns(block, c / CSM_CODE_UNIT, x + from + c, ldx, X, dots);
        if (c < n) {
            float wide[CSM_CODE_UNIT * LANES];
            widen_unit(block, c / CSM_CODE_UNIT, wide);
            for (size_t j = 0; c + j < n; j++)
                for (int t = 0; t < X; t++)
                    dots[t] = multiply_add(load_whole(wide + j * LANES),
                                           all(x[(size_t)t * ldx + from + c + j]), dots[t]);
        }
        v16 scales = load_whole(block->scales);
        for (int t = 0; t < X; t++)
            sums[t] = multiply_add(scales, dots[t], sums[t]);
    }
    for (int t = 0; t < X; t++)
        store_part(y + (size_t)t * ldy, sums[t], n_lanes);
}

static void few_rows(const struct column_tiles *w, const unsigned char *tile, const float *start,
                     const float *x, size_t ldx, size_t n_x, float *y, size_t ldy, size_t n_lanes)
{
    switch (n_x) {
    case 1:
        tile_few(w, tile, start, x, ldx, y, ldy, n_lanes, 1);
        break;
    case 2:
        tile_few(w, tile, start, x, ldx, y, ldy, n_lanes, 2);
        break;
    case 3:
        tile_few(w, tile, start, x, ldx, y, ldy, n_lanes, 3);
        break;
    default:
        tile_few(w, tile, start, x, ldx, y, ldy, n_lanes, FEW_X);
    }
}

static void dots_tiles(const struct column_tiles *w, size_t tile, size_t n_rows, const float *start,
                       const float *x, size_t ldx, size_t n_x, float *y, size_t ldy)
{
    for (size_t r = 0, n; r < n_rows; r += n * LANES) {
        const unsigned char *at = w->data + (tile + r / LANES) * w->tile_bytes;
        const float *from = start == NULL ? NULL : start + r;
        n = 1;
        if (w->is_coded && n_x <= FEW_X) {
            few_rows(w, at, from, x, ldx, n_x, y + r, ldy, lanes_of(n_rows - r, 0));
        } else if (n_rows - r > (TILES - 1) * LANES) {
            n = TILES;
            tiles_many(w, at, from, x, ldx, n_x, y + r, ldy, n_rows - r, TILES);
        } else {
            tiles_many(w, at, from, x, ldx, n_x, y + r, ldy, n_rows - r, 1);
        }
    }
}

/* Columns in pairs: the even ones into `even`, the odd ones into `odd`. */
__attribute__((always_inline)) static inline void
paired_columns(const float *w, size_t n, const float *x, size_t ldx, v16 *even, v16 *odd,
               const int X)
{
    for (size_t c = 0; c < n; c += 2, w += 2 * LANES) {
        __builtin_prefetch((const char *)w + AHEAD, 0, 2);
        __builtin_prefetch((const char *)w + AHEAD + LINE, 0, 2);
        v16 first = load_whole(w), second = load_whole(w + LANES);
        for (int t = 0; t < X; t++) {
            even[t] = multiply_add(first, all(x[(size_t)t * ldx + c]), even[t]);
            odd[t] = multiply_add(second, all(x[(size_t)t * ldx + c + 1]), odd[t]);
        }
    }
}

__attribute__((always_inline)) static inline void
mixed_block(const float *w, size_t cols, const float *start, const float *x, size_t ldx,
            size_t n_out, float *y, size_t ldy, size_t n_lanes, const int X)
{
    v16 first[MIXED_X], last[MIXED_X];
    for (int t = 0; t < X; t++) {
        first[t] = start == NULL ? all(0) : load_part(start, n_lanes);
        last[t] = all(0);
    }
    paired_columns(w, cols / 2, x, ldx, first, last, X);
    for (int t = 0; t < X; t++) {
        v16 sum = multiply_add(all(1), last[t], first[t]);
        v16 difference = multiply_add(all(-1), last[t], first[t]);
        if (n_out == 3)
            store_part(y + ((size_t)t * 3 + 1) * ldy, difference, n_lanes);
        first[t] = sum;
        last[t] = n_out == 2 ? difference : sum;
    }
    paired_columns(w + cols / 2 * LANES, cols / 2, x + cols / 2, ldx, first, last, X);
    for (int t = 0; t < X; t++) {
        store_part(y + (size_t)t * n_out * ldy, first[t], n_lanes);
        store_part(y + ((size_t)t * n_out + n_out - 1) * ldy, last[t], n_lanes);
    }
}

static void dots_mixed(const struct column_tiles *w, size_t tile, size_t n_rows, const float *start,
                       const float *x, size_t ldx, size_t n_x, size_t n_out, float *y, size_t ldy)
{
    for (size_t r = 0; r < n_rows; r += LANES) {
        const unsigned char *at = w->data + (tile + r / LANES) * w->tile_bytes;
        size_t t = 0;
#define BLOCKS(X)                                                                                  \
    for (; t + (X) <= n_x; t += (X))                                                               \
    mixed_block((const float *)(const void *)at, w->cols, start == NULL ? NULL : start + r,        \
                x + t * ldx, ldx, n_out, y + t * n_out * ldy + r, ldy, lanes_of(n_rows - r, 0), (X))
        BLOCKS(MIXED_X);
        BLOCKS(2);
        BLOCKS(1);
#undef BLOCKS
    }
}
