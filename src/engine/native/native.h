/* SPDX-License-Identifier: Apache-2.0
 *
 * native.h - what the native engine's files share: its context, the forms that
 * weights and values take, and the one parallel product that all blocks use. */
#ifndef CSM_ENGINE_NATIVE_H
#define CSM_ENGINE_NATIVE_H

#include "base/threads.h"
#include "engine/engine.h"
#include "engine/native/kernels.h"

/* Memory that grows and is kept: in steady state nothing is allocated. */
struct buffer {
    void *data;
    size_t n_bytes;
};

enum scratch {
    SCRATCH_NORMED,  /* the input of a block, normed */
    SCRATCH_A,       /* queries; gate */
    SCRATCH_B,       /* keys; up */
    SCRATCH_C,       /* values */
    SCRATCH_D,       /* attention's result */
    SCRATCH_PRODUCT, /* what is added to x */
    SCRATCH_PLANES,  /* the input of affine products: planes, steps, sums */
    SCRATCH_STEPS,
    SCRATCH_SUMS,
    SCRATCH_NEXT_PLANES, /* of a product's result, which is the next one's input */
    SCRATCH_NEXT_STEPS,
    SCRATCH_NEXT_SUMS,
    SCRATCH_SCORES, /* of each thread */
    SCRATCH_WINDOW, /* input of a convolution with its past */
    SCRATCH_MIXED,  /* the same, mixed */
    SCRATCH_ROWS,   /* at which row the rows of each lane begin */
    SCRATCH_SMALL,  /* of an adapter's pairs: right x */
    SCRATCH_ADDED,  /* and left (right x) */
    SCRATCH_COUNT
};

/* Memory that is given back when the engine closes: pieces one after the other, in huge
 * pages. Read in the order in which they were taken, they are one stream. */
struct arena {
    void **chunks;
    size_t n_chunks;
    size_t n_free; /* bytes at the end of the last chunk */
    unsigned char *next;
};

/* On a line of its own: each thread's. */
struct native_turn {
    _Alignas(64) uint64_t turn;
};

struct native {
    csm_threads *threads;
    const struct kernels *kernels;
    csm_precision precision;
    struct buffer scratch[SCRATCH_COUNT];
    struct arena arena;
    struct native_angles *angles; /* a list: one for each rope */
    struct csm_traits traits;
    uint64_t turn;            /* counts rows of which every thread makes its own digits, */
    struct native_turn *made; /* [threads]: the last one of which it did */
    struct native **sides;    /* [threads] contexts of one thread each; NULL: not made yet */
};

struct csm_value {
    size_t rows, cols;
    struct buffer buffer;
    /* [rows] the adapter of each row, as the last attention's lanes had them. */
    struct buffer adapters;
    bool has_adapters; /* false: all are 0 */
};

/* How a matrix lies for products. */
enum form { FORM_NONE, FORM_F32, FORM_BF16, FORM_F16, FORM_AFFINE, FORM_E4M3, FORM_COLUMNS };

/* A convolution as a product with a sliding window; see native_conv.c. */
struct conv_form {
    bool is_ready;               /* false until first used */
    struct column_tiles columns; /* [out_rows, window * in], or mixed: [out_rows, 4 * in], or: */
    float *rows;                 /* [out_rows, window * in], if there are groups or few rows */
    float *bias;                 /* [out_rows] or NULL */
};

/* What an adapter adds to a product. */
struct native_pair {
    size_t adapter;           /* its number */
    csm_weight *left, *right; /* [rows, rank], [rank, cols] */
};

struct csm_weight {
    struct csm_weight_source source;
    csm_precision precision; /* what the values are rounded to */
    size_t rows, cols;       /* logical: out, in */

    enum form form;
    const void *data; /* FORM_F32..F16: [rows, cols], four rows side by side */
    struct affine_tiles tiles;
    struct e4m3_tiles e4m3;
    struct column_tiles columns;

    float *vector; /* rank 1: [rows] */
    struct conv_form conv;
    struct native_pair *pairs; /* [n_pairs] */
    size_t n_pairs;
};

