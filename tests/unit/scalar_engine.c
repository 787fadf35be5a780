/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/scalar_engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/numbers.h"

/* [rows, cols]; a vector is [1, n], a convolution's weight one row of all. */
struct csm_weight {
    size_t rows, cols;
    float *data;
};

struct csm_value {
    size_t rows, cols;
    float *data;
};

/* Keys and values, [layer][position mod capacity][kv head * head_dim]. */
struct csm_lane {
    size_t n_layers, capacity, width;
    size_t *length; /* [layer] positions so far */
    float *k, *v;
};

/* The last rows of a stream that later ones need. */
struct csm_conv_state {
    const struct csm_conv *conv;
    bool is_begun;
    float *past;
};

static csm_status scalar_open(const struct csm_engine_options *options, void **ctx, csm_error *err)
{
    (void)options;
    (void)err;
    *ctx = NULL;
    return CSM_OK;
}

static void scalar_close(void *ctx)
{
    (void)ctx;
}

static const char *scalar_version(void *ctx)
{
    (void)ctx;
    return "1";
}

static float element(const csm_tensor *t, size_t i)
{
    const uint16_t *half = t->data;
    return t->dtype == CSM_DTYPE_BF16  ? csm_from_bf16(half[i])
           : t->dtype == CSM_DTYPE_F16 ? csm_from_f16(half[i])
                                 : ((const float *)t->data)[i];
}

static csm_status weight_new(void *ctx, const struct csm_weight_source *source, csm_weight **out,
                             csm_error *err)
{
    (void)ctx;
    const csm_tensor *t = &source->tensor;
    size_t rows = t->rank > 0 ? t->shape[0] : 1;
    size_t cols = 1;
    for (size_t i = 1; i < t->rank; i++)
        cols *= t->shape[i];
    if (source->format != CSM_WEIGHT_FLOAT)
        cols = cols * 32 / (size_t)source->bits;
    csm_weight *w = calloc(1, sizeof *w);
    float *data = malloc(rows * cols * sizeof *data);
    if (w == NULL || data == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "scalar: weight");
    *w = (csm_weight){.rows = rows, .cols = cols, .data = data};
    for (size_t i = 0; i < rows * cols; i++) {
        if (source->format == CSM_WEIGHT_FLOAT) {
            data[i] = element(t, i);
            continue;
        }
        size_t per_word = 32 / (size_t)source->bits;
        uint32_t word = ((const uint32_t *)t->data)[i / per_word];
        uint32_t q = word >> (i % per_word * (size_t)source->bits) & ((1u << source->bits) - 1);
        size_t group = i / (size_t)source->group_size;
        data[i] = element(&source->scales, group) * (float)q + element(&source->biases, group);
    }
    if (source->transposed) {
        float *turned = malloc(rows * cols * sizeof *turned);
        if (turned == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "scalar: weight");
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < cols; c++)
                turned[c * rows + r] = data[r * cols + c];
        free(data);
        *w = (csm_weight){.rows = cols, .cols = rows, .data = turned};
    }
    *out = w;
    return CSM_OK;
}

static void weight_free(void *ctx, csm_weight *w)
{
    (void)ctx;
    if (w != NULL)
        free(w->data);
    free(w);
}

static csm_status value_new(void *ctx, csm_value **out, csm_error *err)
{
    (void)ctx;
    *out = calloc(1, sizeof **out);
    return *out != NULL ? CSM_OK : csm_fail(err, CSM_NO_MEMORY, "scalar: value");
}

static void value_free(void *ctx, csm_value *x)
{
    (void)ctx;
    if (x != NULL)
        free(x->data);
    free(x);
}

static csm_status shape(csm_value *x, size_t rows, size_t cols, csm_error *err)
{
    float *data = realloc(x->data, (rows * cols + 1) * sizeof *data);
    if (data == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "scalar: %zu x %zu", rows, cols);
    *x = (csm_value){.rows = rows, .cols = cols, .data = data};
    return CSM_OK;
}

static const struct csm_traits *traits(void *ctx)
{
    static const struct csm_traits all = {
        .own_stream = CSM_STREAM_COUNT, .lanes = true, .codec = true, .precisions = ~0u};
    (void)ctx;
    return &all;
}

