/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels_avx2.c - AVX2 with FMA and F16C: the 16 lanes of kernels.h are two
 * registers. Tiles of 2 matrix rows and 3 activation rows fill 12 of 16, of 4 and 1
 * when decoding 8. */
#include <immintrin.h>

#include "engine/native/kernel_math.h"

enum { TILE_ROWS = 4, TILE_X = 3 };

struct v16 {
    __m256 low, high;
};

static inline float fold_v16(struct v16 v)
{
    __m256 a = _mm256_add_ps(v.low, v.high);
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}

static inline struct v16 load_f32(const float *w)
{
    return (struct v16){_mm256_loadu_ps(w), _mm256_loadu_ps(w + 8)};
}
static inline __m256 widen_bf16(const uint16_t *w)
{
    __m128i half = _mm_loadu_si128((const __m128i *)(const void *)w);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}
static inline struct v16 load_bf16(const uint16_t *w)
{
    return (struct v16){widen_bf16(w), widen_bf16(w + 8)};
}
static inline __m256 widen_f16(const uint16_t *w)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)w));
}
static inline struct v16 load_f16(const uint16_t *w)
{
    return (struct v16){widen_f16(w), widen_f16(w + 8)};
}

static inline struct v16 all(float x)
{
    return (struct v16){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}

static inline struct v16 multiply_add(struct v16 a, struct v16 b, struct v16 sum)
{
    return (struct v16){_mm256_fmadd_ps(a.low, b.low, sum.low),
                        _mm256_fmadd_ps(a.high, b.high, sum.high)};
}

static inline struct v16 times(struct v16 a, struct v16 b)
{
    return (struct v16){_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}

/* Columns [0, cols) of R rows times X rows; the last cols % 16 are padded with zeros
 * in a copy, which adds nothing to any lane. A row begins row_step after the one before,
 * 16 columns chunk_step. */
#define DEFINE_DOTS(name, type, load)                                                              \
    __attribute__((always_inline)) static inline void name##_tile(                                 \
        const type *w, size_t row_step, size_t chunk_step, size_t cols, const float *x,            \
        size_t ldx, const int R, const int X, float *y, size_t ldy)                                \
    {                                                                                              \
        struct v16 sums[TILE_ROWS][TILE_X];                                                        \
        for (int r = 0; r < R; r++)                                                                \
            for (int t = 0; t < X; t++)                                                            \
                sums[r][t] = all(0);                                                               \
        size_t c = 0;                                                                              \
        for (; c + LANES <= cols; c += LANES, w += chunk_step)                                     \
            for (int r = 0; r < R; r++) {                                                          \
                struct v16 row = load(w + (size_t)r * row_step);                                   \
                for (int t = 0; t < X; t++)                                                        \
                    sums[r][t] =                                                                   \
                        multiply_add(row, load_f32(x + (size_t)t * ldx + c), sums[r][t]);          \
            }                                                                                      \
        if (c < cols) {                                                                            \
            type last[LANES] = {0};                                                                \
            float last_x[TILE_X][LANES] = {{0}};                                                   \
            for (int t = 0; t < X; t++)                                                            \
                memcpy(last_x[t], x + (size_t)t * ldx + c, (cols - c) * sizeof *x);                \
            for (int r = 0; r < R; r++) {                                                          \
                memcpy(last, w + (size_t)r * row_step, (cols - c) * sizeof *w);                    \
                for (int t = 0; t < X; t++)                                                        \
                    sums[r][t] = multiply_add(load(last), load_f32(last_x[t]), sums[r][t]);        \
            }                                                                                      \
        }                                                                                          \
        for (int r = 0; r < R; r++)                                                                \
            for (int t = 0; t < X; t++)                                                            \
                y[(size_t)t * ldy + (size_t)r] = fold_v16(sums[r][t]);                             \
    }                                                                                              \
                                                                                                   \
    static void name(const type *w, size_t by, size_t n_rows, size_t cols, const float *x,         \
                     size_t ldx, size_t n_x, float *y, size_t ldy)                                 \
    {                                                                                              \
        size_t row_step = by == CSM_ROW_BY_ROW ? cols : LANES, step = LANES * by, many;            \
        for (size_t r = 0; r < n_rows; r += many) {                                                \
            many = n_x == 1 && r + 4 <= n_rows ? 4 : (r + 2 <= n_rows ? 2 : 1);                    \
            const type *rows = w + csm_row_at(by, r, cols);                                        \
            size_t t = 0;                                                                          \
            for (; many == 2 && t + TILE_X <= n_x; t += TILE_X)                                    \
                name##_tile(rows, row_step, step, cols, x + t * ldx, ldx, 2, TILE_X,               \
                            y + t * ldy + r, ldy);                                                 \
            for (; t < n_x; t++) {                                                                 \
                const float *in = x + t * ldx;                                                     \
                float *out = y + t * ldy + r;                                                      \
                if (many == 4)                                                                     \
                    name##_tile(rows, row_step, step, cols, in, ldx, 4, 1, out, ldy);              \
                else if (many == 2)                                                                \
                    name##_tile(rows, row_step, step, cols, in, ldx, 2, 1, out, ldy);              \
                else                                                                               \
                    name##_tile(rows, row_step, step, cols, in, ldx, 1, 1, out, ldy);              \
            }                                                                                      \
        }                                                                                          \
    }
