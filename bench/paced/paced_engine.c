/* SPDX-License-Identifier: Apache-2.0
 *
 * paced_engine.c - a card that computes nothing and takes its time: what is left is the host's work.
 *
 * A csm_engine_cuda.so (bench/paced/, CSM_ENGINE_DIR) with the traits of engine cuda. Its frames, its
 * sound and its prompts take as long as an H200 takes for csm-1b's shape (docs/ENGINES.md); meanwhile
 * it sleeps, so any number of such cards is in one machine. Values have shapes and no numbers. A
 * frame's logits are rows of a table, each with one entry that every draw must choose, so the
 * sampler has its whole work and no frame is asked for twice; nothing is ever the last frame. As
 * engine cuda does, it copies logits to where they are asked for, with threads of its own.
 *
 * CSM_PACED_SLOWER=X: a card X times as slow, for hosts that a whole one would overload.
 *
 * Whatever the device is called, it is another card. Memory for shapes alone: 64 bytes a weight, a
 * value or a lane. */
#define _GNU_SOURCE
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/cores.h"
#include "base/error.h"
#include "base/threads.h"
#include "engine/engine.h"

enum {
    N_ROWS = 64, /* of the table of logits */
    N_PIECES = 4, /* in which a frame's codes come */
    COPIERS = 8,
    MOST_ENTRIES = 2048, /* of a codebook of Mimi's: what comes above is no sound */
    N_SOUND = 24000
};

/* Milliseconds by the number of lanes or streams; between them a line, beyond them the last one's slope. */
struct point {
    double n, ms;
};
static const struct point frame_ms[] = {{1, 3.7}, {8, 5.7}, {64, 8.2}, {256, 17.0}, {512, 27.2}};
static const struct point sound_ms[] = {{1, 1.2}, {8, 1.2}, {64, 2.9}, {128, 3.7}, {256, 6.6}, {512, 11.2}};
static const double pass_ms = 1.2, row_ms = 0.015; /* of prompts: the weights once, and each position */

struct paced {
    struct csm_traits traits;
    double slower;
    double free_at; /* when it has done all that it was given, on csm_now_ms's clock */
    csm_threads *copiers;
    float *rows; /* [N_ROWS, vocab], once a frame was asked for */
    size_t vocab;
    float *sound; /* [N_SOUND] */
};

struct csm_weight {
    size_t rows, cols;
};

struct csm_value {
    size_t rows, cols;
    double ready_at; /* sound: when it has been made; else 0 */
};

struct csm_lane {
    size_t length, serial;
};

struct csm_conv_state {
    char nothing;
};

struct csm_random {
    char nothing;
};

/* ---- time ------------------------------------------------------------------------------ */

static double time_of(const struct paced *p, const struct point *points, size_t n_points, size_t n)
{
    size_t i = 1;
    while (i + 1 < n_points && (double)n > points[i].n)
        i++;
    const struct point a = points[i - 1], b = points[i];
    return p->slower * (a.ms + ((double)n - a.n) * (b.ms - a.ms) / (b.n - a.n));
}

/* The card is given ms more of work; when it will be done. */
static double give_work(struct paced *p, double ms)
{
    const double now = csm_now_ms();
    p->free_at = (p->free_at > now ? p->free_at : now) + ms;
    return p->free_at;
}

static void sleep_until(double at)
{
    const double left = at - csm_now_ms();
    if (left <= 0)
        return;
    const struct timespec wait = {(time_t)(left / 1e3), (long)(fmod(left, 1e3) * 1e6)};
    nanosleep(&wait, NULL);
}

/* ---- numbers that are the same in each run ------------------------------------------------ */

static double next_uniform(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return ((double)(*state >> 33) + 0.5) / 2147483648.0;
}

static size_t code_of_row(size_t row, size_t vocab)
{
    const size_t n = vocab < MOST_ENTRIES ? vocab / 2 : MOST_ENTRIES;
    return 1 + row * 131 % (n - 1);
}

static csm_status make_rows(struct paced *p, size_t vocab, csm_error *err)
{
    if (p->rows != NULL)
        return CSM_OK;
    p->rows = malloc(N_ROWS * vocab * sizeof *p->rows);
    if (p->rows == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "paced: %d rows of logits", N_ROWS);
    p->vocab = vocab;
    uint64_t state = 1;
    for (size_t r = 0; r < N_ROWS; r++) {
        float *row = p->rows + r * vocab;
        for (size_t i = 0; i < vocab; i++)
            row[i] = (float)(2 * sqrt(-2 * log(next_uniform(&state))) * cos(6.283185307179586 * next_uniform(&state)));
        row[code_of_row(r, vocab)] = 100.0f; /* e^-80 is left for all others together */
    }
    return CSM_OK;
}

