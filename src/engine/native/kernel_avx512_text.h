/* SPDX-License-Identifier: Apache-2.0
 *
 * kernel_avx512_text.h - AVX-512 with VNNI: a register is the 16 lanes of kernels.h. The
 * text of the tables whose files include it and say
 *
 *   FAR_AHEAD   bytes: so far before one row of activations reads weights, the second
 *               cache is asked for them; 0: never
 *
 * One row of activations (decoding) is bound by memory: four matrix rows are read
 * side by side. Many rows (prefill, batches, convolutions) are bound by arithmetic:
 * tiles of 4 matrix rows and 6 activation rows in 24 registers, over stretches of
 * columns that stay in the first cache. */
#include <immintrin.h>

#include "engine/native/kernel_math.h"

enum {
    TILE_ROWS = 4,
    TILE_X = 6,
    MOST_FEW = 8, /* rows of x that are multiplied four at a time */
    STRETCH = 1024,       /* columns: 4 rows of them are 16 KiB */
    STRETCH_ROOM = STRETCH + LANES, /* rows apart by no power of two: other cache sets */
    X_BLOCK_BYTES = 1 << 19 /* activations that stay in the second cache */
};

static inline float fold_zmm(__m512 v)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}

enum { CACHE_LINE = 64 };

__attribute__((always_inline)) static inline void ask_ahead(const void *at, size_t n)
{
    for (size_t b = 0; FAR_AHEAD > 0 && b < n; b += CACHE_LINE)
        _mm_prefetch((const char *)at + FAR_AHEAD + b, _MM_HINT_T1);
}

/* 16 weights from element i on; fewer if the mask says so. */
static inline __m512 load_f32(const float *w, size_t i, __mmask16 mask)
{
    return _mm512_maskz_loadu_ps(mask, w + i);
}
static inline __m512 load_bf16(const uint16_t *w, size_t i, __mmask16 mask)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, w + i));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
static inline __m512 load_f16(const uint16_t *w, size_t i, __mmask16 mask)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, w + i));
}

static inline __mmask16 mask_of(size_t n)
{
    return n >= LANES ? 0xffff : (__mmask16)((1u << n) - 1);
}

/* lanes += the next n columns of R rows times X rows; constants R and X make the
 * arrays registers. */
__attribute__((always_inline)) static inline void tile_f32(const float *w, size_t ldw, size_t n,
                                                           const float *x, size_t ldx,
                                                           const int R, const int X,
                                                           float (*lanes)[TILE_X][LANES])
{
    __m512 sums[TILE_ROWS][TILE_X];
    for (int r = 0; r < R; r++)
        for (int t = 0; t < X; t++)
            sums[r][t] = _mm512_loadu_ps(lanes[r][t]);
    size_t c = 0;
    for (; c + LANES <= n; c += LANES) {
        __m512 rows[TILE_ROWS];
        for (int r = 0; r < R; r++)
            rows[r] = _mm512_loadu_ps(w + (size_t)r * ldw + c);
        for (int t = 0; t < X; t++) {
            __m512 in = _mm512_loadu_ps(x + (size_t)t * ldx + c);
            for (int r = 0; r < R; r++)
                sums[r][t] = _mm512_fmadd_ps(rows[r], in, sums[r][t]);
        }
    }
    if (c < n) {
        __mmask16 mask = mask_of(n - c);
        for (int t = 0; t < X; t++) {
            __m512 in = _mm512_maskz_loadu_ps(mask, x + (size_t)t * ldx + c);
            for (int r = 0; r < R; r++)
                sums[r][t] = _mm512_fmadd_ps(
                    _mm512_maskz_loadu_ps(mask, w + (size_t)r * ldw + c), in, sums[r][t]);
        }
    }
    for (int r = 0; r < R; r++)
        for (int t = 0; t < X; t++)
            _mm512_storeu_ps(lanes[r][t], sums[r][t]);
}