DEFINE_DOTS(dots_f32, float, load_f32)
DEFINE_DOTS(dots_bf16, uint16_t, load_bf16)
DEFINE_DOTS(dots_f16, uint16_t, load_f16)

/* ---- affine ------------------------------------------------------------- */

static inline struct v16 load_scales(const unsigned char *at, bool is_wide)
{
    if (is_wide)
        return load_f32((const float *)(const void *)at);
    return load_bf16((const uint16_t *)(const void *)at);
}

static inline __m256i four_digits(const int8_t *digits)
{
    int32_t four;
    memcpy(&four, digits, sizeof four);
    return _mm256_set1_epi32(four);
}

static inline struct v16 float_of(const __m256i sums[2])
{
    return (struct v16){_mm256_cvtepi32_ps(sums[0]), _mm256_cvtepi32_ps(sums[1])};
}

/* 16 bytes e4m3 over 256, 16 bytes e8m0 (fp_blocks.h). */
static inline struct v16 load_e4m3(const unsigned char *at)
{
    __m256i bytes = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)at));
    __m256i halves = _mm256_slli_epi16(bytes, 7); /* the sign is in two places */
    halves = _mm256_and_si256(halves, _mm256_set1_epi16((short)0xbf80));
    return (struct v16){_mm256_cvtph_ps(_mm256_castsi256_si128(halves)),
                        _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1))};
}
static inline __m256 eight_e8m0(const unsigned char *at)
{
    __m256i bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)at));
    return _mm256_castsi256_ps(
        _mm256_max_epu32(_mm256_slli_epi32(bytes, 23), _mm256_set1_epi32(0x00400000)));
}
static inline struct v16 load_e8m0(const unsigned char *at)
{
    return (struct v16){eight_e8m0(at), eight_e8m0(at + 8)};
}

/* Place q of a plane (kernels.h): four columns of 8 rows, their bits from bit `to` on. */
__attribute__((always_inline)) static inline __m256i of_plane(const unsigned char *plane, int bits,
                                                              size_t q, int half, int to)
{
    const size_t n = 8 / (size_t)bits;
    const int from = bits * (int)(q % n);
    __m256i all_of_it =
        _mm256_loadu_si256((const __m256i *)(const void *)(plane + q / n * 64) + half);
    if (bits == 8)
        return all_of_it;
    if (from > to)
        all_of_it = _mm256_srli_epi16(all_of_it, from - to);
    else if (from < to)
        all_of_it = _mm256_slli_epi16(all_of_it, to - from);
    return _mm256_and_si256(all_of_it, _mm256_set1_epi8((char)(((1 << bits) - 1) << to)));
}

