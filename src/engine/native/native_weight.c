/* SPDX-License-Identifier: Apache-2.0
 *
 * native_weight.c - weights, in the form for products.
 *
 * A float matrix is copied, at the precision asked for: memory is read about twice as
 * fast in huge pages, which a mapped file does not have, and four rows side by side
 * are one stream. Affine matrices, stored or made here, are repacked into the tiles of
 * kernels.h. A table is read row by row where it lies: only the rows that are asked for
 * are converted, each time, to the same values.
 *
 * Asked-for precision meets stored type: what is stored narrower stays as it is
 * (float32 holds every bfloat16). A float32 source is rounded to bfloat16 before it
 * is quantized, as mlx-lm's convert does, so that scales take 2 bytes.
 *
 * A float32 matrix of the codec's decoder is packed into coded column tiles: two
 * rows of activations a frame, so that decoding is bound by reading it. */
#include <stdlib.h>
#include <string.h>

#include "base/affine.h"
#include "base/error.h"
#include "base/numbers.h"
#include "base/quantized_row.h"
#include "engine/native/native.h"

enum { DEFAULT_GROUP = 64 };

static int bits_of(csm_precision precision)
{
    return precision == CSM_PRECISION_Q4 ? 4 : (precision == CSM_PRECISION_Q8 ? 8 : 0);
}

/* MLX's modes of small floats are multiplied out when they are loaded, to the bfloat16 that
 * holds them. */
static bool is_fp_blocks(const csm_weight *w)
{
    return w->source.format != CSM_WEIGHT_FLOAT && w->source.format != CSM_WEIGHT_AFFINE;
}

/* The source's row, unrounded. codes: room for cols bytes, of is_fp_blocks alone. */
static void source_row(const csm_weight *w, size_t row, float *out, uint8_t *codes)
{
    const csm_tensor *t = &w->source.tensor;
    if (is_fp_blocks(w)) {
        csm_quantized_row(&w->source, row, w->cols, out, codes);
        return;
    }
    if (w->source.transposed) {
        for (size_t c = 0; c < w->cols; c++)
            out[c] = csm_element(t, c * w->rows + row);
        return;
    }
    size_t at = row * w->cols;
    if (t->dtype == CSM_DTYPE_F32)
        memcpy(out, (const float *)t->data + at, w->cols * sizeof *out);
    else
        for (size_t c = 0; c < w->cols; c++)
            out[c] = csm_element(t, at + c);
}

/* Of floats. */
static void weight_row(const void *weight, size_t row, float *out)
{
    source_row(weight, row, out, NULL);
}

static csm_dtype stored_dtype(const csm_weight *w)
{
    return is_fp_blocks(w) ? CSM_DTYPE_BF16 : w->source.tensor.dtype;
}

static bool is_half(const csm_weight *w)
{
    return stored_dtype(w) == CSM_DTYPE_F16 || stored_dtype(w) == CSM_DTYPE_BF16;
}

/* The float type to which scales and biases of this weight are rounded. */
static float round_scale(const csm_weight *w, float x)
{
    if (w->source.tensor.dtype == CSM_DTYPE_F16)
        return csm_from_f16(csm_to_f16(x));
    return csm_from_bf16(csm_to_bf16(x));
}

/* A row's codes, scales and biases, stored or made. scales and biases: [cols / group];
 * row: room for cols. */
static void affine_row(const csm_weight *w, size_t index, uint8_t *codes, float *scales,
                       float *biases, float *row)
{
    const struct csm_weight_source *s = &w->source;
    size_t n_groups = w->cols / (size_t)w->tiles.group;
    if (s->format != CSM_WEIGHT_FLOAT) {
        size_t n_words = w->cols * (size_t)s->bits / 32;
        csm_affine_unpack((const uint32_t *)s->tensor.data + index * n_words, w->cols, s->bits,
                          codes);
        for (size_t g = 0; g < n_groups; g++) {
            scales[g] = csm_element(&s->scales, index * n_groups + g);
            biases[g] = csm_element(&s->biases, index * n_groups + g);
        }
        return;
    }
    source_row(w, index, row, NULL);
    if (!is_half(w))
        for (size_t c = 0; c < w->cols; c++)
            row[c] = csm_from_bf16(csm_to_bf16(row[c]));
    csm_affine_quantize(row, w->cols, w->tiles.bits, w->tiles.group, codes, scales, biases);
    for (size_t g = 0; g < n_groups; g++) {
        scales[g] = round_scale(w, scales[g]);
        biases[g] = round_scale(w, biases[g]);
    }
}

