/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels_generic.c - the truth that every other table equals, bit for bit. */
#include "base/fp_blocks.h"
#include "engine/native/kernel_math.h"

static float widen_f32(float w)
{
    return w;
}

/* dots_NAME over weights of one type. */
#define DEFINE_DOTS(name, type, widen)                                                             \
    static void name(const type *w, size_t by, size_t n_rows, size_t cols, const float *x,         \
                     size_t ldx, size_t n_x, float *y, size_t ldy)                                             \
    {                                                                                              \
        for (size_t t = 0; t < n_x; t++)                                                           \
            for (size_t r = 0; r < n_rows; r++) {                                                  \
                const type *row = w + csm_row_at(by, r, cols);                                     \
                const float *in = x + t * ldx;                                                     \
                float lanes[LANES] = {0};                                                          \
                for (size_t c = 0; c < cols; c++)                                                  \
                    lanes[c % LANES] = fmaf(widen(row[c / LANES * LANES * by + c % LANES]), in[c], \
                                            lanes[c % LANES]);                                     \
                y[t * ldy + r] = fold(lanes);                                                      \
            }                                                                                      \
    }
DEFINE_DOTS(dots_f32, float, widen_f32)
DEFINE_DOTS(dots_bf16, uint16_t, csm_from_bf16)
DEFINE_DOTS(dots_f16, uint16_t, csm_from_f16)