/* Codes of columns 4 * q .. 4 * q + 3 of a group, or the numbers of e2m1, of 8 rows. */
__attribute__((always_inline)) static inline __m256i
load_codes(const unsigned char *block, const unsigned char *second, const int bits,
           const bool is_e2m1, size_t q, int half)
{
    const int first = csm_first_plane(bits);
    __m256i codes = of_plane(block, first, q, half, 0);
    if (first < bits)
        codes = _mm256_or_si256(codes, of_plane(second, bits - first, q, half, first));
    if (is_e2m1)
        codes = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(
                                        (const __m128i *)(const void *)csm_e2m1_numbers)),
                                    codes);
    return codes;
}

/* Of 8 columns four products in each 16 bits, codes below 64. */
static inline __m256i products(__m256i first, __m256i second, __m256i d0, __m256i d1)
{
    return _mm256_add_epi16(_mm256_maddubs_epi16(first, d0), _mm256_maddubs_epi16(second, d1));
}

/* sum + 16-bit sums, times a power of two that 16 bits hold. */
static inline __m256i widen(__m256i sum, __m256i low, short times)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(low, _mm256_set1_epi16(times)));
}

enum { AFFINE_X = 2 }; /* rows of x for which codes are unpacked once */

/* Columns 8 * j .. 8 * j + 7, 8 rows of them, times X rows of x. 16 bits hold the sums of as many
 * columns as give products of 32767 at most, a code times -128: 32 columns of codes below 16, 16
 * of those below 32, 8 of those below 64. Of codes of 8 bits the lower and the upper halves are
 * multiplied. */
__attribute__((always_inline)) static inline void
eight_columns(const unsigned char *block, const unsigned char *second, const int bits,
              const bool is_e2m1, const size_t columns, const size_t j, const int half,
              const int8_t *digits, size_t x_bytes, const int X,
              __m256i sums[AFFINE_X][CSM_PLANES], __m256i low[AFFINE_X][CSM_PLANES],
              __m256i high[AFFINE_X][CSM_PLANES])
{
    const __m256i mask = _mm256_set1_epi8(15);
    const size_t held = /* times 8 columns */
        bits == 6 ? 1 : (bits == 5 || is_e2m1 || columns < CSM_PLANE_COLUMNS ? 2 : 4);
    __m256i first = load_codes(block, second, bits, is_e2m1, 2 * j, half), first_high = first;
    __m256i next = load_codes(block, second, bits, is_e2m1, 2 * j + 1, half), next_high = next;
    if (bits == 8) {
        first_high = _mm256_and_si256(_mm256_srli_epi16(first, 4), mask);
        next_high = _mm256_and_si256(_mm256_srli_epi16(next, 4), mask);
        first = _mm256_and_si256(first, mask);
        next = _mm256_and_si256(next, mask);
    }
    for (int t = 0; t < X; t++)
        for (int p = 0; p < CSM_PLANES; p++) {
            const int8_t *d = digits + (size_t)t * x_bytes + 8 * CSM_PLANES * j + 8 * (size_t)p;
            const __m256i d0 = four_digits(d), d1 = four_digits(d + 4);
            const __m256i zero = _mm256_setzero_si256();
            low[t][p] = _mm256_add_epi16(j % held == 0 ? zero : low[t][p],
                                         products(first, next, d0, d1));
            if (bits == 8)
                high[t][p] = _mm256_add_epi16(j % held == 0 ? zero : high[t][p],
                                              products(first_high, next_high, d0, d1));
            if (j % held == held - 1) {
                sums[t][p] = widen(sums[t][p], low[t][p], 1);
                if (bits == 8)
                    sums[t][p] = widen(sums[t][p], high[t][p], 16);
            }
        }
}

