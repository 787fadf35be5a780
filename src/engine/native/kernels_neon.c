/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels_neon.c - Arm's NEON with the dot product instructions of Armv8.2: the 16
 * lanes of kernels.h are four registers. Tiles of 2 matrix rows and 2 activation
 * rows, of 4 and 1 when decoding, fill 16 of 32. */
#include <arm_neon.h>

#include "engine/native/kernel_math.h"

enum { TILE_ROWS = 4, TILE_X = 2 };

struct v16 {
    float32x4_t part[4];
};

static inline float fold_v16(struct v16 v)
{
    float32x4_t a = vaddq_f32(v.part[0], v.part[2]), b = vaddq_f32(v.part[1], v.part[3]);
    float32x4_t c = vaddq_f32(a, b);
    float32x2_t d = vadd_f32(vget_low_f32(c), vget_high_f32(c));
    return vget_lane_f32(d, 0) + vget_lane_f32(d, 1);
}

static inline struct v16 load_f32(const float *w)
{
    return (struct v16){{vld1q_f32(w), vld1q_f32(w + 4), vld1q_f32(w + 8), vld1q_f32(w + 12)}};
}
static inline struct v16 load_bf16(const uint16_t *w)
{
    struct v16 v;
    for (int i = 0; i < 4; i++)
        v.part[i] = vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(w + 4 * i), 16));
    return v;
}
static inline struct v16 load_f16(const uint16_t *w)
{
    struct v16 v;
    for (int i = 0; i < 4; i++)
        v.part[i] = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(w + 4 * i)));
    return v;
}

static inline struct v16 multiply_add(struct v16 a, struct v16 b, struct v16 sum)
{
    for (int i = 0; i < 4; i++)
        sum.part[i] = vfmaq_f32(sum.part[i], a.part[i], b.part[i]);
    return sum;
}

static inline struct v16 all(float x)
{
    float32x4_t v = vdupq_n_f32(x);
    return (struct v16){{v, v, v, v}};
}