static void tile_any(const float *w, size_t ldw, size_t n, const float *x, size_t ldx, int R,
                     int X, float (*lanes)[TILE_X][LANES])
{
    if (R == TILE_ROWS && X == TILE_X) {
        tile_f32(w, ldw, n, x, ldx, TILE_ROWS, TILE_X, lanes);
        return;
    }
    for (int r = 0; r < R; r++) /* edges */
        switch (X) {
        case 6:
            tile_f32(w + (size_t)r * ldw, ldw, n, x, ldx, 1, 6, lanes + r);
            break;
        default:
            for (int t = 0; t < X; t++)
                tile_f32(w + (size_t)r * ldw, ldw, n, x + (size_t)t * ldx, ldx, 1, 1,
                         (float(*)[TILE_X][LANES])&lanes[r][t]);
        }
}

/* dots_NAME for one type of weight: few rows of x straight from the weights, many
 * through a widened copy of each stretch. A row begins row_step after the one before,
 * 16 columns chunk_step. */
#define DEFINE_DOTS(name, type, load)                                                              \
    __attribute__((always_inline)) static inline void name##_few(                                  \
        const type *w, size_t row_step, size_t chunk_step, size_t cols, const float *x,            \
        size_t ldx, const int R, const int X, float *y, size_t ldy)                                \
    {                                                                                              \
        __m512 sums[TILE_ROWS][4];                                                                 \
        for (int r = 0; r < R; r++)                                                                \
            for (int t = 0; t < X; t++)                                                            \
                sums[r][t] = _mm512_setzero_ps();                                                  \
        size_t c = 0;                                                                              \
        for (; c + LANES <= cols; c += LANES, w += chunk_step) {                                   \
            __m512 rows[TILE_ROWS];                                                                \
            ask_ahead(w, (size_t)R * LANES * sizeof *w);                                           \
            for (int r = 0; r < R; r++)                                                            \
                rows[r] = load(w, (size_t)r * row_step, 0xffff);                                   \
            for (int t = 0; t < X; t++) {                                                          \
                __m512 in = _mm512_loadu_ps(x + (size_t)t * ldx + c);                              \
                for (int r = 0; r < R; r++)                                                        \
                    sums[r][t] = _mm512_fmadd_ps(rows[r], in, sums[r][t]);                         \
            }                                                                                      \
        }                                                                                          \
        if (c < cols) {                                                                            \
            __mmask16 mask = mask_of(cols - c);                                                    \
            for (int t = 0; t < X; t++) {                                                          \
                __m512 in = _mm512_maskz_loadu_ps(mask, x + (size_t)t * ldx + c);                  \
                for (int r = 0; r < R; r++)                                                        \
                    sums[r][t] = _mm512_fmadd_ps(load(w, (size_t)r * row_step, mask), in,          \
                                                 sums[r][t]);                                      \
            }                                                                                      \
        }                                                                                          \
        for (int r = 0; r < R; r++)                                                                \
            for (int t = 0; t < X; t++)                                                            \
                y[(size_t)t * ldy + (size_t)r] = fold_zmm(sums[r][t]);                             \
    }                                                                                              \
                                                                                                   \
    static void name##_many(const type *w, size_t row_step, size_t chunk_step, int n_rows,         \
                            size_t cols, const float *x, size_t ldx, size_t n_x, float *y,         \
                            size_t ldy)                                                            \
    {                                                                                              \
        enum { MOST = 32 };                                                                        \
        float lanes[MOST][TILE_ROWS][TILE_X][LANES], stretch[TILE_ROWS][STRETCH_ROOM];                  \
        size_t n_tiles = (n_x + TILE_X - 1) / TILE_X;                                              \
        memset(lanes, 0, n_tiles * sizeof lanes[0]);                                               \
        for (size_t from = 0; from < cols; from += STRETCH) {                                      \
            size_t n = cols - from < STRETCH ? cols - from : STRETCH;                              \
            for (int r = 0; r < n_rows; r++)                                                       \
                for (size_t c = 0; c < n; c += LANES) {                                            \
                    __mmask16 mask = mask_of(n - c);                                               \
                    _mm512_mask_storeu_ps(stretch[r] + c, mask,                                    \
                                          load(w, (size_t)r * row_step +                           \
                                                      (from + c) / LANES * chunk_step, mask));     \
                }                                                                                  \
            for (size_t i = 0; i < n_tiles; i++) {                                                 \
                size_t t = i * TILE_X;                                                             \
                int X = n_x - t < TILE_X ? (int)(n_x - t) : TILE_X;                                \
                tile_any(stretch[0], STRETCH_ROOM, n, x + t * ldx + from, ldx, n_rows, X, lanes[i]);    \
            }                                                                                      \
        }                                                                                          \
        for (size_t t = 0; t < n_x; t++)                                                           \
            for (int r = 0; r < n_rows; r++)                                                       \
                y[t * ldy + (size_t)r] =                                                           \
                    fold_zmm(_mm512_loadu_ps(lanes[t / TILE_X][r][t % TILE_X]));                   \
    }                                                                                              \
                                                                                                   \
    static void name(const type *w, size_t by, size_t n_rows, size_t cols, const float *x,         \
                     size_t ldx, size_t n_x, float *y, size_t ldy)                                 \
    {                                                                                              \
        size_t row_step = by == CSM_ROW_BY_ROW ? cols : LANES, step = LANES * by, r = 0;           \
        if (n_x > MOST_FEW) {                                                                      \
            size_t most = X_BLOCK_BYTES / (cols * sizeof(float) + 1) / TILE_X * TILE_X;            \
            most = most < TILE_X ? TILE_X : (most > 32 * TILE_X ? 32 * TILE_X : most);             \
            for (size_t t = 0; t < n_x; t += most)                                                 \
                for (r = 0; r < n_rows; r += TILE_ROWS)                                            \
                    name##_many(w + csm_row_at(by, r, cols), row_step, step,                       \
                                n_rows - r < TILE_ROWS ? (int)(n_rows - r) : TILE_ROWS, cols,      \
                                x + t * ldx, ldx, n_x - t < most ? n_x - t : most,                 \
                                y + t * ldy + r, ldy);                                             \
            return;                                                                                \
        }                                                                                          \
        for (; r + TILE_ROWS <= n_rows; r += TILE_ROWS) {                                          \
            const type *rows = w + csm_row_at(by, r, cols);                                        \
            for (size_t t = 0; t < n_x; t += 4) {                                                  \
                const float *in = x + t * ldx;                                                     \
                float *out = y + t * ldy + r;                                                      \
                switch (n_x - t) {                                                                 \
                case 1:                                                                            \
                    name##_few(rows, row_step, step, cols, in, ldx, TILE_ROWS, 1, out, ldy);       \
                    break;                                                                         \
                case 2:                                                                            \
                    name##_few(rows, row_step, step, cols, in, ldx, TILE_ROWS, 2, out, ldy);       \
                    break;                                                                         \
                case 3:                                                                            \
                    name##_few(rows, row_step, step, cols, in, ldx, TILE_ROWS, 3, out, ldy);       \
                    break;                                                                         \
                default:                                                                           \
                    name##_few(rows, row_step, step, cols, in, ldx, TILE_ROWS, 4, out, ldy);       \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
        for (; r < n_rows; r++)                                                                    \
            for (size_t t = 0; t < n_x; t++)                                                       \
                name##_few(w + csm_row_at(by, r, cols), row_step, step, cols, x + t * ldx, ldx, 1, \
                           1, y + t * ldy + r, ldy);                                               \
    }
DEFINE_DOTS(dots_f32, float, load_f32)
DEFINE_DOTS(dots_bf16, uint16_t, load_bf16)
DEFINE_DOTS(dots_f16, uint16_t, load_f16)

/* ---- affine ------------------------------------------------------------- */

static inline __m512 load_scales(const unsigned char *at, bool is_wide)
{
    if (is_wide)
        return _mm512_loadu_ps((const float *)(const void *)at);
    __m256i half = _mm256_loadu_si256((const __m256i *)(const void *)at);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

static inline __m512i four_digits(const int8_t *digits)
{
    int32_t four;
    memcpy(&four, digits, sizeof four);
    return _mm512_set1_epi32(four);
}

/* What the two planes' sums of a group add to acc. */
static inline __m512 add_affine(__m512 acc, __m512i total, float step, float sum, __m512 scales,
                                __m512 biases)
{
    __m512 dot = _mm512_mul_ps(_mm512_cvtepi32_ps(total), _mm512_set1_ps(step));
    acc = _mm512_fmadd_ps(scales, dot, acc);
    return _mm512_fmadd_ps(biases, _mm512_set1_ps(sum), acc);
}
static inline __m512 add_e2m1(__m512 acc, __m512i total, float step, float sum, __m512 scales)
{
    __m512 dot = _mm512_fmadd_ps(_mm512_cvtepi32_ps(total), _mm512_set1_ps(0.5f * step),
                                 _mm512_set1_ps(-6.0f * sum));
    return _mm512_fmadd_ps(scales, dot, acc);
}

/* 16 bytes e4m3 over 256, 16 bytes e8m0 (fp_blocks.h). */
static inline __m512 load_e4m3(const unsigned char *at)
{
    __m256i bytes = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)at));
    __m256i halves = _mm256_slli_epi16(bytes, 7); /* the sign is in two places */
    return _mm512_cvtph_ps(_mm256_and_si256(halves, _mm256_set1_epi16((short)0xbf80)));
}
static inline __m512 load_e8m0(const unsigned char *at)
{
    __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)at));
    return _mm512_castsi512_ps(
        _mm512_max_epu32(_mm512_slli_epi32(bytes, 23), _mm512_set1_epi32(0x00400000)));
}