/* Rows 8 * half .. of a group times X rows of x: the sums of both planes. */
__attribute__((always_inline)) static inline void
half_group(const unsigned char *block, const int bits, const bool is_e2m1, const size_t group,
           const size_t columns, const int half, const int8_t *digits, size_t x_bytes, const int X,
           __m256i totals[AFFINE_X][2])
{
    const size_t first_bytes = csm_code_bytes(csm_first_plane(bits), CSM_PLANE_COLUMNS);
    __m256i sums[AFFINE_X][CSM_PLANES], low[AFFINE_X][CSM_PLANES], high[AFFINE_X][CSM_PLANES];
    for (int t = 0; t < X; t++)
        for (int p = 0; p < CSM_PLANES; p++)
            sums[t][p] = _mm256_setzero_si256();
    for (size_t c = 0; c < group; c += columns) {
#define EIGHT(j)                                                                                   \
    eight_columns(block, block + first_bytes, bits, is_e2m1, columns, j, half, digits, x_bytes, X, \
                  sums, low, high)
        EIGHT(0);
        EIGHT(1);
        if (columns == CSM_PLANE_COLUMNS) {
            EIGHT(2);
            EIGHT(3);
        }
#undef EIGHT
        block += csm_code_bytes(bits, (int)columns);
        digits += CSM_PLANES * columns;
    }
    for (int t = 0; t < X; t++)
        totals[t][half] = _mm256_add_epi32(sums[t][0], _mm256_slli_epi32(sums[t][1], 8));
}

/* X rows of x times the n_lanes rows of a tile. */
__attribute__((always_inline)) static inline void
tile_rows(const struct affine_tiles *w, const unsigned char *tile, size_t n_lanes,
          const int8_t *digits, const float *steps, const float *x_sums, const int bits,
          const enum csm_weight_format format, const size_t columns, const int X, float *y,
          size_t ldy)
{
    const bool is_e2m1 = format != CSM_WEIGHT_AFFINE;
    const size_t group = (size_t)w->group, code_bytes = csm_code_bytes(bits, w->group);
    const size_t scale_bytes = w->wide_scales ? 64 : 32, x_bytes = w->n_groups * CSM_PLANES * group;
    const unsigned char *block = tile, *scales_at = tile;
    struct v16 accs[AFFINE_X];
    for (int t = 0; t < X; t++)
        accs[t] = all(0);
    for (size_t g = 0; g < w->n_groups; g++) {
        __m256i totals[AFFINE_X][2];
        if (is_e2m1 && g % CSM_SCALED_TOGETHER == 0) {
            scales_at = block;
            block += CSM_SCALES_TOGETHER;
        }
        half_group(block, bits, is_e2m1, group, columns, 0, digits, x_bytes, X, totals);
        half_group(block, bits, is_e2m1, group, columns, 1, digits, x_bytes, X, totals);
        digits += CSM_PLANES * group;
        struct v16 scales, biases = all(0);
        if (is_e2m1) {
            scales = load_e8m0(scales_at);
            if (format == CSM_WEIGHT_NVFP4)
                scales = times(load_e4m3(scales_at), all(256));
        } else {
            scales = load_scales(block + code_bytes, w->wide_scales);
            biases = load_scales(block + code_bytes + scale_bytes, w->wide_scales);
        }
        for (int t = 0; t < X; t++) {
            const size_t at = (size_t)t * w->n_groups + g;
            struct v16 dot = float_of(totals[t]);
            if (is_e2m1) {
                dot = multiply_add(dot, all(0.5f * steps[at]), all(-6.0f * x_sums[at]));
                accs[t] = multiply_add(scales, dot, accs[t]);
            } else {
                accs[t] = multiply_add(scales, times(dot, all(steps[at])), accs[t]);
                accs[t] = multiply_add(biases, all(x_sums[at]), accs[t]);
            }
        }
        block += w->block_bytes;
        scales_at += CSM_TILE;
    }
    for (int t = 0; t < X; t++) {
        float rows[CSM_TILE];
        _mm256_storeu_ps(rows, accs[t].low);
        _mm256_storeu_ps(rows + 8, accs[t].high);
        memcpy(y + (size_t)t * ldy, rows, n_lanes * sizeof *rows);
    }
}