/* A hum in noise, at a tenth of full scale: an encoder has something to do. */
static csm_status make_sound(struct paced *p, csm_error *err)
{
    p->sound = malloc(N_SOUND * sizeof *p->sound);
    if (p->sound == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "paced: a second of sound");
    uint64_t state = 2;
    for (size_t i = 0; i < N_SOUND; i++)
        p->sound[i] = (float)(0.1 * sin(0.0392699 * (double)i) + 0.02 * (next_uniform(&state) - 0.5));
    return CSM_OK;
}

/* ---- the context ---------------------------------------------------------------------------- */

static void close_context(void *ctx)
{
    struct paced *p = ctx;
    csm_threads_free(p->copiers);
    free(p->rows);
    free(p->sound);
    free(p);
}

static csm_status open_context(const struct csm_engine_options *options, void **out, csm_error *err)
{
    (void)options;
    const char *slower = getenv("CSM_PACED_SLOWER");
    struct paced *p = calloc(1, sizeof *p);
    if (p == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "paced: a context");
    p->slower = slower != NULL ? atof(slower) : 1;
    p->traits = (struct csm_traits){.own_draws = CSM_OWN_NONE,
                                    .own_stream = CSM_STREAM_TORCH_CUDA,
                                    .lanes = true,
                                    .independent_rows = true,
                                    .codec = true,
                                    .codec_apart = true,
                                    .whole_frame = true,
                                    .precisions = ~0u};
    csm_status st = make_sound(p, err);
    if (st == CSM_OK && p->slower <= 0)
        st = csm_fail(err, CSM_BAD_ARG, "paced: CSM_PACED_SLOWER=%s, expected more than 0", slower);
    if (st != CSM_OK) {
        close_context(p);
        return st;
    }
    *out = p;
    return CSM_OK;
}

static const char *version(void *ctx)
{
    (void)ctx;
    return "paced";
}

static const struct csm_traits *traits(void *ctx)
{
    return &((struct paced *)ctx)->traits;
}

/* ---- what holds data, and here shapes -------------------------------------------------------- */

static csm_status no_memory(csm_error *err)
{
    return csm_fail(err, CSM_NO_MEMORY, "paced: out of memory");
}

static csm_status weight_new(void *ctx, const struct csm_weight_source *source, csm_weight **out, csm_error *err)
{
    (void)ctx;
    const csm_tensor *t = &source->tensor;
    csm_weight *w = calloc(1, sizeof *w);
    if (w == NULL)
        return no_memory(err);
    const size_t last = t->rank > 1 ? t->shape[1] : 1;
    w->rows = source->transposed ? last : t->shape[0];
    w->cols = source->transposed ? t->shape[0] : last;
    if (source->format != CSM_WEIGHT_FLOAT)
        w->cols = w->cols * 32 / (size_t)source->bits;
    *out = w;
    return CSM_OK;
}

static void weight_free(void *ctx, csm_weight *weight)
{
    (void)ctx;
    free(weight);
}

static csm_status value_new(void *ctx, csm_value **out, csm_error *err)
{
    (void)ctx;
    *out = calloc(1, sizeof **out);
    return *out != NULL ? CSM_OK : no_memory(err);
}

static void value_free(void *ctx, csm_value *value)
{
    (void)ctx;
    free(value);
}

static csm_status shape(csm_value *out, size_t rows, size_t cols)
{
    *out = (csm_value){.rows = rows, .cols = cols};
    return CSM_OK;
}

static csm_status lane_open(void *ctx, const struct csm_attention *blocks, size_t n_layers, size_t capacity,
                            csm_lane **out, csm_error *err)
{
    static size_t n_lanes; /* of no thread's: it only makes lanes differ */
    (void)ctx, (void)blocks, (void)n_layers, (void)capacity;
    *out = calloc(1, sizeof **out);
    if (*out == NULL)
        return no_memory(err);
    (*out)->serial = __atomic_fetch_add(&n_lanes, 1, __ATOMIC_RELAXED);
    return CSM_OK;
}

static csm_status lane_fork(void *ctx, const csm_lane *from, size_t n_positions, csm_lane **out, csm_error *err)
{
    (void)from;
    const csm_status st = lane_open(ctx, NULL, 0, 0, out, err);
    if (st == CSM_OK)
        (*out)->length = n_positions;
    return st;
}

static csm_status lane_truncate(void *ctx, csm_lane *lane, size_t n_positions, csm_error *err)
{
    (void)ctx, (void)err;
    lane->length = n_positions < lane->length ? n_positions : lane->length;
    return CSM_OK;
}