static csm_status lane_open(void *ctx, const struct csm_attention *blocks, size_t n_layers,
                            size_t capacity, csm_lane **out, csm_error *err)
{
    (void)ctx;
    csm_lane *c = calloc(1, sizeof *c);
    if (c == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "scalar: lane");
    *c = (csm_lane){.n_layers = n_layers,
                    .capacity = capacity,
                    .width = blocks[0].n_kv_heads * blocks[0].head_dim};
    size_t n = n_layers * capacity * c->width;
    c->length = calloc(n_layers, sizeof *c->length);
    c->k = calloc(n, sizeof *c->k);
    c->v = calloc(n, sizeof *c->v);
    *out = c;
    return c->length != NULL && c->k != NULL && c->v != NULL
               ? CSM_OK
               : csm_fail(err, CSM_NO_MEMORY, "scalar: lane");
}

static csm_status lane_truncate(void *ctx, csm_lane *c, size_t n_positions, csm_error *err)
{
    (void)ctx;
    (void)err;
    for (size_t l = 0; l < c->n_layers; l++)
        if (c->length[l] > n_positions)
            c->length[l] = n_positions;
    return CSM_OK;
}

static void lane_close(void *ctx, csm_lane *c)
{
    (void)ctx;
    if (c == NULL)
        return;
    free(c->length);
    free(c->k);
    free(c->v);
    free(c);
}

static csm_status put(void *ctx, const float *host, size_t rows, size_t cols, csm_value *out,
                      csm_error *err)
{
    (void)ctx;
    csm_status st = shape(out, rows, cols, err);
    if (st == CSM_OK)
        memcpy(out->data, host, rows * cols * sizeof *host);
    return st;
}

static csm_status get(void *ctx, const csm_value *x, size_t rows, size_t cols, float *host,
                      csm_error *err)
{
    (void)ctx;
    if (x->rows != rows || x->cols != cols)
        return csm_fail(err, CSM_BAD_ARG, "scalar: read %zu x %zu of %zu x %zu", rows, cols,
                        x->rows, x->cols);
    memcpy(host, x->data, rows * cols * sizeof *host);
    return CSM_OK;
}

static csm_status embed(void *ctx, const csm_weight *table, const int32_t *ids, size_t rows,
                        size_t n_per_row, csm_value *out, csm_error *err)
{
    (void)ctx;
    csm_status st = shape(out, rows, table->cols, err);
    if (st != CSM_OK)
        return st;
    for (size_t r = 0; r < rows; r++)
        for (size_t d = 0; d < table->cols; d++) {
            double sum = 0.0;
            for (size_t j = 0; j < n_per_row; j++)
                sum += table->data[(size_t)ids[r * n_per_row + j] * table->cols + d];
            out->data[r * table->cols + d] = (float)sum;
        }
    return CSM_OK;
}

static csm_status copy_rows(void *ctx, const csm_value *src, size_t first, size_t n, csm_value *dst,
                            size_t at, csm_error *err)
{
    (void)ctx;
    csm_status st = CSM_OK;
    if (at == 0)
        st = shape(dst, n, src->cols, err);
    else if (at + n > dst->rows)
        st = shape(dst, at + n, src->cols, err);
    if (st == CSM_OK)
        memcpy(dst->data + at * src->cols, src->data + first * src->cols,
               n * src->cols * sizeof *dst->data);
    return st;
}

