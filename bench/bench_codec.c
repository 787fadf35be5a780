/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_codec.c - the time that Mimi takes to decode, and where it goes; then to encode ten
 * seconds, a voice to be cloned: the first time, with the weights packed for it, and again.
 *
 *   bench_codec [THREADS [DIR]]   THREADS of the native engine, 1 if not given; DIR: a
 *                                 codec of yours, else csm-1b's shape, random weights
 *
 * One frame a call, as a generation decodes, and 32 a call, as a file of codes is
 * decoded: medians and best, ms a frame, of the wall. A frame sounds 80 ms. Before
 * each call as many bytes are read as no cache holds: weights come from memory, as
 * they do after a backbone. Then the parts: every operation, in the order of its
 * first call, medians and best of the one-frame calls. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/native/kernels.h"
#include "checkpoint/checkpoint_random.h"
#include "model/mimi.h"

enum { N_CALLS = 40, WARM_FRAMES = 160, MOST_PARTS = 256, FLUSH_BYTES = 128 << 20 };

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* ---- parts: the engine's table with a clock around what decoding calls ---- */

static struct {
    char name[64];
    double ms[N_CALLS];
} parts[MOST_PARTS];
static size_t n_parts;
static int call; /* the one under way; below 0: not counted */

static void took(const char *name, double start)
{
    double ms = now_ms() - start;
    size_t i = 0;
    while (i < n_parts && strcmp(parts[i].name, name) != 0)
        i++;
    if (i == MOST_PARTS)
        return;
    if (i == n_parts)
        snprintf(parts[n_parts++].name, sizeof parts[i].name, "%s", name);
    if (call >= 0)
        parts[i].ms[call] += ms;
}

static csm_status timed_embed(void *ctx, const csm_weight *table, const int32_t *ids, size_t rows,
                              size_t n_per_row, csm_value *out, csm_error *err)
{
    double start = now_ms();
    csm_status st = csm_engine_native.embed(ctx, table, ids, rows, n_per_row, out, err);
    took("codebooks", start);
    return st;
}

static csm_status timed_linear(void *ctx, const csm_weight *weight, const csm_weight *bias,
                               const csm_value *x, csm_value *out, csm_error *err)
{
    double start = now_ms();
    csm_status st = csm_engine_native.linear(ctx, weight, bias, x, out, err);
    took("codebooks' projections", start);
    return st;
}

static csm_status timed_attention(void *ctx, const struct csm_attention *block, size_t layer,
                                  const struct csm_rows *rows, size_t n_lanes, csm_value *x,
                                  csm_error *err)
{
    double start = now_ms();
    csm_status st = csm_engine_native.attention(ctx, block, layer, rows, n_lanes, x, err);
    took("attention", start);
    return st;
}

static csm_status timed_mlp(void *ctx, const struct csm_mlp *block, csm_value *x, csm_error *err)
{
    double start = now_ms();
    csm_status st = csm_engine_native.mlp(ctx, block, x, err);
    took("mlp", start);
    return st;
}

static csm_status timed_add(void *ctx, csm_value *x, const csm_value *y, csm_error *err)
{
    double start = now_ms();
    csm_status st = csm_engine_native.add(ctx, x, y, err);
    took("sums", start);
    return st;
}

static csm_status timed_conv(void *ctx, const struct csm_conv *c, csm_conv_state *state,
                             const csm_value *x, csm_value *out, csm_error *err)
{
    char name[64];
    snprintf(name, sizeof name, "%s %4zu -> %4zu, kernel %zu, stride %zu",
             c->transposed ? "up  " : "conv", c->in, c->out, c->kernel, c->stride);
    double start = now_ms();
    csm_status st = csm_engine_native.conv(ctx, c, state, x, out, err);
    took(name, start);
    return st;
}

/* ---- the measurement ---------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static csm_status measure(struct csm_mimi_stream *stream, size_t n_frames, csm_error *err)
{
    size_t n_codebooks = stream->mimi->n_codebooks;
    size_t n = n_frames * n_codebooks, n_samples = n_frames * stream->mimi->frame_samples;
    int32_t *codes = malloc(n * sizeof *codes);
    float *samples = malloc(n_samples * sizeof *samples);
    void *flush = csm_kernels_alloc(FLUSH_BYTES);
    uint64_t sink = 0;
    double ms[N_CALLS], read_ms = 0;
    csm_status st = CSM_OK;
    if (codes == NULL || samples == NULL || flush == NULL) {
        fprintf(stderr, "bench_codec: no memory\n");
        exit(EXIT_FAILURE);
    }
    memset(flush, 1, FLUSH_BYTES);
    const int n_warm = WARM_FRAMES / (int)n_frames; /* attention's window is full */
    for (int i = -n_warm; i < N_CALLS && st == CSM_OK; i++) {
        call = i;
        for (size_t j = 0; j < n; j++)
            codes[j] = (int32_t)((j * 7 + (size_t)(i + n_warm) * 11) % stream->mimi->n_entries);
        double before = now_ms();
        sink ^= csm_kernels_best()->touch(flush, FLUSH_BYTES);
        read_ms += i >= 0 ? now_ms() - before : 0;
        for (size_t p = 0; i == 0 && p < n_parts; p++)
            memset(parts[p].ms, 0, sizeof parts[p].ms);
        double start = now_ms();
        st = csm_mimi_decode(stream, codes, n_frames, n_codebooks, NULL, samples, err);
        if (i >= 0)
            ms[i] = (now_ms() - start) / (double)n_frames;
    }
    if (st == CSM_OK) {
        qsort(ms, N_CALLS, sizeof *ms, by_size);
        printf("%2zu frames a call: %6.2f ms a frame, best %.2f; one thread reads %.1f GB/s%s\n",
               n_frames, ms[N_CALLS / 2], ms[0], FLUSH_BYTES * 1e-6 * N_CALLS / read_ms,
               sink == 1 ? " " : "");
    }
    free(codes);
    free(samples);
    free(flush);
    return st;
}