static size_t lane_bytes(void *ctx, const csm_lane *lane)
{
    (void)ctx;
    return lane->length * 32768; /* csm-1b's keys and values in float16 */
}

static void lane_close(void *ctx, csm_lane *lane)
{
    (void)ctx;
    free(lane);
}

/* ---- host <-> engine ------------------------------------------------------------------------------ */

static csm_status write_rows(void *ctx, const float *host, size_t rows, size_t cols, csm_value *out, csm_error *err)
{
    (void)ctx, (void)host, (void)err;
    return shape(out, rows, cols);
}

static csm_status read_rows(void *ctx, const csm_value *x, size_t rows, size_t cols, float *host, csm_error *err)
{
    const struct paced *p = ctx;
    if (x->rows != rows || x->cols != cols)
        return csm_fail(err, CSM_BAD_ARG, "paced: read of [%zu, %zu] from a value of [%zu, %zu]", rows, cols,
                        x->rows, x->cols);
    sleep_until(x->ready_at > 0 ? x->ready_at : p->free_at);
    for (size_t at = 0, n = rows * cols, piece; at < n; at += piece) {
        piece = n - at < N_SOUND ? n - at : N_SOUND;
        memcpy(host + at, p->sound, piece * sizeof *host);
    }
    return CSM_OK;
}

/* ---- arithmetic ------------------------------------------------------------------------------------- */

static csm_status embed(void *ctx, const csm_weight *table, const int32_t *ids, size_t rows, size_t n_per_row,
                        csm_value *out, csm_error *err)
{
    (void)ctx, (void)ids, (void)n_per_row, (void)err;
    return shape(out, rows, table->cols);
}

static csm_status copy_rows(void *ctx, const csm_value *src, size_t first, size_t n, csm_value *dst, size_t at,
                            csm_error *err)
{
    (void)ctx, (void)first, (void)err;
    return shape(dst, at + n > dst->rows || at == 0 ? at + n : dst->rows, src->cols);
}

static csm_status norm(void *ctx, const struct csm_norm *of, const csm_value *x, csm_value *out, csm_error *err)
{
    (void)ctx, (void)of, (void)err;
    return shape(out, x->rows, x->cols);
}

static csm_status linear(void *ctx, const csm_weight *weight, const csm_weight *bias, const csm_value *x,
                         csm_value *out, csm_error *err)
{
    (void)ctx, (void)bias, (void)err;
    return shape(out, x->rows, weight->rows);
}

/* A prompt's pass; sound, which has windows, has its time as a whole. */
static csm_status attention(void *ctx, const struct csm_attention *block, size_t layer, const struct csm_rows *rows,
                            size_t n_lanes, csm_value *x, csm_error *err)
{
    (void)err;
    struct paced *p = ctx;
    if (layer == 0 && block->window == 0)
        give_work(p, p->slower * (pass_ms + (double)x->rows * row_ms));
    for (size_t i = 0; layer == 0 && i < n_lanes; i++)
        rows[i].lane->length += rows[i].n;
    return CSM_OK;
}

static csm_status mlp(void *ctx, const struct csm_mlp *block, csm_value *x, csm_error *err)
{
    (void)ctx, (void)block, (void)x, (void)err;
    return CSM_OK;
}

static csm_status add(void *ctx, csm_value *x, const csm_value *y, csm_error *err)
{
    (void)ctx, (void)x, (void)y, (void)err;
    return CSM_OK;
}

/* ---- convolutions ------------------------------------------------------------------------------------- */

static csm_status conv_state_new(void *ctx, const struct csm_conv *conv, csm_conv_state **out, csm_error *err)
{
    (void)ctx, (void)conv;
    *out = calloc(1, sizeof **out);
    return *out != NULL ? CSM_OK : no_memory(err);
}

static csm_status conv_state_reset(void *ctx, csm_conv_state *state, csm_error *err)
{
    (void)ctx, (void)state, (void)err;
    return CSM_OK;
}

static void conv_state_free(void *ctx, csm_conv_state *state)
{
    (void)ctx;
    free(state);
}

/* What gives one channel is the last one: sound of n streams. */
static csm_status conv_lanes(void *ctx, const struct csm_conv *c, csm_conv_state *const *states, size_t n,
                             const csm_value *x, csm_value *out, csm_error *err)
{
    (void)states, (void)err;
    struct paced *p = ctx;
    const size_t rows = x->rows / n;
    shape(out, n * (c->transposed ? rows * c->stride : (rows + c->stride - 1) / c->stride), c->out);
    if (c->out == 1)
        out->ready_at = give_work(p, time_of(p, sound_ms, sizeof sound_ms / sizeof *sound_ms, n));
    return CSM_OK;
}

