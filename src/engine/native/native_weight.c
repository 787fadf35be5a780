/* SPDX-License-Identifier: Apache-2.0
 *
 * native_weight.c - weights, in the form for products.
 *
 * A float matrix is copied, at the precision asked for: memory is read about twice as
 * fast in huge pages, which a mapped file does not have, and four rows side by side
 * are one stream. Quantized matrices, stored or made here, are repacked into the tiles of
 * kernels.h (native_quantized.c). A table is read row by row where it lies: only the rows that are asked for
 * are converted, each time, to the same values.
 *
 * Asked-for precision meets stored type: what is stored narrower stays as it is
 * (float32 holds every bfloat16). A float32 source is rounded to bfloat16 before it
 * is quantized, as mlx-lm's convert does, so that scales take 2 bytes.
 *
 * The encoder's matrices are copied when sound is given for the first time: most speech is
 * made without.
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

void csm_native_source_floats(const csm_weight *w, size_t row, size_t n_rows, size_t first, size_t n,
                              float *out, size_t ld)
{
    const csm_tensor *t = &w->source.tensor;
    if (!w->source.transposed) {
        for (size_t r = 0; r < n_rows; r++)
            (void)csm_tensor_floats(t, (row + r) * w->cols + first, n, out + r * ld);
        return;
    }
    float column[CSM_TILE]; /* what lies together is read together */
    for (size_t c = 0; c < n; c++) {
        (void)csm_tensor_floats(t, (first + c) * w->rows + row, n_rows, column);
        for (size_t r = 0; r < n_rows; r++)
            out[r * ld + c] = column[r];
    }
}

/* Of floats. */
static void weight_row(const void *weight, size_t row, float *out)
{
    csm_native_source_floats(weight, row, 1, 0, ((const csm_weight *)weight)->cols, out, 0);
}

static bool is_half(const csm_weight *w)
{
    return w->source.tensor.dtype == CSM_DTYPE_F16 || w->source.tensor.dtype == CSM_DTYPE_BF16;
}

/* The float type to which scales and biases of this weight are rounded. */
static float round_scale(const csm_weight *w, float x)
{
    if (w->source.tensor.dtype == CSM_DTYPE_F16)
        return csm_from_f16(csm_to_f16(x));
    return csm_from_bf16(csm_to_bf16(x));
}

void csm_native_quantize_group(const csm_weight *w, float *values, uint8_t *codes, float *scale,
                               float *bias)
{
    const size_t group = (size_t)w->tiles.group;
    for (size_t i = 0; !is_half(w) && i < group; i++)
        values[i] = csm_round_bf16(values[i]);
    csm_affine_quantize(values, group, w->tiles.bits, w->tiles.group, codes, scale, bias);
    *scale = round_scale(w, *scale);
    *bias = round_scale(w, *bias);
}