static inline struct v16 times(struct v16 a, struct v16 b)
{
    for (int i = 0; i < 4; i++)
        a.part[i] = vmulq_f32(a.part[i], b.part[i]);
    return a;
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

static inline int8x16_t four_digits(const int8_t *digits)
{
    int32_t four;
    memcpy(&four, digits, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

/* 16 bytes e4m3 over 256, 16 bytes e8m0 (fp_blocks.h). */
static inline struct v16 load_e4m3(const unsigned char *at)
{
    const int8x16_t bytes = vreinterpretq_s8_u8(vld1q_u8(at));
    struct v16 v;
    for (int i = 0; i < 2; i++) {
        int16x8_t wide = vmovl_s8(i == 0 ? vget_low_s8(bytes) : vget_high_s8(bytes));
        uint16x8_t both = vreinterpretq_u16_s16(vshlq_n_s16(wide, 7)); /* the sign twice */
        float16x8_t halves = vreinterpretq_f16_u16(vandq_u16(both, vdupq_n_u16(0xbf80)));
        v.part[2 * i] = vcvt_f32_f16(vget_low_f16(halves));
        v.part[2 * i + 1] = vcvt_f32_f16(vget_high_f16(halves));
    }
    return v;
}
static inline struct v16 load_e8m0(const unsigned char *at)
{
    const uint8x16_t bytes = vld1q_u8(at);
    struct v16 v;
    for (int i = 0; i < 4; i++) {
        uint16x8_t wide = vmovl_u8(i < 2 ? vget_low_u8(bytes) : vget_high_u8(bytes));
        uint32x4_t code = vmovl_u16(i % 2 == 0 ? vget_low_u16(wide) : vget_high_u16(wide));
        v.part[i] = vreinterpretq_f32_u32(vmaxq_u32(vshlq_n_u32(code, 23),
                                                    vdupq_n_u32(0x00400000)));
    }
    return v;
}

/* Place q of a plane (kernels.h): four columns of rows 4 * i .. 4 * i + 3, their bits from bit
 * `to` on. */
__attribute__((always_inline)) static inline uint8x16_t of_plane(const unsigned char *plane,
                                                                 int bits, size_t q, int i, int to)
{
    const size_t n = 8 / (size_t)bits;
    const int from = bits * (int)(q % n);
    uint8x16_t all_of_it = vld1q_u8(plane + q / n * 64 + 16 * (size_t)i);
    if (bits == 8)
        return all_of_it;
    all_of_it = vshlq_u8(all_of_it, vdupq_n_s8((int8_t)(to - from)));
    return vandq_u8(all_of_it, vdupq_n_u8((uint8_t)(((1 << bits) - 1) << to)));
}

/* Dot products are of signed bytes: 8-bit codes go in less 128, and 128 times the
 * digits' sum, the same for all rows, is added to the group. */
__attribute__((always_inline)) static inline int8x16_t
load_codes(const unsigned char *block, const unsigned char *second, const int bits,
           const bool is_e2m1, size_t q, int i)
{
    const int first = csm_first_plane(bits);
    uint8x16_t codes = of_plane(block, first, q, i, 0);
    if (bits == 8)
        codes = veorq_u8(codes, vdupq_n_u8(128));
    else if (first < bits)
        codes = vorrq_u8(codes, of_plane(second, bits - first, q, i, first));
    if (is_e2m1)
        codes = vqtbl1q_u8(vld1q_u8(csm_e2m1_numbers), codes);
    return vreinterpretq_s8_u8(codes);
}

__attribute__((always_inline)) static inline struct v16
tile_row(const struct affine_tiles *w, const unsigned char *tile, const int8_t *digits,
         const float *steps, const float *x_sums, const int bits,
         const enum csm_weight_format format)
{
    const bool is_e2m1 = format != CSM_WEIGHT_AFFINE;
    const size_t group = (size_t)w->group, code_bytes = csm_code_bytes(bits, w->group);
    const size_t scale_bytes = w->wide_scales ? 64 : 32;
    const size_t first_bytes = csm_code_bytes(csm_first_plane(bits), CSM_PLANE_COLUMNS);
    const unsigned char *block = tile, *scales_at = tile;
    struct v16 acc = all(0);
    for (size_t g = 0; g < w->n_groups; g++) {
        int32x4_t sums[CSM_PLANES][4], digit_sums[CSM_PLANES];
        if (is_e2m1 && g % CSM_SCALED_TOGETHER == 0) {
            scales_at = block;
            block += CSM_SCALES_TOGETHER;
        }
        for (int p = 0; p < CSM_PLANES; p++) {
            digit_sums[p] = vdupq_n_s32(0);
            for (int i = 0; i < 4; i++)
                sums[p][i] = vdupq_n_s32(0);
        }
        for (size_t c = 0; c < group; c += 8) {
            const unsigned char *first =
                block + c / CSM_PLANE_COLUMNS * csm_code_bytes(bits, CSM_PLANE_COLUMNS);
            const size_t q = c % CSM_PLANE_COLUMNS / 4;
            int8x16_t codes[2][4];
            for (size_t half = 0; half < 2; half++)
                for (int i = 0; i < 4; i++)
                    codes[half][i] =
                        load_codes(first, first + first_bytes, bits, is_e2m1, q + half, i);
            for (size_t p = 0; p < CSM_PLANES; p++) {
                int8x16_t d0 = four_digits(digits + CSM_PLANES * c + 8 * p);
                int8x16_t d1 = four_digits(digits + CSM_PLANES * c + 8 * p + 4);
                for (int i = 0; i < 4; i++) {
                    sums[p][i] = vdotq_s32(sums[p][i], codes[0][i], d0);
                    sums[p][i] = vdotq_s32(sums[p][i], codes[1][i], d1);
                }
                if (bits == 8) {
                    digit_sums[p] = vdotq_s32(digit_sums[p], vdupq_n_s8(1), d0);
                    digit_sums[p] = vdotq_s32(digit_sums[p], vdupq_n_s8(1), d1);
                }
            }
        }
        struct v16 scales, biases = all(0);
        if (!is_e2m1) {
            scales = load_scales(block + code_bytes, w->wide_scales);
            biases = load_scales(block + code_bytes + scale_bytes, w->wide_scales);
        } else {
            scales = format == CSM_WEIGHT_MXFP4
                         ? load_e8m0(scales_at)
                         : times(load_e4m3(scales_at), all(256));
        }
        for (int i = 0; i < 4; i++) {
            int32x4_t total = vaddq_s32(sums[0][i], vshlq_n_s32(sums[1][i], 8));
            total = vaddq_s32(total, vshlq_n_s32(digit_sums[0], 7));
            total = vaddq_s32(total, vshlq_n_s32(digit_sums[1], 15));
            float32x4_t dot = vcvtq_f32_s32(total);
            if (is_e2m1) {
                dot = vfmaq_f32(vdupq_n_f32(-6.0f * x_sums[g]), dot,
                                vdupq_n_f32(0.5f * steps[g]));
                acc.part[i] = vfmaq_f32(acc.part[i], scales.part[i], dot);
            } else {
                dot = vmulq_f32(dot, vdupq_n_f32(steps[g]));
                acc.part[i] = vfmaq_f32(acc.part[i], scales.part[i], dot);
                acc.part[i] = vfmaq_f32(acc.part[i], biases.part[i], vdupq_n_f32(x_sums[g]));
            }
        }
        block += w->block_bytes;
        scales_at += CSM_TILE;
        digits += CSM_PLANES * group;
    }
    return acc;
}

/* A function for each format, so that its bits are constants. */
#define DEFINE_ROWS(name, bits, format, columns) /* of 8: any number */                            \
    static void name(const struct affine_tiles *w, const unsigned char *tile, size_t n_lanes,      \
                     const struct digits *x, size_t n_x, float *y, size_t ldy)                     \
    {                                                                                              \
        for (size_t t = 0; t < n_x; t++) {                                                         \
            size_t at = t * w->n_groups;                                                           \
            struct v16 acc = tile_row(w, tile, x->planes + at * CSM_PLANES * (size_t)w->group,     \
                                      x->steps + at, x->sums + at, bits, format);                  \
            float rows[CSM_TILE];                                                                  \
            for (int i = 0; i < 4; i++)                                                            \
                vst1q_f32(rows + 4 * i, acc.part[i]);                                              \
            memcpy(y + t * ldy, rows, n_lanes * sizeof *rows);                                     \
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
    for (int i = 0; i < 4; i++)
        vst1q_f32(to + 4 * i, v.part[i]);
    if (n != LANES)
        memcpy(p, lanes, n * sizeof *p);
}
static inline v16 load_whole(const float *p)
{
    return load_f32(p);
}
typedef struct {
    uint16x8_t part[4]; /* rows 4 * i ..: a byte in each word */
} low_bits;

static inline low_bits load_low(const uint8_t *low)
{
    low_bits bits;
    for (int i = 0; i < 4; i++)
        bits.part[i] = vmovl_u8(vld1_u8(low + 8 * i));
    return bits;
}
static inline void two_codes(const uint16_t *high, low_bits low, int p, v16 out[2])
{
    const int16x8_t by = vdupq_n_s16((int16_t)(14 - 2 * p));
    for (int i = 0; i < 4; i++) {
        uint16x8_t upper = vld1q_u16(high + 8 * i);
        uint16x8_t lower = vandq_u16(vshlq_u16(low.part[i], by), vdupq_n_u16(0xc000));
        out[0].part[i] = vcvtq_f32_s32(vreinterpretq_s32_u16(vzip1q_u16(lower, upper)));
        out[1].part[i] = vcvtq_f32_s32(vreinterpretq_s32_u16(vzip2q_u16(lower, upper)));
    }
}

enum { TILES = 1, TILES_X = 6, MIXED_X = 3, E4M3_X = 3 };
#include "engine/native/kernel_attend_text.h"
#include "engine/native/kernel_e4m3_text.h"
#include "engine/native/kernel_tiles_text.h"

const struct kernels csm_kernels_neon = {
    .name = "neon",
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