/* Ten seconds of noise at half of full scale. */
static csm_status measure_encoder(struct csm_mimi *mimi, csm_error *err)
{
    enum { SECONDS = 10, RATE_HZ = 24000, ROUNDS = 5, N = SECONDS * RATE_HZ };
    const size_t n_frames = (N + mimi->frame_samples - 1) / mimi->frame_samples;
    float *samples = malloc(N * sizeof *samples);
    int32_t *codes = malloc(n_frames * mimi->n_codebooks * sizeof *codes);
    double ms[ROUNDS];
    csm_status st = CSM_OK;
    uint32_t noise = 1;
    if (samples == NULL || codes == NULL) {
        fprintf(stderr, "bench_codec: no memory\n");
        exit(EXIT_FAILURE);
    }
    for (size_t i = 0; i < N; i++, noise = noise * 1664525u + 1013904223u)
        samples[i] = (float)(int32_t)noise / 4294967296.0f;
    for (int i = 0; st == CSM_OK && i < ROUNDS; i++) {
        struct csm_mimi_stream stream;
        const double start = now_ms();
        st = csm_mimi_encoder_open(mimi, &stream, err);
        if (st == CSM_OK)
            st = csm_mimi_encode(&stream, samples, N, mimi->n_codebooks, NULL, codes, err);
        csm_mimi_stream_close(&stream);
        ms[i] = now_ms() - start;
    }
    if (st == CSM_OK) {
        const double first = ms[0];
        qsort(ms, ROUNDS, sizeof *ms, by_size);
        printf("encode %d s: first %.0f ms, then %.0f ms, best %.0f\n", SECONDS, first,
               ms[ROUNDS / 2], ms[0]);
    }
    free(samples);
    free(codes);
    return st;
}

int main(int argc, char **argv)
{
    struct csm_engine_ops timed = csm_engine_native;
    struct csm_engine_options options = {.n_threads = argc > 1 ? atoi(argv[1]) : 1};
    struct csm_engine engine = {0}, clocked;
    struct csm_mimi mimi = {0};
    struct csm_mimi_stream one = {0}, many = {0};
    csm_checkpoint *checkpoint = NULL;
    csm_error err;

    timed.embed = timed_embed;
    timed.linear = timed_linear;
    timed.attention = timed_attention;
    timed.mlp = timed_mlp;
    timed.add = timed_add;
    timed.conv = timed_conv;
    csm_status st = argc > 2 ? csm_checkpoint_open(argv[2], CSM_NEEDS_CODEC, &checkpoint, &err)
                             : csm_checkpoint_random(CSM_DTYPE_BF16, true, &checkpoint, &err);
    if (st == CSM_OK)
        st = csm_engine_open("native", &options, &engine, &err);
    clocked = (struct csm_engine){.ops = &timed, .ctx = engine.ctx};
    if (st == CSM_OK)
        st = csm_mimi_open(&mimi, &clocked, checkpoint, &err);
    if (st == CSM_OK)
        st = csm_mimi_decoder_open(&mimi, CSM_MIMI_PIECE, &many, &err);
    if (st == CSM_OK)
        st = csm_mimi_decoder_open(&mimi, 1, &one, &err);
    printf("%d threads, %s\n", options.n_threads, csm_kernels_best()->name);
    if (st == CSM_OK)
        st = measure(&many, CSM_MIMI_PIECE, &err);
    if (st == CSM_OK)
        st = measure(&one, 1, &err);
    for (size_t i = 0; st == CSM_OK && i < n_parts; i++) {
        qsort(parts[i].ms, N_CALLS, sizeof *parts[i].ms, by_size);
        printf("  %-44s %6.3f ms, best %.3f\n", parts[i].name, parts[i].ms[N_CALLS / 2], parts[i].ms[0]);
    }
    if (st == CSM_OK)
        st = measure_encoder(&mimi, &err);
    if (st != CSM_OK)
        fprintf(stderr, "bench_codec: %s\n", err.text);
    csm_mimi_stream_close(&one);
    csm_mimi_stream_close(&many);
    csm_mimi_close(&mimi);
    csm_engine_close(&engine);
    csm_checkpoint_close(checkpoint);
    return st == CSM_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