void csm_native_weight_row(const csm_weight *w, size_t row, float *out, uint8_t *codes)
{
    const size_t group = (size_t)w->tiles.group;
    if (w->source.format != CSM_WEIGHT_FLOAT) {
        csm_quantized_row(&w->source, row, w->cols, out, codes);
        return;
    }
    weight_row(w, row, out);
    for (size_t g = 0; group != 0 && g < w->cols / group; g++) {
        float *values = out + g * group, scale, bias;
        csm_native_quantize_group(w, values, codes, &scale, &bias);
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
    float *room; /* of each thread: [n_room] */
    size_t n_room;
};

static csm_dtype dtype_of(enum form form)
{
    return form == FORM_F32 ? CSM_DTYPE_F32 : (form == FORM_BF16 ? CSM_DTYPE_BF16 : CSM_DTYPE_F16);
}

/* Floats of room that a thread needs to make a form: four rows, and as halves, or a tile of rows;
 * and four rows as they are made. */
static size_t room_for(const csm_weight *w, enum form form)
{
    const size_t cols = csm_padded(w->cols, CSM_TILE);
    const size_t made = w->source.made != NULL
                            ? CSM_MADE_AT_ONCE * w->cols + w->source.made->n_room
                            : 0;
    if (form == FORM_AFFINE || form == FORM_E4M3)
        return made != 0 ? CSM_TILE * w->cols + made : 1;
    return 2 * CSM_FOUR_ROWS * cols + made;
}

const void *csm_native_made_rows(const csm_weight *w, size_t first, size_t n, float *room)
{
    const struct csm_made_rows *made = w->source.made;
    made->read(made, first, n, room, room + CSM_MADE_AT_ONCE * w->cols);
    return room;
}

/* n rows of floats, their columns padded: [n, padded cols]. made: these rows, if they are made. */
static void float_rows(const csm_weight *w, size_t first, size_t n, const void *made, float *out)
{
    const size_t cols = csm_padded(w->cols, CSM_TILE);
    csm_tensor rows = w->source.tensor;
    rows.data = made;
    if (made == NULL)
        csm_native_source_floats(w, first, n, 0, w->cols, out, cols);
    for (size_t r = 0; made != NULL && r < n; r++)
        (void)csm_tensor_floats(&rows, r * w->cols, w->cols, out + r * cols);
    for (size_t r = 0; r < n; r++)
        memset(out + r * cols + w->cols, 0, (cols - w->cols) * sizeof *out);
}

/* n rows of a matrix that lies turned, as they are: `size` is a constant. */
__attribute__((always_inline)) static inline void turn_rows(const csm_weight *w, size_t first,
                                                            size_t n, const size_t size, char *out,
                                                            size_t ld)
{
    const char *from = (const char *)w->source.tensor.data + first * size;
    for (size_t c = 0; c < w->cols; c++, from += w->rows * size, out += size)
        for (size_t r = 0; r < n; r++)
            memcpy(out + r * ld * size, from + r * size, size);
}

/* Four rows in the form's type, missing columns and rows zero: where they lie, or in `room`. */
static void rows_in_form(const csm_weight *w, size_t first, float *room,
                         const char *rows[CSM_FOUR_ROWS])
{
    const csm_dtype dtype = dtype_of(w->form);
    const size_t size = csm_dtype_size(dtype), cols = csm_padded(w->cols, CSM_TILE);
    const size_t n = w->rows - first < CSM_FOUR_ROWS ? w->rows - first : CSM_FOUR_ROWS;
    const bool is_same = w->source.tensor.dtype == dtype;
    const bool is_turned = w->source.transposed;
    const void *made = w->source.made != NULL
                           ? csm_native_made_rows(w, first, n, room + 2 * CSM_FOUR_ROWS * cols)
                           : NULL;
    const char *from = NULL;
    if (is_same && !is_turned)
        from = made != NULL ? made
                            : (const char *)w->source.tensor.data + first * w->cols * size;
    if (from != NULL && n == CSM_FOUR_ROWS && cols == w->cols) {
        for (size_t r = 0; r < n; r++)
            rows[r] = from + r * cols * size;
        return;
    }
    uint16_t *halves = (uint16_t *)(room + CSM_FOUR_ROWS * cols);
    char *out = size == 2 ? (char *)halves : (char *)room;
    memset(out, 0, CSM_FOUR_ROWS * cols * size);
    for (size_t r = 0; r < CSM_FOUR_ROWS; r++)
        rows[r] = out + r * cols * size;
    for (size_t r = 0; from != NULL && r < n; r++)
        memcpy(out + r * cols * size, from + r * w->cols * size, w->cols * size);
    if (is_same && is_turned && size == 2)
        turn_rows(w, first, n, 2, out, cols);
    else if (is_same && is_turned)
        turn_rows(w, first, n, 4, out, cols);
    if (is_same)
        return;
    float_rows(w, first, n, made, room);
    if (w->form == FORM_BF16)
        for (size_t i = 0; i < n * cols; i++)
            halves[i] = csm_to_bf16(room[i]);
    else if (w->form == FORM_F16)
        for (size_t i = 0; i < n * cols; i++)
            halves[i] = csm_to_f16(room[i]);
}

/* A constant size makes these copies registers. */
__attribute__((always_inline)) static inline void
put_four(const char *const rows[CSM_FOUR_ROWS], size_t cols, const size_t size, unsigned char *to)
{
    for (size_t at = 0; at < cols * size; at += CSM_TILE * size)
        for (size_t r = 0; r < CSM_FOUR_ROWS; r++, to += CSM_TILE * size)
            memcpy(to, rows[r] + at, CSM_TILE * size);
}

/* Items are four rows each. */
static void convert_work(void *user, size_t first, size_t end, int thread)
{
    const struct convert_job *job = user;
    const csm_weight *w = job->weight;
    const size_t size = csm_dtype_size(dtype_of(w->form)), cols = csm_padded(w->cols, CSM_TILE);
    float *room = job->room + (size_t)thread * job->n_room;
    for (size_t four = first; four < end; four++) {
        const char *rows[CSM_FOUR_ROWS];
        rows_in_form(w, CSM_FOUR_ROWS * four, room, rows);
        unsigned char *to = job->to + four * CSM_FOUR_ROWS * cols * size;
        if (size == 2)
            put_four(rows, cols, 2, to);
        else
            put_four(rows, cols, 4, to);
    }
}

/* Items are tiles. */
static void tile_work(void *user, size_t first, size_t end, int thread)
{
    const struct convert_job *job = user;
    const csm_weight *w = job->weight;
    float *room = job->room + (size_t)thread * job->n_room;
    for (size_t tile = first; tile < end; tile++)
        if (w->form == FORM_AFFINE)
            csm_native_affine_tile(w, tile, job->to + tile * w->tiles.tile_bytes, room);
        else
            csm_native_e4m3_tile(w, tile, job->to + tile * csm_e4m3_tile_bytes(w->e4m3.n_groups));
}

static enum form float_form(const csm_weight *w)
{
    if (w->precision == CSM_PRECISION_BF16)
        return FORM_BF16;
    if (w->precision == CSM_PRECISION_F16)
        return FORM_F16;
    if (!is_half(w))
        return FORM_F32;
    return w->source.tensor.dtype == CSM_DTYPE_BF16 ? FORM_BF16 : FORM_F16;
}

static csm_status convert(struct native *native, csm_weight *w, enum form form, csm_work work,
                          size_t n_items, size_t n_bytes, csm_error *err)
{
    size_t n_threads = (size_t)csm_threads_count(native->threads), n_room = room_for(w, form);
    struct convert_job job = {.weight = w,
                              .to = csm_native_arena_take(&native->arena, n_bytes),
                              .room = malloc(n_threads * n_room * sizeof(float)),
                              .n_room = n_room};
    if (job.to == NULL || job.room == NULL) {
        free(job.room);
        return csm_fail(err, CSM_NO_MEMORY, "native: %s: no memory for %zu bytes",
                        w->source.tensor.name, n_bytes);
    }
    w->form = form;
    csm_threads_run(native->threads, work, &job, n_items, 1);
    free(job.room);
    w->data = job.to;
    w->tiles.data = job.to;
    w->e4m3.data = job.to;
    return CSM_OK;
}

csm_status csm_native_weight_prepare(struct native *native, csm_weight *w, csm_error *err)
{
    if (w->form != FORM_NONE)
        return CSM_OK;
    if (w->source.tensor.rank < 2)
        return csm_fail(err, CSM_BAD_ARG, "native: %s: a vector where a matrix was expected",
                        w->source.tensor.name);
    const size_t n_tiles = (w->rows + CSM_TILE - 1) / CSM_TILE;
    if (w->tiles.group != 0)
        return convert(native, w, FORM_AFFINE, tile_work, n_tiles, csm_native_affine_shape(w), err);
    if (w->source.format == CSM_WEIGHT_MXFP8) {
        w->e4m3.n_groups = w->cols / CSM_E4M3_GROUP;
        return convert(native, w, FORM_E4M3, tile_work, n_tiles,
                       n_tiles * csm_e4m3_tile_bytes(w->e4m3.n_groups), err);
    }
    enum form form = float_form(w);
    if (form == FORM_F32 && w->source.is_sound) {
        w->form = FORM_COLUMNS;
        return csm_native_pack(native, weight_row, w, w->rows, w->cols, true, &w->columns, err);
    }
    size_t rows = csm_padded(w->rows, CSM_FOUR_ROWS), cols = csm_padded(w->cols, CSM_TILE);
    return convert(native, w, form, convert_work, rows / CSM_FOUR_ROWS,
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
    if (bits_of(w->precision) != 0 &&
        (s->format != CSM_WEIGHT_AFFINE || bits_of(w->precision) != s->bits))
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
        if (source->format != CSM_WEIGHT_MXFP8) {
            w->tiles.bits = source->bits;
            w->tiles.group = source->group_size;
        }
        if (w->tiles.group != 0 && w->tiles.group < CSM_PLANE_COLUMNS) /* as kernels have them */
            w->tiles.bits = source->bits <= 4 ? 4 : 8;
        st = check_quantized_source(w, err);
    } else if (t->rank == 2 && bits_of(w->precision) != 0 && w->cols % DEFAULT_GROUP == 0) {
        w->tiles.bits = bits_of(w->precision);
        w->tiles.group = DEFAULT_GROUP;
    }
    if (st == CSM_OK && t->rank == 1)
        st = make_vector(w, err);
    else if (st == CSM_OK && t->rank == 2 && !source->is_table && !source->is_of_encoder)
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
    csm_native_pairs_free(w);
    free(w->vector);
    free(w->conv.rows);
    free(w->conv.bias);
    free(w);
}