/* At least n_bytes, 64-byte aligned; contents are lost when it grows. */
csm_status csm_native_reserve(struct buffer *buffer, size_t n_bytes, csm_error *err);
csm_status csm_native_scratch(struct native *native, enum scratch which, size_t n_floats, float **out,
                          csm_error *err);
/* Give a value its shape; contents are lost unless the buffer is large enough. */
csm_status csm_native_shape(csm_value *value, size_t rows, size_t cols, csm_error *err);
float *csm_native_data(const csm_value *value);

/* ---- native_weight.c ---- */
csm_status csm_native_weight_new(void *ctx, const struct csm_weight_source *source, csm_weight **out,
                             csm_error *err);
void csm_native_weight_free(void *ctx, csm_weight *weight);
/* Make the form for products, unless it is there. */
csm_status csm_native_weight_prepare(struct native *native, csm_weight *weight, csm_error *err);
/* One row as the model sees it, at the weight's precision; codes: room for cols bytes. */
void csm_native_weight_row(const csm_weight *weight, size_t row, float *out, uint8_t *codes);

/* Columns first..first+n-1 of n_rows rows, 1 to 16, of a weight of floats, unrounded; rows of
 * `out` are ld apart. */
void csm_native_source_floats(const csm_weight *weight, size_t row, size_t n_rows, size_t first,
                              size_t n, float *out, size_t ld);
/* Rows first.. of a weight whose rows are made, n of them, at most CSM_MADE_AT_ONCE: [n, cols] of
 * its dtype. room: [CSM_MADE_AT_ONCE, cols] floats and what they need. */
const void *csm_native_made_rows(const csm_weight *weight, size_t first, size_t n, float *room);
/* Quantize one group of a weight of floats, for which a precision is asked. values: [group],
 * rounded here to what is quantized; codes [group]; scale and bias as they are stored. */
void csm_native_quantize_group(const csm_weight *weight, float *values, uint8_t *codes,
                               float *scale, float *bias);

/* ---- native_quantized.c ---- */

/* The tiles that a weight needs, of tiles.bits and .group, and their bytes; their data comes
 * with csm_native_affine_tile. */
size_t csm_native_affine_shape(csm_weight *weight);
/* Pack one tile of a quantized matrix, stored or quantized here; of mxfp8.
 *   room  scratch, where rows are made as they are read: [16, cols] and that of
 *         csm_native_made_rows */
void csm_native_affine_tile(const csm_weight *weight, size_t tile, unsigned char *to, float *room);
void csm_native_e4m3_tile(const csm_weight *weight, size_t tile, unsigned char *to);

/* ---- native_tiles.c ---- */

/* A row of a matrix, [cols] float32. */
typedef void (*native_row)(const void *user, size_t row, float *out);

/* Pack a matrix. Its memory is the engine's. */
csm_status csm_native_pack(struct native *native, native_row row, const void *user, size_t rows,
                       size_t cols, bool is_coded, struct column_tiles *tiles, csm_error *err);

/* n_bytes, 64-byte aligned; NULL when there is no memory. */
void *csm_native_arena_take(struct arena *arena, size_t n_bytes);
void csm_native_arena_free(struct arena *arena);

/* ---- native_product.c ---- */

/* One matrix of a parallel product: out[t * ld_out + r] = w[r] . x[t] (+ bias[r]). */
struct product {
    const csm_weight *weight; /* prepared */
    const float *bias;        /* [rows] or NULL */
    float *out;
    size_t ld_out;
};

/* Rows as affine products take them. */
struct affine_rows {
    struct digits digits;
    size_t n_groups, group;
};

/* What products multiply: n rows, ld floats apart; affine: the same, NULL: not made yet;
 * adapters: [n] of each row, NULL: none has one. */
struct rows {
    const float *values;
    size_t ld, n;
    const struct affine_rows *affine;
    const size_t *adapters;
};