/* A function for each format, so that its bits are constants. */
#define DEFINE_ROWS(name, bits, format, columns)                                                   \
    static void name(const struct affine_tiles *w, const unsigned char *tile, size_t n_lanes,      \
                     const struct digits *x, size_t n_x, float *y, size_t ldy)                     \
    {                                                                                              \
        for (size_t t = 0, n; t < n_x; t += n) {                                                   \
            const size_t at = t * w->n_groups;                                                     \
            const int8_t *digits = x->planes + at * CSM_PLANES * (size_t)w->group;                 \
            const float *steps = x->steps + at, *sums = x->sums + at;                              \
            float *to = y + t * ldy;                                                               \
            n = n_x - t < AFFINE_X ? 1 : AFFINE_X;                                                 \
            if (n == 1)                                                                            \
                tile_rows(w, tile, n_lanes, digits, steps, sums, bits, format, columns, 1, to,     \
                          ldy);                                                                    \
            else                                                                                   \
                tile_rows(w, tile, n_lanes, digits, steps, sums, bits, format, columns, AFFINE_X,  \
                          to, ldy);                                                                \
        }                                                                                          \
    }

#include "engine/native/kernel_affine_text.h"

/* ---- column tiles ------------------------------------------------------- */

typedef struct v16 v16;

static inline v16 load_part(const float *p, size_t n)
{
    float lanes[LANES] = {0};
    if (n == LANES)
        return load_f32(p);
    memcpy(lanes, p, n * sizeof *p);
    return load_f32(lanes);
}
static inline void store_part(float *p, v16 v, size_t n)
{
    float lanes[LANES];
    float *to = n == LANES ? p : lanes;
    _mm256_storeu_ps(to, v.low);
    _mm256_storeu_ps(to + 8, v.high);
    if (n != LANES)
        memcpy(p, lanes, n * sizeof *p);
}
static inline v16 load_whole(const float *p)
{
    return load_f32(p);
}

typedef struct {
    __m256i half[2]; /* rows 0..7, 8..15: a byte in each word */
} low_bits;

static inline low_bits load_low(const uint8_t *low)
{
    const __m128i *bytes = (const __m128i *)(const void *)low;
    return (low_bits){{_mm256_cvtepu8_epi16(_mm_loadu_si128(bytes)),
                       _mm256_cvtepu8_epi16(_mm_loadu_si128(bytes + 1))}};
}
static inline void two_codes(const uint16_t *high, low_bits low, int p, v16 out[2])
{
    const __m256i mask = _mm256_set1_epi16((short)0xc000);
    __m256 first[2], second[2];
    for (int i = 0; i < 2; i++) {
        __m256i upper = _mm256_loadu_si256((const __m256i *)(const void *)high + i);
        __m256i lower = _mm256_and_si256(_mm256_slli_epi16(low.half[i], 14 - 2 * p), mask);
        first[i] = _mm256_cvtepi32_ps(_mm256_unpacklo_epi16(lower, upper));
        second[i] = _mm256_cvtepi32_ps(_mm256_unpackhi_epi16(lower, upper));
    }
    out[0] = (v16){first[0], first[1]};
    out[1] = (v16){second[0], second[1]};
}

enum { TILES = 1, TILES_X = 6, MIXED_X = 3, E4M3_X = 3 };
#include "engine/native/kernel_attend_text.h"
#include "engine/native/kernel_e4m3_text.h"
#include "engine/native/kernel_tiles_text.h"

const struct kernels csm_kernels_avx2 = {
    .name = "avx2",
    .dots_f32 = dots_f32,
    .dots_bf16 = dots_bf16,
    .dots_f16 = dots_f16,
    .dots_affine = dots_affine,
    .dots_e4m3 = dots_e4m3,
    .dots_tiles = dots_tiles,
    .dots_mixed = dots_mixed,
    .mix = mix,
    .to_digits = to_digits,
    .norm_rms = norm_rms,
    .norm_layer = norm_layer,
    .attend = attend_fast,
    .silu_times = silu_times,
    .gelu = gelu,
    .elu = elu,
    .touch = touch,
};