/* Place q of a plane (kernels.h): four columns, their bits from bit `to` on. */
__attribute__((always_inline)) static inline __m512i of_plane(const unsigned char *plane, int bits,
                                                              size_t q, int to)
{
    const size_t n = 8 / (size_t)bits;
    const int from = bits * (int)(q % n);
    __m512i all_of_it = _mm512_loadu_si512(plane + q / n * 64);
    if (bits == 8)
        return all_of_it;
    if (from > to)
        all_of_it = _mm512_srli_epi16(all_of_it, (unsigned)(from - to));
    else if (from < to)
        all_of_it = _mm512_slli_epi16(all_of_it, (unsigned)(to - from));
    return _mm512_and_si512(all_of_it, _mm512_set1_epi8((char)(((1 << bits) - 1) << to)));
}

/* Codes of columns 4 * q .. 4 * q + 3 of a group, or the numbers of e2m1; second: the second
 * plane, where there is one. */
__attribute__((always_inline)) static inline __m512i
load_codes(const unsigned char *block, const unsigned char *second, const int bits,
           const bool is_e2m1, size_t q)
{
    const int first = csm_first_plane(bits);
    __m512i codes = of_plane(block, first, q, 0);
    if (first < bits)
        codes = _mm512_or_si512(codes, of_plane(second, bits - first, q, first));
    if (is_e2m1)
        codes = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128(
                                        (const __m128i *)(const void *)csm_e2m1_numbers)),
                                    codes);
    return codes;
}