const uint8_t csm_e2m1_numbers[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

static int in_plane(const unsigned char *plane, int bits, size_t r, size_t c)
{
    const size_t n = 8 / (size_t)bits; /* codes of a byte */
    const int byte = plane[c / (4 * n) * 64 + 4 * r + c % 4];
    return byte >> (c / 4 % n * (size_t)bits) & ((1 << bits) - 1);
}

static int code_at(const struct affine_tiles *w, const unsigned char *block, size_t r, size_t c)
{
    const int first = csm_first_plane(w->bits);
    block += csm_code_bytes(w->bits, CSM_PLANE_COLUMNS) * (c / CSM_PLANE_COLUMNS);
    c %= CSM_PLANE_COLUMNS;
    int code = in_plane(block, first, r, c);
    if (first < w->bits)
        code |= in_plane(block + csm_code_bytes(first, CSM_PLANE_COLUMNS), w->bits - first, r, c)
                << first;
    return w->format == CSM_WEIGHT_AFFINE ? code : csm_e2m1_numbers[code];
}

/* Entry i of an affine block's scales and biases, [2][16]. */
static float scale_at(const struct affine_tiles *w, const unsigned char *block, size_t i)
{
    const unsigned char *scales = block + csm_code_bytes(w->bits, w->group);
    if (w->wide_scales)
        return ((const float *)(const void *)scales)[i];
    return csm_from_bf16(((const uint16_t *)(const void *)scales)[i]);
}

/* acc and what group g of row r adds to it. */
static float add_group(const struct affine_tiles *w, const unsigned char *tile, size_t g, size_t r,
                       int32_t codes, float step, float sum, float acc)
{
    if (w->format == CSM_WEIGHT_AFFINE) {
        const unsigned char *block = tile + g * w->block_bytes;
        acc = fmaf(scale_at(w, block, r), (float)codes * step, acc);
        return fmaf(scale_at(w, block, CSM_TILE + r), sum, acc);
    }
    const uint8_t scale = tile[csm_scales_at(g, w->block_bytes) + r];
    return fmaf(w->format == CSM_WEIGHT_NVFP4 ? csm_from_e4m3(scale) : csm_from_e8m0(scale),
                fmaf((float)codes, 0.5f * step, -6.0f * sum), acc);
}

static void dots_affine(const struct affine_tiles *w, size_t tile, size_t n_rows,
                        const struct digits *x, size_t n_x, float *y, size_t ldy)
{
    size_t group = (size_t)w->group, n_groups = w->n_groups;
    for (size_t t = 0; t < n_x; t++)
        for (size_t i = 0; i < n_rows; i++) {
            size_t r = i % CSM_TILE;
            const unsigned char *at = w->data + (tile + i / CSM_TILE) * w->tile_bytes;
            float acc = 0;
            for (size_t g = 0; g < n_groups; g++) {
                const int8_t *digits = x->planes + (t * n_groups + g) * CSM_PLANES * group;
                const unsigned char *block = at + (w->format == CSM_WEIGHT_AFFINE
                                                       ? g * w->block_bytes
                                                       : csm_codes_at(g, w->block_bytes));
                int32_t sums[CSM_PLANES] = {0};
                for (size_t p = 0; p < CSM_PLANES; p++)
                    for (size_t c = 0; c < group; c++)
                        sums[p] += code_at(w, block, r, c) *
                                   digits[CSM_PLANES * (c - c % 8) + 8 * p + c % 8];
                acc = add_group(w, at, g, r, sums[0] + 256 * sums[1], x->steps[t * n_groups + g],
                                x->sums[t * n_groups + g], acc);
            }
            y[t * ldy + i] = acc;
        }
}

/* A number e4m3 over 256, which is the same bits as a half float. */
static float half_of_e4m3(uint8_t code)
{
    return csm_from_f16((uint16_t)((code & 0x80) << 8 | (code & 0x7f) << 7));
}

static void dots_e4m3(const struct e4m3_tiles *w, size_t tile, size_t n_rows, const float *x,
                      size_t ldx, size_t n_x, float *y, size_t ldy)
{
    for (size_t t = 0; t < n_x; t++)
        for (size_t i = 0; i < n_rows; i++) {
            const unsigned char *at =
                w->data + (tile + i / CSM_TILE) * csm_e4m3_tile_bytes(w->n_groups);
            const float *in = x + t * ldx;
            float acc = 0;
            for (size_t g = 0; g < w->n_groups; g++, in += CSM_E4M3_GROUP) {
                const unsigned char *codes = at + csm_codes_at(g, CSM_E4M3_BLOCK) + i % CSM_TILE;
                float sums[2] = {0};
                for (size_t c = 0; c < CSM_E4M3_GROUP; c++)
                    sums[c % 2] = fmaf(half_of_e4m3(codes[c * CSM_TILE]), in[c], sums[c % 2]);
                const uint8_t scale = at[csm_scales_at(g, CSM_E4M3_BLOCK) + i % CSM_TILE];
                acc = fmaf(csm_from_e8m0(scale), 256 * (sums[0] + sums[1]), acc);
            }
            y[t * ldy + i] = acc;
        }
}

static float code_of(const struct code_block *block, size_t c, size_t r)
{
    size_t unit = c / CSM_CODE_UNIT, pair = c % CSM_CODE_UNIT / 2;
    size_t at = r / 4 * 8 + c % 2 * 4 + r % 4;
    uint32_t high = block->high[unit][pair * 2 * CSM_TILE + at];
    uint32_t low = (uint32_t)block->low[unit][at] >> 2 * pair & 3;
    return (float)(int32_t)(high << 16 | low << 14);
}

static void dots_tiles(const struct column_tiles *w, size_t tile, size_t n_rows, const float *start,
                       const float *x, size_t ldx, size_t n_x, float *y, size_t ldy)
{
    for (size_t t = 0; t < n_x; t++)
        for (size_t i = 0; i < n_rows; i++) {
            const unsigned char *at = w->data + (tile + i / CSM_TILE) * w->tile_bytes;
            const struct code_block *block = (const struct code_block *)(const void *)at;
            const float *in = x + t * ldx;
            size_t r = i % CSM_TILE;
            float sum = start == NULL ? 0 : start[i];
            for (size_t c = 0; !w->is_coded && c < w->cols; c++)
                sum = fmaf(((const float *)(const void *)at)[c * CSM_TILE + r], in[c], sum);
            for (size_t from = 0; w->is_coded && from < w->cols; from += CSM_CODE_GROUP, block++) {
                float dot = 0;
                for (size_t c = 0; c < CSM_CODE_GROUP && from + c < w->cols; c++)
                    dot = fmaf(code_of(block, c, r), in[from + c], dot);
                sum = fmaf(block->scales[r], dot, sum);
            }
            y[t * ldy + i] = sum;
        }
}

static void dots_mixed(const struct column_tiles *w, size_t tile, size_t n_rows, const float *start,
                       const float *x, size_t ldx, size_t n_x, size_t n_out, float *y, size_t ldy)
{
    size_t half = w->cols / 2;
    for (size_t t = 0; t < n_x; t++)
        for (size_t i = 0; i < n_rows; i++) {
            const unsigned char *at = w->data + (tile + i / CSM_TILE) * w->tile_bytes;
            const float *row = (const float *)(const void *)at + i % CSM_TILE;
            const float *in = x + t * ldx;
            float *out = y + t * n_out * ldy + i;
            float a = start == NULL ? 0 : start[i], b = 0;
            for (size_t c = 0; c < half; c += 2) {
                a = fmaf(row[c * CSM_TILE], in[c], a);
                b = fmaf(row[(c + 1) * CSM_TILE], in[c + 1], b);
            }
            float first = a + b, last = n_out == 2 ? a - b : a + b;
            for (size_t c = half; c < w->cols; c += 2) {
                first = fmaf(row[c * CSM_TILE], in[c], first);
                last = fmaf(row[(c + 1) * CSM_TILE], in[c + 1], last);
            }
            out[0] = first;
            if (n_out == 3)
                out[ldy] = a - b;
            out[(n_out - 1) * ldy] = last;
        }
}

const struct kernels csm_kernels_generic = {
    .name = "generic",
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
    .attend = attend,
    .silu_times = silu_times,
    .gelu = gelu,
    .elu = elu,
    .touch = touch,
};