void csm_native_weight_row(const csm_weight *w, size_t row, float *out, uint8_t *codes)
{
    size_t group = (size_t)w->tiles.group;
    if (w->source.format == CSM_WEIGHT_AFFINE) {
        csm_quantized_row(&w->source, row, w->cols, out, codes);
        return;
    }
    source_row(w, row, out, codes);
    /* Group by group, so that no room for scales is needed. */
    for (size_t g = 0; group != 0 && g < w->cols / group; g++) {
        float *values = out + g * group, scale, bias;
        if (!is_half(w))
            for (size_t i = 0; i < group; i++)
                values[i] = csm_from_bf16(csm_to_bf16(values[i]));
        csm_affine_quantize(values, group, w->tiles.bits, w->tiles.group, codes, &scale, &bias);
        scale = round_scale(w, scale);
        bias = round_scale(w, bias);
        for (size_t i = 0; i < group; i++)
            values[i] = scale * (float)codes[i] + bias;
    }
    for (size_t c = 0; w->precision == CSM_PRECISION_BF16 && c < w->cols; c++)
        out[c] = csm_from_bf16(csm_to_bf16(out[c]));
    for (size_t c = 0; w->precision == CSM_PRECISION_F16 && c < w->cols; c++)
        out[c] = csm_from_f16(csm_to_f16(out[c]));
}

/* ---- forms -------------------------------------------------------------- */

struct convert_job {
    csm_weight *weight;
    unsigned char *to;
    float *rows; /* room_for_rows of each thread */
};

static csm_dtype dtype_of(enum form form)
{
    return form == FORM_F32 ? CSM_DTYPE_F32 : (form == FORM_BF16 ? CSM_DTYPE_BF16 : CSM_DTYPE_F16);
}

/* Floats of room for each thread that converts. */
static size_t room_for_rows(const csm_weight *w)
{
    return 3 * csm_padded(w->cols, CSM_TILE);
}

/* Items are rows, those that fill the last four among them. */
static void convert_work(void *user, size_t first, size_t end, int thread)
{
    struct convert_job *job = user;
    csm_weight *w = job->weight;
    size_t size = csm_dtype_size(dtype_of(w->form)), cols = csm_padded(w->cols, CSM_TILE);
    bool is_same = w->source.tensor.dtype == dtype_of(w->form) && !w->source.transposed;
    float *row = job->rows + (size_t)thread * room_for_rows(w);
    uint16_t *half = (uint16_t *)(row + cols);
    unsigned char *from = size == 2 ? (unsigned char *)half : (unsigned char *)row;
    memset(from, 0, cols * size);
    for (size_t r = first; r < end; r++) {
        if (r >= w->rows)
            memset(from, 0, cols * size);
        else if (is_same)
            memcpy(from, (const unsigned char *)w->source.tensor.data + r * w->cols * size,
                   w->cols * size);
        else
            source_row(w, r, row, (uint8_t *)(row + 2 * cols));
        for (size_t c = 0; r < w->rows && !is_same && size == 2 && c < w->cols; c++)
            half[c] = w->form == FORM_BF16 ? csm_to_bf16(row[c]) : csm_to_f16(row[c]);
        unsigned char *to = job->to + csm_row_at(CSM_FOUR_ROWS, r, w->cols) * size;
        for (size_t c = 0; c < cols; c += CSM_TILE, to += CSM_FOUR_ROWS * CSM_TILE * size)
            memcpy(to, from + c * size, CSM_TILE * size);
    }
}

static void put_codes(const struct affine_tiles *tiles, unsigned char *block, size_t r,
                      const uint8_t *codes)
{
    for (size_t c = 0; c < (size_t)tiles->group; c++) {
        if (tiles->bits == 8)
            block[c / 4 * 64 + 4 * r + c % 4] = codes[c];
        else
            block[c / 8 * 64 + 4 * r + c % 4] |= (unsigned char)(codes[c] << (c % 8 / 4 * 4));
    }
}