enum { AFFINE_X = 4 };

/* Eight columns of X rows of x: columns 8 * j .. 8 * j + 7 from `block` on. */
__attribute__((always_inline)) static inline void
add_columns(const unsigned char *block, const unsigned char *second, const int bits,
            const bool is_e2m1, const size_t j, const int8_t *digits, size_t x_bytes, const int X,
            __m512i sums[AFFINE_X][CSM_PLANES], __m512i more[AFFINE_X][CSM_PLANES])
{
    const bool is_split = X < AFFINE_X;
    __m512i low = load_codes(block, second, bits, is_e2m1, 2 * j);
    __m512i high = load_codes(block, second, bits, is_e2m1, 2 * j + 1);
    for (int t = 0; t < X; t++)
        for (int p = 0; p < CSM_PLANES; p++) {
            const int8_t *d = digits + (size_t)t * x_bytes + 8 * CSM_PLANES * j + 8 * (size_t)p;
            sums[t][p] = _mm512_dpbusd_epi32(sums[t][p], low, four_digits(d));
            if (is_split)
                more[t][p] = _mm512_dpbusd_epi32(more[t][p], high, four_digits(d + 4));
            else
                sums[t][p] = _mm512_dpbusd_epi32(sums[t][p], high, four_digits(d + 4));
        }
}

/* X rows of x times the 16 rows of a tile. Eight sums hide each other's latency. Beside
 * each block, n_ahead bytes from `ahead` on are asked for, where the processor's own
 * prefetching keeps up with one row of x; where it does not, what lies FAR_AHEAD, by the
 * first pass over a tile. */
