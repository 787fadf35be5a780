/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels.h - the inner loops of the native engine: one table for each
 * instruction set, chosen when an engine is opened.
 *
 * Every table gives the same bits. The order of every sum is part of the
 * definition, kept by kernels_generic.c in plain C and by all others with their
 * registers:
 *
 *   dot product   16 lanes; lane l takes elements l, l + 16, ... in order with a
 *                 fused multiply-add from 0; then lanes fold 16 -> 8 -> 4 -> 2 -> 1,
 *                 each time adding the upper half to the lower
 *   affine        integers: an activation is two signed bytes under one step for
 *                 each group, so a group's dot product is exact in any order; groups
 *                 are added in order with fused multiply-adds
 *   e4m3          in each group of 32 columns even ones and odd ones are summed from 0, in
 *                 order, of values over 256 with fused multiply-adds; a group is 256 times
 *                 both sums, and groups are added in order with fused multiply-adds by their
 *                 scales
 *   tiled         one fused multiply-add a column, in order, from the value that it
 *                 starts with; of codes: from 0 in each group of 64 columns, and
 *                 groups are added in order with fused multiply-adds by their scales
 *   mixed         tiled, of four rows and a matrix mixed as below
 *   exp, erf ...  the polynomials of kernel_math.h
 *
 * So a product of one row has the bits it has among many, on any number of threads. */
#ifndef CSM_NATIVE_KERNELS_H
#define CSM_NATIVE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/weight_source.h"

enum { CSM_TILE = 16, CSM_PLANES = 2, CSM_MOST_GROUP = 128 };

/* How a float matrix lies: row by row (by = 1), or four rows side by side (by = 4):
 * 16 columns of each of four rows, then the next 16 columns; missing columns and rows
 * are zero. So decoding reads one stream, and each x once for four rows. */
enum { CSM_ROW_BY_ROW = 1, CSM_FOUR_ROWS = 4 };

/* Elements of a matrix that lies so; and where element 0 of a row is. Column c of it is
 * c / 16 * 16 * by + c % 16 further. */
static inline size_t csm_padded(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}
static inline size_t csm_row_at(size_t by, size_t row, size_t cols)
{
    size_t width = by == CSM_ROW_BY_ROW ? cols : csm_padded(cols, CSM_TILE);
    return row / by * by * width + row % by * CSM_TILE;
}

/* A quantized matrix, repacked for kernels: tiles of 16 rows, missing ones zero.
 *
 *   affine        a tile is n_groups blocks; a block is the codes of `group` columns of the 16
 *                 rows, then scales [16], then biases [16]: bfloat16, or float32 if
 *                 wide_scales
 *   mxfp4, nvfp4  a tile is, of each four groups, their scales, [4][16] bytes as MLX has them
 *                 (fp_blocks.h), then the codes of each
 *
 * So a tile is read from end to end, which the processor's own prefetching keeps up with.
 * Codes lie in planes. A plane of 1, 2, 4 or 8 bits has 64 bytes for each 32, 16, 8 or 4
 * columns c, c + 1, ...: byte 4 * r + i has of row r the columns c + i, c + 4 + i, ..., the
 * first one lowest. Codes of 3, 5 and 6 bits are two planes for each 32 columns: of their 2, 4
 * and 4 lower bits, then of the upper ones. Groups of 16 have codes of 4 or 8 bits.
 *
 * A code of mxfp4 and nvfp4 stands for a multiple of a half from -6 to 6. So products of them
 * are affine, too: the number csm_e2m1_numbers has for it, 0..24, is twice the value and 12. */
struct affine_tiles {
    const unsigned char *data; /* 64-byte aligned */
    size_t n_groups;
    enum csm_weight_format format; /* CSM_WEIGHT_AFFINE, _MXFP4 or _NVFP4 */
    int bits, group;
    bool wide_scales;
    size_t block_bytes, tile_bytes; /* block_bytes: affine; else of a group's codes */
};

extern const uint8_t csm_e2m1_numbers[16];

/* Bits of the first plane; those of the second are the rest. */
static inline int csm_first_plane(int bits)
{
    return bits >= 8 ? 8 : (bits >= 4 ? 4 : (bits >= 2 ? 2 : 1));
}

/* Bytes of the codes of so many columns. */
static inline size_t csm_code_bytes(int bits, int columns)
{
    return (size_t)(bits * columns * CSM_TILE) / 8;
}

/* Columns whose planes lie together. */
enum { CSM_PLANE_COLUMNS = 32 };

/* Where group g's scales and its codes begin in a tile of mxfp4, nvfp4 or mxfp8. */
enum { CSM_SCALED_TOGETHER = 4, CSM_SCALES_TOGETHER = CSM_SCALED_TOGETHER * CSM_TILE };

static inline size_t csm_scales_at(size_t g, size_t code_bytes)
{
    return g / CSM_SCALED_TOGETHER * (CSM_SCALES_TOGETHER + CSM_SCALED_TOGETHER * code_bytes) +
           g % CSM_SCALED_TOGETHER * CSM_TILE;
}
static inline size_t csm_codes_at(size_t g, size_t code_bytes)
{
    return (g / CSM_SCALED_TOGETHER + 1) * CSM_SCALES_TOGETHER + g * code_bytes;
}