static csm_status conv(void *ctx, const struct csm_conv *c, csm_conv_state *state, const csm_value *x, csm_value *out,
                       csm_error *err)
{
    return conv_lanes(ctx, c, &state, 1, x, out, err);
}

/* ---- frames ---------------------------------------------------------------------------------------------- */

struct copying {
    const struct paced *p;
    struct csm_frame_lane *lanes;
    size_t first, end; /* of the codes */
};

static void copy_work(void *user, size_t first, size_t end, int thread)
{
    const struct copying *job = user;
    const struct paced *p = job->p;
    (void)thread;
    for (size_t i = first; i < end; i++)
        for (size_t k = job->first; k < job->end; k++) {
            const struct csm_frame_lane *lane = &job->lanes[i];
            const size_t row = (lane->backbone->serial * 37 + lane->backbone->length * 11 + k) % N_ROWS;
            lane->codes[k] = (int32_t)code_of_row(row, p->vocab);
            memcpy(lane->logits + k * p->vocab, p->rows + row * p->vocab, p->vocab * sizeof(float));
        }
}

static csm_status frame_in_pieces(void *ctx, const struct csm_frame_parts *parts, struct csm_frame_lane *lanes,
                                  size_t n, void (*arrived)(void *user, size_t k), void *user, csm_error *err)
{
    struct paced *p = ctx;
    const size_t n_codes = parts->n_codebooks;
    const double ms = time_of(p, frame_ms, sizeof frame_ms / sizeof *frame_ms, n);
    csm_status st = make_rows(p, parts->vocab, err);
    if (st == CSM_OK && p->copiers == NULL) {
        st = csm_threads_new(csm_usable_cores() < COPIERS ? csm_usable_cores() : COPIERS, &p->copiers, err);
        if (st == CSM_OK)
            csm_threads_rest_early(p->copiers);
    }
    if (st != CSM_OK)
        return st;
    const double end = give_work(p, ms);
    for (size_t i = 0; i < n; i++) {
        lanes[i].backbone->length += lanes[i].feed != NULL;
        shape(lanes[i].hidden, 1, 1);
    }
    if (arrived != NULL)
        arrived(user, 0);
    struct copying job = {p, lanes, 0, 0};
    for (size_t piece = 1; piece <= N_PIECES; piece++) { /* the backbone takes a quarter, then codes come evenly */
        job.first = job.end;
        job.end = piece * n_codes / N_PIECES;
        sleep_until(end - 0.75 * ms * (double)(N_PIECES - piece) / N_PIECES);
        csm_threads_run(p->copiers, copy_work, &job, n, 1);
        if (arrived != NULL && piece < N_PIECES)
            arrived(user, job.end);
    }
    return CSM_OK;
}

static csm_status frame(void *ctx, const struct csm_frame_parts *parts, struct csm_frame_lane *lanes, size_t n,
                        csm_error *err)
{
    return frame_in_pieces(ctx, parts, lanes, n, NULL, NULL, err);
}

static csm_status random_new(void *ctx, uint64_t seed, size_t n_calls, size_t n_each, csm_random **out, csm_error *err)
{
    (void)ctx, (void)seed, (void)n_calls, (void)n_each;
    *out = calloc(1, sizeof **out);
    return *out != NULL ? CSM_OK : no_memory(err);
}

static void random_free(void *ctx, csm_random *random)
{
    (void)ctx;
    free(random);
}

__attribute__((visibility("default"))) const struct csm_engine_ops *csm_engine_cuda(int abi);

const struct csm_engine_ops *csm_engine_cuda(int abi)
{
    static const struct csm_engine_ops ops = {.name = "cuda",
                                              .open = open_context,
                                              .close = close_context,
                                              .version = version,
                                              .traits = traits,
                                              .weight_new = weight_new,
                                              .weight_free = weight_free,
                                              .value_new = value_new,
                                              .value_free = value_free,
                                              .lane_open = lane_open,
                                              .lane_fork = lane_fork,
                                              .lane_truncate = lane_truncate,
                                              .lane_bytes = lane_bytes,
                                              .lane_close = lane_close,
                                              .write = write_rows,
                                              .read = read_rows,
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
                                              .frame = frame,
                                              .frame_in_pieces = frame_in_pieces,
                                              .random_new = random_new,
                                              .random_free = random_free};
    return abi == CSM_ENGINE_ABI ? &ops : NULL;
}