__attribute__((always_inline)) static inline void
tile_affine(const struct affine_tiles *w, const unsigned char *tile, const struct digits *x,
            const int bits, const enum csm_weight_format format, const size_t columns, const int X,
            const unsigned char *ahead, size_t n_ahead, bool is_first, __m512 accs[AFFINE_X])
{
    const bool is_split = X < AFFINE_X, is_e2m1 = format != CSM_WEIGHT_AFFINE;
    const size_t group = (size_t)w->group, code_bytes = csm_code_bytes(bits, w->group);
    const size_t bytes = w->wide_scales ? 64 : 32, x_bytes = w->n_groups * CSM_PLANES * group;
    const size_t first_bytes = csm_code_bytes(csm_first_plane(bits), CSM_PLANE_COLUMNS);
    const unsigned char *block = tile, *scales_at = tile;
    const int8_t *digits = x->planes;
    for (int t = 0; t < X; t++)
        accs[t] = _mm512_setzero_ps();
    for (size_t g = 0; g < w->n_groups; g++) {
        __m512i sums[AFFINE_X][CSM_PLANES], more[AFFINE_X][CSM_PLANES];
        for (int t = 0; t < X; t++)
            for (int p = 0; p < CSM_PLANES; p++)
                sums[t][p] = more[t][p] = _mm512_setzero_si512();
        if (is_e2m1 && g % CSM_SCALED_TOGETHER == 0) {
            scales_at = block;
            block += CSM_SCALES_TOGETHER;
        }
        const unsigned char *first = block;
        for (size_t c = 0; c < group; c += columns) {
            const unsigned char *second = first + first_bytes;
            add_columns(first, second, bits, is_e2m1, 0, digits, x_bytes, X, sums, more);
            add_columns(first, second, bits, is_e2m1, 1, digits, x_bytes, X, sums, more);
            if (columns == CSM_PLANE_COLUMNS) {
                add_columns(first, second, bits, is_e2m1, 2, digits, x_bytes, X, sums, more);
                add_columns(first, second, bits, is_e2m1, 3, digits, x_bytes, X, sums, more);
            }
            first += csm_code_bytes(bits, (int)columns);
            digits += CSM_PLANES * columns;
        }
        __m512 scales, biases = _mm512_setzero_ps();
        if (!is_e2m1) {
            scales = load_scales(block + code_bytes, w->wide_scales);
            biases = load_scales(block + code_bytes + bytes, w->wide_scales);
        } else {
            scales = format == CSM_WEIGHT_MXFP4
                         ? load_e8m0(scales_at)
                         : _mm512_mul_ps(load_e4m3(scales_at), _mm512_set1_ps(256));
        }
        for (int t = 0; t < X; t++) {
            for (int p = 0; is_split && p < CSM_PLANES; p++)
                sums[t][p] = _mm512_add_epi32(sums[t][p], more[t][p]);
            size_t at = (size_t)t * w->n_groups + g;
            __m512i total = _mm512_add_epi32(sums[t][0], _mm512_slli_epi32(sums[t][1], 8));
            accs[t] = is_e2m1
                          ? add_e2m1(accs[t], total, x->steps[at], x->sums[at], scales)
                          : add_affine(accs[t], total, x->steps[at], x->sums[at], scales, biases);
        }
        if (X == 1 || is_first)
            ask_ahead(block, w->block_bytes);
        for (size_t b = 0; FAR_AHEAD == 0 && X > 1 && b < n_ahead; b += CACHE_LINE)
            _mm_prefetch((const char *)ahead + b, _MM_HINT_T1);
        ahead += n_ahead;
        block += w->block_bytes;
        scales_at += CSM_TILE;
    }
}

/* All rows of x, in blocks of constant size; of n_lanes rows of a tile. */
__attribute__((always_inline)) static inline void
rows_affine(const struct affine_tiles *w, const unsigned char *tile, size_t n_lanes,
            const struct digits *x, size_t n_x, const int bits,
            const enum csm_weight_format format, const size_t columns, float *y, size_t ldy)
{
    /* Each pass over a tile asks for its share of the next one. */
    const size_t n_passes = (n_x + AFFINE_X - 1) / AFFINE_X;
    const size_t n_ahead = (w->block_bytes / n_passes + 63) / 64 * 64;
    const unsigned char *ahead = tile + w->tile_bytes;
    for (size_t t = 0; t < n_x; t += AFFINE_X, ahead += n_ahead * w->n_groups) {
        __m512 accs[AFFINE_X];
        const size_t n = n_x - t < AFFINE_X ? n_x - t : AFFINE_X, at = t * w->n_groups;
        const struct digits part = {x->planes + at * CSM_PLANES * (size_t)w->group, x->steps + at,
                                    x->sums + at, false};
        switch (n) {
        case 1:
            tile_affine(w, tile, &part, bits, format, columns, 1, ahead, n_ahead, t == 0, accs);
            break;
        case 2:
            tile_affine(w, tile, &part, bits, format, columns, 2, ahead, n_ahead, t == 0, accs);
            break;
        case 3:
            tile_affine(w, tile, &part, bits, format, columns, 3, ahead, n_ahead, t == 0, accs);
            break;
        default:
            tile_affine(w, tile, &part, bits, format, columns, AFFINE_X, ahead, n_ahead, t == 0,
                        accs);
        }
        for (size_t i = 0; i < n; i++)
            _mm512_mask_storeu_ps(y + (t + i) * ldy, mask_of(n_lanes), accs[i]);
    }
}