/* Bytes of such a tile. */
static inline size_t csm_scaled_tile_bytes(size_t n_groups, size_t code_bytes)
{
    return csm_padded(n_groups, CSM_SCALED_TOGETHER) * CSM_TILE + n_groups * code_bytes;
}

/* A matrix of mxfp8, repacked: tiles of 16 rows, missing ones zero; a tile is, of each four
 * groups of 32 columns, their scales, [4][16], then the codes of each, [32][16]. */
enum { CSM_E4M3_GROUP = 32, CSM_E4M3_BLOCK = CSM_E4M3_GROUP * CSM_TILE };

struct e4m3_tiles {
    const unsigned char *data; /* 64-byte aligned */
    size_t n_groups;
};

static inline size_t csm_e4m3_tile_bytes(size_t n_groups)
{
    return csm_scaled_tile_bytes(n_groups, CSM_E4M3_BLOCK);
}

/* Activations for affine products. An x of a group is step * (low + 256 * high), and
 * step the group's largest magnitude over 32639, which is 127 + 256 * 127: x is off by
 * half a step at most. So what this
 * adds to a product of random signs is about 2e-5 of it (bfloat16 activations: 1e-3;
 * the 8 bits that are usual: 5e-3), and a dot product of 128 codes fits 32 bits. */
struct digits {
    int8_t *planes; /* [n_rows][n_groups][group / 8][2][8]: low, high of eight columns */
    float *steps;   /* [n_rows][n_groups]; NaN if the group is not finite */
    float *sums;    /* [n_rows][n_groups] of the group's x */
    bool in_tiles;  /* planes lie in tiles; there are whole tiles of rows: of those that are
                       missing steps and sums are 0 */
};

/* Tiles of digits, for AMX: [n_rows / 8][n_groups] of [group / 64][2][8][64], low digits of 64
 * columns of eight rows, then high ones; of groups of 32 [2][8][32]. */
enum { CSM_DIGIT_ROWS = 8, CSM_DIGIT_COLUMNS = 64 };

/* Where group g of rows row / 8 * 8 .. begins. */
static inline size_t csm_digit_tile(size_t n_groups, size_t group, size_t row, size_t g)
{
    return (row / CSM_DIGIT_ROWS * n_groups + g) * CSM_PLANES * CSM_DIGIT_ROWS * group;
}

/* A matrix whose columns lie together, for the codec: tiles of 16 rows, missing ones
 * zero. Float32: a tile is [cols][16]. Coded: a block for each 64 columns, missing
 * ones zero; a value is a code of 18 bits, -131071..131071, times 2^14, times the
 * row's scale. Units of 8 columns: column 2 * p + s of row 4 * m + r is word
 * [p][m][s][r] of `high`, the code's upper 16 bits, and the two lower ones are bits
 * 2 * p of byte [m][s][r] of `low`. So a register of both, interleaved, is 2^14 codes. */
enum { CSM_CODE_GROUP = 64, CSM_CODE_UNIT = 8, CSM_CODE_MOST = (1 << 17) - 1 };

struct code_block {
    float scales[CSM_TILE];
    uint16_t high[CSM_CODE_GROUP / CSM_CODE_UNIT][CSM_CODE_UNIT * CSM_TILE];
    uint8_t low[CSM_CODE_GROUP / CSM_CODE_UNIT][2 * CSM_TILE];
};

struct column_tiles {
    const unsigned char *data; /* 64-byte aligned */
    size_t cols, tile_bytes;
    bool is_coded;
};

/* Minimal filtering (S. Winograd, Arithmetic Complexity of Computations, 1980; A. Lavin and
 * S. Gray, arXiv 1509.09308): four rows x of a signal give two outputs of three taps g, or
 * three of two taps, by four products instead of six:
 *
 *   three taps  y0 = x0 g0 + x1 g1 + x2 g2   a = (x1 + x2) (g0 + g2 + g1) / 2 + start
 *               y1 = x1 g0 + x2 g1 + x3 g2   b = (x2 - x1) (g0 + g2 - g1) / 2
 *                                            y0 = (a + b) + (x0 - x2) g0
 *                                            y1 = (a - b) + (x3 - x1) g2
 *   two taps    y0 = x0 g0 + x1 g1           a = (x1 + x2) (g0 + g1) / 2 + start
 *               y1 = x1 g0 + x2 g1           b = (x2 - x1) (g0 - g1) / 2
 *               y2 = x2 g0 + x3 g1           y0 = (a + b) + (x0 - x2) g0
 *                                            y1 = a - b
 *                                            y2 = (a + b) + (x3 - x1) g1
 *
 * Four rows of n columns, mixed, are 4 * n floats: x1 + x2 and x2 - x1 of each column, then
 * x0 - x2 and x3 - x1 of each; a matrix has the columns that these are multiplied by. */
enum { CSM_MIXED = 4 };