static void norm_row(const struct csm_norm *norm, const float *x, size_t n, float *out)
{
    double mean = 0.0, square = 0.0;
    for (size_t i = 0; norm->kind == CSM_NORM_LAYER && i < n; i++)
        mean += x[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        square += (x[i] - mean) * (x[i] - mean) / (double)n;
    double by = 1.0 / sqrt(square + (double)norm->eps);
    for (size_t i = 0; i < n; i++)
        out[i] = (float)((x[i] - mean) * by * norm->scale->data[i] +
                         (norm->bias != NULL ? norm->bias->data[i] : 0.0f));
}

static csm_status norm(void *ctx, const struct csm_norm *n, const csm_value *x, csm_value *out,
                       csm_error *err)
{
    (void)ctx;
    csm_status st = shape(out, x->rows, x->cols, err);
    for (size_t r = 0; st == CSM_OK && r < x->rows; r++)
        norm_row(n, x->data + r * x->cols, x->cols, out->data + r * x->cols);
    return st;
}

static void multiply(const csm_weight *w, const float *x, float *out)
{
    for (size_t r = 0; r < w->rows; r++) {
        double sum = 0.0;
        for (size_t c = 0; c < w->cols; c++)
            sum += (double)w->data[r * w->cols + c] * x[c];
        out[r] = (float)sum;
    }
}

static csm_status linear(void *ctx, const csm_weight *w, const csm_weight *bias, const csm_value *x,
                         csm_value *out, csm_error *err)
{
    (void)ctx;
    if (w->cols != x->cols)
        return csm_fail(err, CSM_BAD_ARG, "scalar: weight of %zu columns, value of %zu", w->cols,
                        x->cols);
    csm_status st = shape(out, x->rows, w->rows, err);
    for (size_t r = 0; st == CSM_OK && r < x->rows; r++) {
        multiply(w, x->data + r * x->cols, out->data + r * w->rows);
        for (size_t i = 0; bias != NULL && i < w->rows; i++)
            out->data[r * w->rows + i] += bias->data[i];
    }
    return st;
}

static float frequency(const struct csm_rope *rope, size_t i, size_t head_dim)
{
    double f = pow(rope->theta, -2.0 * (double)i / (double)head_dim);
    if (rope->factor == 0.0)
        return (float)f;
    double wavelength = 2.0 * acos(-1.0) / f;
    double low = rope->original_max_positions / rope->low_freq_factor;
    double high = rope->original_max_positions / rope->high_freq_factor;
    if (wavelength < high)
        return (float)f;
    if (wavelength > low)
        return (float)(f / rope->factor);
    double s = (rope->original_max_positions / wavelength - rope->low_freq_factor) /
               (rope->high_freq_factor - rope->low_freq_factor);
    return (float)((1.0 - s) * f / rope->factor + s * f);
}

static void rotate(const struct csm_rope *rope, size_t position, size_t n_heads, size_t head_dim,
                   float *x)
{
    for (size_t h = 0; h < n_heads; h++)
        for (size_t i = 0; i < head_dim / 2; i++) {
            size_t a = h * head_dim + (rope->interleaved ? 2 * i : i);
            size_t b = h * head_dim + (rope->interleaved ? 2 * i + 1 : i + head_dim / 2);
            float angle = (float)position * frequency(rope, i, head_dim);
            float c = cosf(angle), s = sinf(angle), xa = x[a], xb = x[b];
            x[a] = xa * c - xb * s;
            x[b] = xb * c + xa * s;
        }
}

/* One position of one lane: its key and value are in the cache already. */
static void attend(const struct csm_attention *b, const csm_lane *cache, size_t layer, size_t position,
                    const float *q, float *out)
{
    size_t first = b->window != 0 && position + 1 > b->window ? position + 1 - b->window : 0;
    size_t base = layer * cache->capacity;
    double *score = malloc((position + 1) * sizeof *score);
    for (size_t h = 0; h < b->n_heads; h++) {
        size_t kv = h / (b->n_heads / b->n_kv_heads) * b->head_dim;
        double most = -INFINITY, sum = 0.0;
        for (size_t j = first; j <= position; j++) {
            const float *k = cache->k + (base + j % cache->capacity) * cache->width + kv;
            double dot = 0.0;
            for (size_t d = 0; d < b->head_dim; d++)
                dot += (double)q[h * b->head_dim + d] * k[d];
            score[j] = dot / sqrt((double)b->head_dim);
            most = score[j] > most ? score[j] : most;
        }
        for (size_t j = first; j <= position; j++)
            sum += score[j] = exp(score[j] - most);
        for (size_t d = 0; d < b->head_dim; d++) {
            double value = 0.0;
            for (size_t j = first; j <= position; j++)
                value += score[j] / sum *
                         cache->v[(base + j % cache->capacity) * cache->width + kv + d];
            out[h * b->head_dim + d] = (float)value;
        }
    }
    free(score);
}

/* One lane's rows. */
static csm_status attend_rows(const struct csm_attention *b, size_t layer, csm_lane *cache,
                              size_t n_rows, float *rows, csm_error *err)
{
    size_t q_width = b->n_heads * b->head_dim, *length = &cache->length[layer];
    size_t kept = b->window != 0 ? b->window - 1 : *length;
    if (kept + n_rows > cache->capacity)
        return csm_fail(err, CSM_BAD_ARG, "scalar: %zu rows, lane of %zu", n_rows, cache->capacity);
    float *normed = malloc((b->width + 2 * q_width + b->width) * sizeof *normed);
    if (normed == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "scalar: attention");
    float *q = normed + b->width, *mixed = q + q_width, *out = mixed + q_width;
    for (size_t t = 0; t < n_rows; t++) {
        size_t at = layer * cache->capacity + (*length + t) % cache->capacity;
        norm_row(&b->norm, rows + t * b->width, b->width, normed);
        multiply(b->k, normed, cache->k + at * cache->width);
        multiply(b->v, normed, cache->v + at * cache->width);
        rotate(&b->rope, *length + t, b->n_kv_heads, b->head_dim, cache->k + at * cache->width);
    }
    for (size_t t = 0; t < n_rows; t++) {
        norm_row(&b->norm, rows + t * b->width, b->width, normed);
        multiply(b->q, normed, q);
        rotate(&b->rope, *length + t, b->n_heads, b->head_dim, q);
        attend(b, cache, layer, *length + t, q, mixed);
        multiply(b->o, mixed, out);
        for (size_t i = 0; i < b->width; i++)
            rows[t * b->width + i] +=
                out[i] * (b->layer_scale != NULL ? b->layer_scale->data[i] : 1.0f);
    }
    *length += n_rows;
    free(normed);
    return CSM_OK;
}

static csm_status attention(void *ctx, const struct csm_attention *b, size_t layer,
                            const struct csm_rows *rows, size_t n_lanes, csm_value *x,
                            csm_error *err)
{
    (void)ctx;
    csm_status st = CSM_OK;
    for (size_t i = 0, at = 0; st == CSM_OK && i < n_lanes; at += rows[i++].n)
        st = attend_rows(b, layer, rows[i].lane, rows[i].n, x->data + at * b->width, err);
    return st;
}

static csm_status mlp(void *ctx, const struct csm_mlp *b, csm_value *x, csm_error *err)
{
    (void)ctx;
    float *normed = malloc((2 * b->width + 2 * b->hidden) * sizeof *normed);
    if (normed == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "scalar: mlp");
    float *up = normed + b->width, *gate = up + b->hidden, *down = gate + b->hidden;
    for (size_t r = 0; r < x->rows; r++) {
        float *row = x->data + r * b->width;
        norm_row(&b->norm, row, b->width, normed);
        multiply(b->up, normed, up);
        if (b->gate != NULL)
            multiply(b->gate, normed, gate);
        for (size_t i = 0; i < b->hidden; i++)
            up[i] = b->gate != NULL
                        ? (float)(gate[i] / (1.0 + exp(-(double)gate[i])) * up[i])
                        : (float)(0.5 * up[i] * (1.0 + erf(up[i] / sqrt(2.0))));
        multiply(b->down, up, down);
        for (size_t i = 0; i < b->width; i++)
            row[i] += down[i] * (b->layer_scale != NULL ? b->layer_scale->data[i] : 1.0f);
    }
    free(normed);
    return CSM_OK;
}

static csm_status add(void *ctx, csm_value *x, const csm_value *y, csm_error *err)
{
    (void)ctx;
    if (x->rows != y->rows || x->cols != y->cols)
        return csm_fail(err, CSM_BAD_ARG, "scalar: add %zu x %zu and %zu x %zu", x->rows, x->cols,
                        y->rows, y->cols);
    for (size_t i = 0; i < x->rows * x->cols; i++)
        x->data[i] += y->data[i];
    return CSM_OK;
}

/* Rows of the past that a stream keeps: inputs (forward), inputs too (transposed:
 * outputs are made of the last ceil(kernel / stride) - 1 inputs and the new ones). */
static size_t n_past(const struct csm_conv *c)
{
    if (c->transposed)
        return (c->kernel + c->stride - 1) / c->stride - 1;
    return (c->kernel - 1) * c->dilation + 1 - c->stride;
}

static csm_status conv_state_new(void *ctx, const struct csm_conv *conv, csm_conv_state **out,
                                 csm_error *err)
{
    (void)ctx;
    csm_conv_state *s = calloc(1, sizeof *s);
    if (s == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "scalar: conv state");
    s->conv = conv;
    s->past = calloc(n_past(conv) * conv->in + 1, sizeof *s->past);
    *out = s;
    return s->past != NULL ? CSM_OK : csm_fail(err, CSM_NO_MEMORY, "scalar: conv state");
}

static csm_status conv_state_reset(void *ctx, csm_conv_state *s, csm_error *err)
{
    (void)ctx;
    (void)err;
    s->is_begun = false;
    memset(s->past, 0, n_past(s->conv) * s->conv->in * sizeof *s->past);
    return CSM_OK;
}

static void conv_state_free(void *ctx, csm_conv_state *s)
{
    (void)ctx;
    if (s != NULL)
        free(s->past);
    free(s);
}

/* out row t of a forward convolution over in rows that begin with the past */
static void forward(const struct csm_conv *c, const float *in, size_t t, float *out)
{
    size_t in_group = c->in / c->groups, out_group = c->out / c->groups;
    for (size_t o = 0; o < c->out; o++) {
        double sum = c->bias != NULL ? c->bias->data[o] : 0.0;
        for (size_t i = 0; i < in_group; i++)
            for (size_t j = 0; j < c->kernel; j++)
                sum += (double)c->weight->data[(o * in_group + i) * c->kernel + j] *
                       in[(t * c->stride + j * c->dilation) * c->in + o / out_group * in_group + i];
        out[o] = (float)sum;
    }
}

/* out row t * stride + j: sum over past inputs s of w[:, :, j + s * stride] x[t - s];
 * `in` points at input row t, with n_past rows before it. */
static void backward(const struct csm_conv *c, const float *in, size_t j, float *out)
{
    size_t in_group = c->in / c->groups, out_group = c->out / c->groups;
    for (size_t o = 0; o < c->out; o++) {
        double sum = c->bias != NULL ? c->bias->data[o] : 0.0;
        for (size_t i = 0; i < in_group; i++) {
            size_t channel = o / out_group * in_group + i;
            for (size_t s = 0; j + s * c->stride < c->kernel; s++)
                sum += (double)c->weight->data[(channel * out_group + o % out_group) * c->kernel +
                                               j + s * c->stride] *
                       *(in - s * c->in + channel);
        }
        out[o] = (float)sum;
    }
}

static csm_status conv(void *ctx, const struct csm_conv *c, csm_conv_state *state,
                       const csm_value *x, csm_value *out, csm_error *err)
{
    (void)ctx;
    size_t kept = n_past(c);
    size_t n_out = c->transposed ? x->rows * c->stride : (x->rows + c->stride - 1) / c->stride;
    size_t n_in = c->transposed ? x->rows : n_out * c->stride;
    if (x->cols != c->in)
        return csm_fail(err, CSM_BAD_ARG, "scalar: conv of %zu channels, value of %zu", c->in,
                        x->cols);
    float *in = calloc((kept + n_in) * c->in + 1, sizeof *in);
    csm_status st = in != NULL ? shape(out, n_out, c->out, err)
                               : csm_fail(err, CSM_NO_MEMORY, "scalar: conv");
    if (st != CSM_OK) {
        free(in);
        return st;
    }
    if (state != NULL)
        memcpy(in, state->past, kept * c->in * sizeof *in);
    float *rows = in + kept * c->in;
    for (size_t i = 0; i < x->rows * c->in; i++)
        rows[i] = x->data[i];
    if (c->replicate) {
        for (size_t t = 0; (state == NULL || !state->is_begun) && t < kept; t++)
            memcpy(in + t * c->in, x->data, c->in * sizeof *in);
        for (size_t t = x->rows; t < n_in; t++)
            memcpy(rows + t * c->in, x->data + (x->rows - 1) * c->in, c->in * sizeof *in);
    }
    if (state != NULL) {
        memcpy(state->past, in + n_in * c->in, kept * c->in * sizeof *in);
        state->is_begun = true;
    }
    for (size_t i = 0; c->elu && i < (kept + n_in) * c->in; i++)
        in[i] = in[i] > 0.0f ? in[i] : (float)expm1(in[i]);
    for (size_t t = 0; t < n_out; t++) {
        if (c->transposed)
            backward(c, rows + t / c->stride * c->in, t % c->stride, out->data + t * c->out);
        else
            forward(c, in, t, out->data + t * c->out);
    }
    free(in);
    return CSM_OK;
}

/* Stream by stream. */
static csm_status conv_lanes(void *ctx, const struct csm_conv *c, csm_conv_state *const *states,
                             size_t n, const csm_value *x, csm_value *out, csm_error *err)
{
    const size_t rows = x->rows / n;
    csm_value one = {0}, part = {0};
    csm_status st = CSM_OK;
    for (size_t i = 0; st == CSM_OK && i < n; i++) {
        st = copy_rows(ctx, x, i * rows, rows, &one, 0, err);
        if (st == CSM_OK)
            st = conv(ctx, c, states[i], &one, &part, err);
        if (st == CSM_OK)
            st = copy_rows(ctx, &part, 0, part.rows, out, i * part.rows, err);
    }
    free(one.data);
    free(part.data);
    return st;
}

const struct csm_engine_ops scalar_engine = {
    .name = "scalar",
    .open = scalar_open,
    .close = scalar_close,
    .version = scalar_version,
    .weight_new = weight_new,
    .weight_free = weight_free,
    .value_new = value_new,
    .value_free = value_free,
    .traits = traits,
    .lane_open = lane_open,
    .lane_truncate = lane_truncate,
    .lane_close = lane_close,
    .write = put,
    .read = get,
    .embed = embed,
    .copy_rows = copy_rows,
    .norm = norm,
    .linear = linear,
    .attention = attention,
    .mlp = mlp,
    .add = add,
    .conv_state_new = conv_state_new,
    .conv_state_reset = conv_state_reset,
    .conv_state_free = conv_state_free,
    .conv = conv,
    .conv_lanes = conv_lanes,
};