/* A function for each format, so that its bits are constants. */
#define DEFINE_ROWS(name, bits, format, columns)                                                   \
    static void name(const struct affine_tiles *w, const unsigned char *tile, size_t n_lanes,      \
                     const struct digits *x, size_t n_x, float *y, size_t ldy)                     \
    {                                                                                              \
        rows_affine(w, tile, n_lanes, x, n_x, bits, format, columns, y, ldy);                      \
    }

#include "engine/native/kernel_affine_text.h"

/* ---- column tiles ------------------------------------------------------- */

typedef __m512 v16;

static inline v16 all(float x)
{
    return _mm512_set1_ps(x);
}
static inline v16 load_part(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(mask_of(n), p);
}
static inline void store_part(float *p, v16 v, size_t n)
{
    _mm512_mask_storeu_ps(p, mask_of(n), v);
}
static inline v16 load_whole(const float *p)
{
    return _mm512_loadu_ps(p);
}
static inline v16 times(v16 a, v16 b)
{
    return _mm512_mul_ps(a, b);
}
static inline v16 multiply_add(v16 a, v16 b, v16 sum)
{
    return _mm512_fmadd_ps(a, b, sum);
}

typedef __m512i low_bits; /* a byte in each word */

static inline low_bits load_low(const uint8_t *low)
{
    return _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)low));
}
static inline void two_codes(const uint16_t *high, low_bits low, int p, v16 out[2])
{
    __m512i upper = _mm512_loadu_si512(high);
    low = _mm512_slli_epi16(low, (unsigned)(14 - 2 * p));
    low = _mm512_and_si512(low, _mm512_set1_epi16((short)0xc000));
    out[0] = _mm512_cvtepi32_ps(_mm512_unpacklo_epi16(low, upper));
    out[1] = _mm512_cvtepi32_ps(_mm512_unpackhi_epi16(low, upper));
}

enum { TILES = 2, TILES_X = 12, MIXED_X = 8, E4M3_X = 8 };
#include "engine/native/kernel_attend_text.h"
#include "engine/native/kernel_e4m3_text.h"
#include "engine/native/kernel_tiles_text.h"

static uint64_t touch_zmm(const void *bytes, size_t n)
{
    const unsigned char *at = bytes;
    __m512i sums[8];
    for (int i = 0; i < 8; i++)
        sums[i] = _mm512_setzero_si512();
    for (size_t b = 0; b < n; b += 512) {
        ask_ahead(at + b, 512);
        for (int i = 0; i < 8; i++)
            sums[i] = _mm512_xor_si512(sums[i], _mm512_loadu_si512(at + b + 64 * i));
    }
    for (int i = 1; i < 8; i++)
        sums[0] = _mm512_xor_si512(sums[0], sums[i]);
    return (uint64_t)_mm512_reduce_add_epi64(sums[0]);
}

#define TABLE(of)                                                                                  \
    .name = of, .dots_f32 = dots_f32, .dots_bf16 = dots_bf16, .dots_f16 = dots_f16,                \
    .dots_e4m3 = dots_e4m3, .dots_tiles = dots_tiles, .dots_mixed = dots_mixed, .mix = mix,        \
    .to_digits = to_digits, .norm_rms = norm_rms, .norm_layer = norm_layer, .attend = attend_fast, \
    .silu_times = silu_times, .gelu = gelu, .elu = elu, .touch = touch_zmm