/* Keys and values of one layer, lane and kv head, in pages of 16 positions: position p lies
 * in slot p % 16 of page p / 16 % n_pages; from the page's beginning its keys [head_dim][16]
 * are at `keys`, its values [16][head_dim] at `values`. */
struct kv_view {
    const float *const *pages;
    size_t n_pages, keys, values, head_dim;
    size_t next; /* floats from these to those that are needed next; 0: unknown */
};

struct kernels {
    const char *name;

    /* y[t * ldy + r] = dot(w row r, x row t), r < n_rows, t < n_x.
     * w: [n_rows, cols], lying as `by` says; x row t begins at x + t * ldx. */
    void (*dots_f32)(const float *w, size_t by, size_t n_rows, size_t cols, const float *x, size_t ldx,
                     size_t n_x, float *y, size_t ldy);
    void (*dots_bf16)(const uint16_t *w, size_t by, size_t n_rows, size_t cols, const float *x, size_t ldx,
                      size_t n_x, float *y, size_t ldy);
    void (*dots_f16)(const uint16_t *w, size_t by, size_t n_rows, size_t cols, const float *x, size_t ldx,
                     size_t n_x, float *y, size_t ldy);

    /* The same for rows 16 * tile .. 16 * tile + n_rows - 1; y[0] is the first of them. Digits
     * are in tiles only where the table wants them so. */
    void (*dots_affine)(const struct affine_tiles *w, size_t tile, size_t n_rows,
                        const struct digits *x, size_t n_x, float *y, size_t ldy);

    /* The same of mxfp8, row t of x from x + t * ldx on. */
    void (*dots_e4m3)(const struct e4m3_tiles *w, size_t tile, size_t n_rows, const float *x,
                      size_t ldx, size_t n_x, float *y, size_t ldy);

    /* The same of column tiles, row t of x from x + t * ldx on; y[t * ldy + r] starts
     * with start[r], NULL: 0. */
    void (*dots_tiles)(const struct column_tiles *w, size_t tile, size_t n_rows,
                       const float *start, const float *x, size_t ldx, size_t n_x, float *y,
                       size_t ldy);

    /* Mixed products. w: float32 tiles of CSM_MIXED * n columns; x row t, four rows mixed,
     * gives rows t * n_out .. of y, n_out of them (2 or 3). */
    void (*dots_mixed)(const struct column_tiles *w, size_t tile, size_t n_rows,
                       const float *start, const float *x, size_t ldx, size_t n_x, size_t n_out,
                       float *y, size_t ldy);

    /* Four rows of n columns, one after the other, mixed. */
    void (*mix)(const float *x, size_t n, float *mixed);

    /* One row of digits: planes [n_groups][group / 8][2][8], steps and sums [n_groups]. */
    void (*to_digits)(const float *x, size_t n_groups, size_t group, int8_t *planes, float *steps,
                      float *sums);

    /* Whether so many rows' digits are to be in tiles; NULL: never. */
    bool (*wants_tiles)(const struct affine_tiles *w, size_t n_x);

    /* One group's planes, as to_digits makes them, to the group's tiles, of which they are row
     * `row` (below CSM_DIGIT_ROWS); NULL where nothing wants tiles. */
    void (*tile_digits)(const int8_t *planes, size_t group, size_t row, int8_t *tiles);

    /* out = scale * x / sqrt(mean(x^2) + eps); and with mean and bias. out may be x. */
    void (*norm_rms)(const float *x, const float *scale, size_t n, float eps, float *out);
    void (*norm_layer)(const float *x, const float *scale, const float *bias, size_t n, float eps,
                       float *out);

    /* n queries, one after the other, over positions first..end-1: of each out[head_dim] = sum of
     * softmax(scale * q.k) v. scores: room for n times end - first + 32. */
    void (*attend)(const float *q, size_t n, const struct kv_view *kv, size_t first, size_t end,
                   float scale, float *scores, float *out);

    void (*silu_times)(float *gate, const float *up, size_t n); /* gate = silu(gate) * up */
    void (*gelu)(float *x, size_t n);
    void (*elu)(const float *x, size_t n, float *out);

    /* Read n bytes (a multiple of 512) as fast as memory gives them: benchmarks. */
    uint64_t (*touch)(const void *bytes, size_t n);
};

extern const struct kernels csm_kernels_generic;

extern const struct kernels csm_kernels_amx, csm_kernels_avx512_ahead, csm_kernels_avx512,
    csm_kernels_avx2, csm_kernels_neon;

/* The i-th of the tables that this processor runs, fastest first; NULL after the
 * last, which is generic. */
const struct kernels *csm_kernels_fast(size_t i);

/* The table to use: csm_kernels_fast(0), or in a build with CSM_CHECK_KERNELS one
 * that compares it with the portable one at every call. */
const struct kernels *csm_kernels_best(void);
extern const struct kernels csm_kernels_check;

/* Memory as the engine's weights have it: aligned, in huge pages where the system
 * gives them. To be freed with free; NULL when there is none. */
void *csm_kernels_alloc(size_t n_bytes);

#endif