static void put_scales(const struct affine_tiles *tiles, unsigned char *block, size_t r,
                       float scale, float bias)
{
    unsigned char *at = block + (size_t)(tiles->bits * tiles->group * CSM_TILE) / 8;
    if (tiles->wide_scales) {
        ((float *)(void *)at)[r] = scale;
        ((float *)(void *)at)[CSM_TILE + r] = bias;
    } else {
        ((uint16_t *)(void *)at)[r] = csm_to_bf16(scale);
        ((uint16_t *)(void *)at)[CSM_TILE + r] = csm_to_bf16(bias);
    }
}

static void tile_work(void *user, size_t first, size_t end, int thread)
{
    struct convert_job *job = user;
    const csm_weight *w = job->weight;
    const struct affine_tiles *tiles = &w->tiles;
    size_t n_groups = tiles->n_groups, group = (size_t)tiles->group;
    float *row = job->rows + (size_t)thread * room_for_rows(w);
    float *scales = row + w->cols, *biases = scales + n_groups;
    uint8_t *codes = (uint8_t *)(row + 2 * w->cols);
    for (size_t tile = first; tile < end; tile++) {
        unsigned char *blocks = job->to + tile * n_groups * tiles->block_bytes;
        memset(blocks, 0, n_groups * tiles->block_bytes);
        for (size_t r = 0; r < CSM_TILE && tile * CSM_TILE + r < w->rows; r++) {
            affine_row(w, tile * CSM_TILE + r, codes, scales, biases, row);
            for (size_t g = 0; g < n_groups; g++) {
                put_codes(tiles, blocks + g * tiles->block_bytes, r, codes + g * group);
                put_scales(tiles, blocks + g * tiles->block_bytes, r, scales[g], biases[g]);
            }
        }
    }
}

static enum form float_form(const csm_weight *w)
{
    if (w->precision == CSM_PRECISION_BF16)
        return FORM_BF16;
    if (w->precision == CSM_PRECISION_F16)
        return FORM_F16;
    if (!is_half(w))
        return FORM_F32;
    return stored_dtype(w) == CSM_DTYPE_BF16 ? FORM_BF16 : FORM_F16;
}

static csm_status convert(struct native *native, csm_weight *w, enum form form, csm_work work,
                          size_t n_items, size_t n_bytes, csm_error *err)
{
    size_t n_threads = (size_t)csm_threads_count(native->threads);
    struct convert_job job = {.weight = w,
                              .to = csm_native_arena_take(&native->arena, n_bytes),
                              .rows = malloc(n_threads * room_for_rows(w) * sizeof(float))};
    if (job.to == NULL || job.rows == NULL) {
        free(job.rows);
        return csm_fail(err, CSM_NO_MEMORY, "native: %s: no memory for %zu bytes",
                        w->source.tensor.name, n_bytes);
    }
    w->form = form;
    csm_threads_run(native->threads, work, &job, n_items, 1);
    free(job.rows);
    w->data = job.to;
    w->tiles.data = job.to;
    return CSM_OK;
}

csm_status csm_native_weight_prepare(struct native *native, csm_weight *w, csm_error *err)
{
    if (w->form != FORM_NONE)
        return CSM_OK;
    if (w->source.tensor.rank < 2)
        return csm_fail(err, CSM_BAD_ARG, "native: %s: a vector where a matrix was expected",
                        w->source.tensor.name);
    if (w->tiles.group != 0) {
        struct affine_tiles *tiles = &w->tiles;
        size_t n_tiles = (w->rows + CSM_TILE - 1) / CSM_TILE;
        const bool has_floats = w->source.format == CSM_WEIGHT_FLOAT;
        csm_dtype scales = has_floats ? w->source.tensor.dtype : w->source.scales.dtype;
        csm_dtype biases = has_floats ? scales : w->source.biases.dtype;
        /* bfloat16 holds scales of bfloat16 checkpoints, and those made of float32. */
        tiles->wide_scales =
            has_floats ? scales == CSM_DTYPE_F16 : scales != CSM_DTYPE_BF16 || biases != CSM_DTYPE_BF16;
        tiles->n_groups = w->cols / (size_t)tiles->group;
        tiles->block_bytes = (size_t)(tiles->bits * tiles->group) * CSM_TILE / 8 +
                             2 * CSM_TILE * (tiles->wide_scales ? 4 : 2);
        return convert(native, w, FORM_AFFINE, tile_work, n_tiles,
                       n_tiles * tiles->n_groups * tiles->block_bytes, err);
    }
    enum form form = float_form(w);
    if (form == FORM_F32 && w->source.is_sound) {
        w->form = FORM_COLUMNS;
        return csm_native_pack(native, weight_row, w, w->rows, w->cols, true, &w->columns, err);
    }
    size_t rows = csm_padded(w->rows, CSM_FOUR_ROWS), cols = csm_padded(w->cols, CSM_TILE);
    return convert(native, w, form, convert_work, rows,
                   rows * cols * csm_dtype_size(dtype_of(form)), err);
}

