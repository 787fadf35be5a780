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

/* Of 8 columns four products in each 16 bits, codes below 16. */
static inline __m256i products(__m256i first, __m256i second, __m256i d0, __m256i d1)
{
    return _mm256_add_epi16(_mm256_maddubs_epi16(first, d0), _mm256_maddubs_epi16(second, d1));
}

/* At most 32 columns: 16 bits hold their sums, 16 products of 15 * 128 at most. Of codes of 8
 * bits the lower and the upper halves are multiplied. */
enum { COLUMNS = 32, FEWEST_COLUMNS = 16 };

__attribute__((always_inline)) static inline void
add_columns(const unsigned char *codes, const int bits, const int columns, const int8_t *digits,
            __m256i sums[CSM_PLANES][2])
{
    const __m256i mask = _mm256_set1_epi8(15);
    for (int half = 0; half < 2; half++) { /* rows 0..7, 8..15 */
        __m256i low[CSM_PLANES], high[CSM_PLANES];
        for (int p = 0; p < CSM_PLANES; p++)
            low[p] = high[p] = _mm256_setzero_si256();
        for (int c = 0; c < columns; c += 8) {
            const __m256i *at =
                (const __m256i *)(const void *)(codes + c * CSM_TILE * bits / 8 + 32 * half);
            __m256i first = _mm256_loadu_si256(at);
            __m256i second =
                bits == 8 ? _mm256_loadu_si256(at + 2) : _mm256_srli_epi16(first, 4);
            __m256i first_low = _mm256_and_si256(first, mask);
            __m256i second_low = _mm256_and_si256(second, mask);
            __m256i first_high = _mm256_and_si256(_mm256_srli_epi16(first, 4), mask);
            __m256i second_high = _mm256_and_si256(_mm256_srli_epi16(second, 4), mask);
            for (int p = 0; p < CSM_PLANES; p++) {
                const int8_t *d = digits + CSM_PLANES * c + 8 * p;
                __m256i d0 = four_digits(d), d1 = four_digits(d + 4);
                low[p] = _mm256_add_epi16(low[p], products(first_low, second_low, d0, d1));
                if (bits == 8)
                    high[p] = _mm256_add_epi16(high[p], products(first_high, second_high, d0, d1));
            }
        }
        for (int p = 0; p < CSM_PLANES; p++) {
            __m256i sum = _mm256_madd_epi16(low[p], _mm256_set1_epi16(1));
            if (bits == 8)
                sum = _mm256_add_epi32(sum, _mm256_madd_epi16(high[p], _mm256_set1_epi16(16)));
            sums[p][half] = _mm256_add_epi32(sums[p][half], sum);
        }
    }
}

__attribute__((always_inline)) static inline struct v16
tile_row(const struct affine_tiles *w, const unsigned char *block, const int8_t *digits,
         const float *steps, const float *x_sums, const int bits)
{
    size_t group = (size_t)w->group, scales_at = group * CSM_TILE * (size_t)bits / 8;
    size_t scale_bytes = w->wide_scales ? 64 : 32;
    struct v16 acc = all(0);
    for (size_t g = 0; g < w->n_groups; g++) {
        __m256i sums[CSM_PLANES][2];
        for (int p = 0; p < CSM_PLANES; p++)
            sums[p][0] = sums[p][1] = _mm256_setzero_si256();
        if (group == FEWEST_COLUMNS)
            add_columns(block, bits, FEWEST_COLUMNS, digits, sums);
        for (size_t c = 0; c + COLUMNS <= group; c += COLUMNS)
            add_columns(block + c * CSM_TILE * (size_t)bits / 8, bits, COLUMNS,
                        digits + CSM_PLANES * c, sums);
        for (int half = 0; half < 2; half++)
            sums[0][half] =
                _mm256_add_epi32(sums[0][half], _mm256_slli_epi32(sums[1][half], 8));
        struct v16 dot = float_of(sums[0]), step = all(steps[g]);
        dot = (struct v16){_mm256_mul_ps(dot.low, step.low), _mm256_mul_ps(dot.high, step.high)};
        acc = multiply_add(load_scales(block + scales_at, w->wide_scales), dot, acc);
        acc = multiply_add(load_scales(block + scales_at + scale_bytes, w->wide_scales),
                           all(x_sums[g]), acc);
        block += w->block_bytes;
        digits += CSM_PLANES * group;
    }
    return acc;
}

static void dots_affine(const struct affine_tiles *w, size_t tile, size_t n_rows,
                        const struct digits *x, size_t n_x, float *y, size_t ldy)
{
    size_t tile_bytes = w->n_groups * w->block_bytes;
    const unsigned char *block = w->data + tile * tile_bytes;
    for (size_t r = 0; r < n_rows; r += CSM_TILE, block += tile_bytes)
        for (size_t t = 0; t < n_x; t++) {
            size_t at = t * w->n_groups;
            const int8_t *digits = x->planes + at * CSM_PLANES * (size_t)w->group;
            struct v16 acc =
                w->bits == 8 ? tile_row(w, block, digits, x->steps + at, x->sums + at, 8)
                             : tile_row(w, block, digits, x->steps + at, x->sums + at, 4);
            float rows[CSM_TILE];
            _mm256_storeu_ps(rows, acc.low);
            _mm256_storeu_ps(rows + 8, acc.high);
            memcpy(y + t * ldy + r, rows,
                   (n_rows - r < CSM_TILE ? n_rows - r : CSM_TILE) * sizeof *rows);
        }
}

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

enum { TILES = 1, TILES_X = 6, MIXED_X = 3 };
#include "engine/native/kernel_attend_text.h"
#include "engine/native/kernel_tiles_text.h"

const struct kernels csm_kernels_avx2 = {
    .name = "avx2",
    .dots_f32 = dots_f32,
    .dots_bf16 = dots_bf16,
    .dots_f16 = dots_f16,
    .dots_affine = dots_affine,
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