enum finish {
    FINISH_STORE,
    FINISH_GATED,   /* two matrices of one shape: out of the first = silu(first) * second */
    FINISH_GELU,
    FINISH_RESIDUAL /* residual += layer_scale * out */
};

struct finishing {
    enum finish kind;
    float *residual; /* same layout as out */
    const float *layer_scale; /* [rows] or NULL */
    const struct affine_rows *affine; /* filled with the finished rows, of one matrix or gated,
                                         by whoever has them in its caches; or NULL */
};

/* All matrices have the same number of columns. */
csm_status csm_native_product(struct native *native, const struct product *products, size_t n_products,
                          struct finishing finishing, struct rows x, csm_error *err);

/* Whether a matrix of affine form multiplies so many rows from tiles of digits. */
bool csm_native_wants_tiles(const struct native *native, const csm_weight *weight, size_t n);

/* Room for n rows of cols values; planes: SCRATCH_PLANES or SCRATCH_NEXT_PLANES. */
csm_status csm_native_affine_room(struct native *native, enum scratch planes, size_t n, size_t cols,
                              size_t group, bool in_tiles, struct affine_rows *out, csm_error *err);

/* ---- native_block.c ---- */
csm_status csm_native_norm_rows(struct native *native, const struct csm_norm *norm, const float *x,
                            size_t rows, size_t width, float *out, csm_error *err);
csm_status csm_native_mlp(void *ctx, const struct csm_mlp *block, csm_value *x, csm_error *err);

/* ---- native_attention.c ---- */
csm_status csm_native_attention(void *ctx, const struct csm_attention *block, size_t layer,
                                const struct csm_rows *rows, size_t n_lanes, csm_value *x,
                                csm_error *err);

/* ---- native_lane.c ---- */
csm_status csm_native_lane_open(void *ctx, const struct csm_attention *blocks, size_t n_layers,
                                size_t capacity, csm_lane **out, csm_error *err);
csm_status csm_native_lane_fork(void *ctx, const csm_lane *from, size_t n_positions,
                                csm_lane **out, csm_error *err);
csm_status csm_native_lane_reserve(void *ctx, csm_lane *lane, size_t n, csm_error *err);
csm_status csm_native_lane_truncate(void *ctx, csm_lane *lane, size_t n_positions, csm_error *err);
size_t csm_native_lane_bytes(void *ctx, const csm_lane *lane);
void csm_native_lane_close(void *ctx, csm_lane *lane);
void csm_native_angles_free(struct native *native);

/* ---- native_conv.c ---- */
csm_status csm_native_conv_state_new(void *ctx, const struct csm_conv *conv, csm_conv_state **out,
                                 csm_error *err);
csm_status csm_native_conv_state_reset(void *ctx, csm_conv_state *state, csm_error *err);
void csm_native_conv_state_free(void *ctx, csm_conv_state *state);
csm_status csm_native_conv(void *ctx, const struct csm_conv *conv, csm_conv_state *state,
                       const csm_value *x, csm_value *out, csm_error *err);
csm_status csm_native_conv_lanes(void *ctx, const struct csm_conv *conv,
                                 csm_conv_state *const *states, size_t n, const csm_value *x,
                                 csm_value *out, csm_error *err);

/* ---- native_adapter.c ---- */
csm_status csm_native_weight_adapter(void *ctx, csm_weight *weight, size_t number,
                                     const float *left, const float *right, size_t rank,
                                     csm_error *err);
void csm_native_lane_adapter(void *ctx, csm_lane *lane, size_t number);
/* Note in a value whose rows are of these lanes which adapter each has. CSM_NO_MEMORY. */
csm_status csm_native_value_adapters(csm_value *x, const struct csm_rows *rows, size_t n_lanes,
                                     csm_error *err);
const size_t *csm_native_adapters_of(const csm_value *x); /* [rows] or NULL: for struct rows */
/* Add to a product that is there what its matrix's pairs give for x. CSM_NO_MEMORY. */
csm_status csm_native_pairs_add(struct native *native, const struct product *product,
                                struct rows x, csm_error *err);
void csm_native_pairs_free(csm_weight *weight);

#endif