static csm_status check_quantized_source(const csm_weight *w, csm_error *err)
{
    const struct csm_weight_source *s = &w->source;
    const char *name = s->tensor.name;
    if (!csm_quantized_fits(s, w->rows, w->cols))
        return csm_fail(err, CSM_BAD_ARG,
                        "native: %s: quantized to %d bits in groups of %d (%s), expected words, "
                        "scales and biases of 1 to 6 or 8 bits in groups of 32, 64 or 128, or of "
                        "mxfp4, mxfp8, nvfp4",
                        name, s->bits, s->group_size, csm_quantized_mode(s));
    if (bits_of(w->precision) != 0 && (is_fp_blocks(w) || bits_of(w->precision) != s->bits))
        return csm_fail(err, CSM_BAD_ARG,
                        "native: %s: stored in %d bits (%s), cannot be quantized again to %d",
                        name, s->bits, csm_quantized_mode(s), bits_of(w->precision));
    return CSM_OK;
}

static csm_status make_vector(csm_weight *w, csm_error *err)
{
    w->vector = csm_kernels_alloc(w->rows * sizeof(float));
    if (w->vector == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "native: %s: no memory", w->source.tensor.name);
    for (size_t i = 0; i < w->rows; i++)
        w->vector[i] = csm_element(&w->source.tensor, i);
    return CSM_OK;
}

csm_status csm_native_weight_new(void *ctx, const struct csm_weight_source *source, csm_weight **out,
                             csm_error *err)
{
    struct native *native = ctx;
    const csm_tensor *t = &source->tensor;
    if (t->rank < 1 || t->rank > 3 ||
        (source->format == CSM_WEIGHT_FLOAT && !csm_is_float(t->dtype)) ||
        (source->transposed && t->rank != 2))
        return csm_fail(err, CSM_BAD_ARG, "native: %s: %s of rank %zu is no weight", t->name,
                        csm_dtype_name(t->dtype), t->rank);
    csm_weight *w = calloc(1, sizeof *w);
    if (w == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "native: no memory for a weight");
    w->source = *source;
    w->precision = source->exact          ? CSM_PRECISION_STORED
                   : source->to_bits == 4 ? CSM_PRECISION_Q4
                   : source->to_bits == 8 ? CSM_PRECISION_Q8
                                          : native->precision;
    w->rows = t->shape[0];
    w->cols = t->rank == 1 ? 1 : t->shape[1] * (t->rank == 3 ? t->shape[2] : 1);
    if (source->transposed) {
        w->rows = t->shape[1];
        w->cols = t->shape[0];
    }
    csm_status st = CSM_OK;
    if (source->format != CSM_WEIGHT_FLOAT) {
        /* The shape may be the matrix's own or that of its words. */
        if (source->bits > 0 && t->n_bytes == w->rows * w->cols * 4)
            w->cols = w->cols * 32 / (size_t)source->bits;
        if (source->format == CSM_WEIGHT_AFFINE) {
            /* Kernels read codes of 4 and 8 bits: smaller ones are those numbers too. */
            w->tiles.bits = source->bits <= 4 ? 4 : 8;
            w->tiles.group = source->group_size;
        }
        st = check_quantized_source(w, err);
    } else if (t->rank == 2 && bits_of(w->precision) != 0 && w->cols % DEFAULT_GROUP == 0) {
        w->tiles.bits = bits_of(w->precision);
        w->tiles.group = DEFAULT_GROUP;
    }
    if (st == CSM_OK && t->rank == 1)
        st = make_vector(w, err);
    else if (st == CSM_OK && t->rank == 2 && !source->is_table)
        st = csm_native_weight_prepare(native, w, err);
    if (st != CSM_OK) {
        csm_native_weight_free(native, w);
        return st;
    }
    *out = w;
    return CSM_OK;
}

void csm_native_weight_free(void *ctx, csm_weight *w)
{
    (void)ctx;
    if (w == NULL)
        return;
    free(w->vector);
    free(w->conv.rows);
    free(w->conv.bias);
    free(w);
}
