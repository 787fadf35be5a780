/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames of csm-1b's shape, random bfloat16 weights, n lanes at once by the engine's own
 * operation: backbone's step, head, draws (PyTorch's noise of CUDA, made by the engine),
 * depth decoder, codes and logits on the host. Without the codec.
 *
 *   bench_lanes [--apart] ENGINE[:q8|:q4] [POSITIONS LANES FRAMES]...
 *   (default: 100 1 500  1500 1 500  100 8 50  100 64 50  300 256 20  300 512 20)
 *
 * --apart: each lane reads the prompt itself, so that none shares keys and values with another.
 *
 * Prints for each the median, best and worst milliseconds of a frame, the first four
 * left out (a graph is recorded). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "checkpoint/checkpoint_random.h"
#include "engine/open.h"
#include "model/language.h"

enum { WARM_UP = 4, MOST_CODEBOOKS = 64 };

struct lane {
    csm_lane *backbone, *depth;
    csm_value *hidden;
    csm_random *random;
    struct csm_frame_draw draw;
    int32_t codes[MOST_CODEBOOKS], feed[MOST_CODEBOOKS];
    float *logits;
};

struct bench {
    bool is_apart;
    struct csm_engine engine;
    struct csm_language language;
};

static csm_error err;

static void must(csm_status st)
{
    if (st == CSM_OK)
        return;
    fprintf(stderr, "bench_lanes: %s\n", err.text);
    exit(1);
}

static void *room(size_t n, size_t size)
{
    void *memory = calloc(n, size);
    if (memory == NULL) {
        fprintf(stderr, "bench_lanes: no memory\n");
        exit(1);
    }
    return memory;
}

/* A lane of n positions of text. */
static void read_prompt(struct bench *b, struct lane *lane, size_t n)
{
    const struct csm_engine_ops *ops = b->engine.ops;
    void *ctx = b->engine.ctx;
    const struct csm_stack *stack = &b->language.backbone;
    const struct csm_rows rows = {lane->backbone, n};
    int32_t *ids = room(n, sizeof *ids);
    csm_value *x, *last;
    must(ops->value_new(ctx, &x, &err));
    must(ops->value_new(ctx, &last, &err));
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)(i * 104729 % b->language.text_vocab);
    must(ops->embed(ctx, b->language.text_table, ids, n, 1, x, &err));
    for (size_t l = 0; l < stack->n_layers; l++) {
        must(ops->attention(ctx, &stack->attention[l], l, &rows, 1, x, &err));
        must(ops->mlp(ctx, &stack->mlp[l], x, &err));
    }
    must(ops->copy_rows(ctx, x, n - 1, 1, last, 0, &err));
    must(ops->norm(ctx, &stack->norm, last, lane->hidden, &err));
    ops->value_free(ctx, x);
    ops->value_free(ctx, last);
    free(ids);
}

static void open_lane(struct bench *b, struct lane *lane, const struct lane *first, size_t n,
                      size_t n_frames, uint64_t seed)
{
    const struct csm_engine_ops *ops = b->engine.ops;
    void *ctx = b->engine.ctx;
    const struct csm_language *l = &b->language;
    must(ops->lane_open(ctx, l->depth.attention, l->depth.n_layers, l->n_codebooks, &lane->depth, &err));
    must(ops->value_new(ctx, &lane->hidden, &err));
    must(ops->random_new(ctx, seed, 0, l->vocab, &lane->random, &err));
    lane->logits = room(l->n_codebooks * l->vocab, sizeof *lane->logits);
    lane->draw = (struct csm_frame_draw){.kind = CSM_DRAW_RACE,
                                         .temperature = 0.9,
                                         .depth_temperature = 0.9,
                                         .top_k = 50,
                                         .depth_top_k = 50,
                                         .dtype = CSM_DTYPE_F32,
                                         .random = lane->random,
                                         .may_go_on = true};
    if (first == NULL) {
        must(ops->lane_open(ctx, l->backbone.attention, l->backbone.n_layers, n + n_frames,
                            &lane->backbone, &err));
        read_prompt(b, lane, n);
        return;
    }
    must(ops->lane_fork(ctx, first->backbone, n, &lane->backbone, &err));
    must(ops->copy_rows(ctx, first->hidden, 0, 1, lane->hidden, 0, &err));
}

static void close_lane(struct bench *b, struct lane *lane)
{
    const struct csm_engine_ops *ops = b->engine.ops;
    ops->lane_close(b->engine.ctx, lane->backbone);
    ops->lane_close(b->engine.ctx, lane->depth);
    ops->value_free(b->engine.ctx, lane->hidden);
    ops->random_free(b->engine.ctx, lane->random);
    free(lane->logits);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void run(struct bench *b, size_t n_positions, size_t n_lanes, size_t n_frames)
{
    struct lane *lanes = room(n_lanes, sizeof *lanes);
    struct csm_frame_lane *asked = room(n_lanes, sizeof *asked);
    double *ms = room(n_frames + WARM_UP, sizeof *ms);
    for (size_t i = 0; i < n_lanes; i++)
        open_lane(b, &lanes[i], i == 0 || b->is_apart ? NULL : lanes, n_positions, n_frames + WARM_UP, i);
    for (size_t f = 0; f < n_frames + WARM_UP; f++) {
        for (size_t i = 0; i < n_lanes; i++)
            asked[i] = (struct csm_frame_lane){.backbone = lanes[i].backbone,
                                               .depth = lanes[i].depth,
                                               .feed = f == 0 ? NULL : lanes[i].feed,
                                               .hidden = lanes[i].hidden,
                                               .draw = &lanes[i].draw,
                                               .codes = lanes[i].codes,
                                               .logits = lanes[i].logits};
        double start = csm_now_ms();
        must(b->engine.ops->frame(b->engine.ctx, &b->language.parts, asked, n_lanes, &err));
        ms[f] = csm_now_ms() - start;
        for (size_t i = 0; i < n_lanes; i++)
            memcpy(lanes[i].feed, lanes[i].codes, sizeof lanes[i].feed);
    }
    qsort(ms + WARM_UP, n_frames, sizeof *ms, by_size);
    printf("%6zu %6zu %9.3f %9.3f %9.3f\n", n_positions, n_lanes, ms[WARM_UP + n_frames / 2],
           ms[WARM_UP], ms[WARM_UP + n_frames - 1]);
    fflush(stdout);
    for (size_t i = 0; i < n_lanes; i++)
        close_lane(b, &lanes[i]);
    free(lanes);
    free(asked);
    free(ms);
}

/* "cuda:q4": of that precision; the colon becomes the end of the name. */
static csm_precision take_precision(char *name)
{
    char *at = strchr(name, ':');
    if (at == NULL)
        return CSM_PRECISION_STORED;
    *at++ = '\0';
    if (strcmp(at, "q8") != 0 && strcmp(at, "q4") != 0) {
        fprintf(stderr, "bench_lanes: precision %s, expected q8 or q4\n", at);
        exit(2);
    }
    return strcmp(at, "q8") == 0 ? CSM_PRECISION_Q8 : CSM_PRECISION_Q4;
}

int main(int argc, char **argv)
{
    static const size_t usual[][3] = {{100, 1, 500}, {1500, 1, 500}, {100, 8, 50},
                                      {100, 64, 50}, {300, 256, 20}, {300, 512, 20}};
    struct bench b = {.is_apart = argc > 1 && strcmp(argv[1], "--apart") == 0};
    argv += b.is_apart;
    argc -= b.is_apart;
    if (argc < 2 || (argc - 2) % 3 != 0) {
        fprintf(stderr, "usage: bench_lanes [--apart] ENGINE[:q8|:q4] [POSITIONS LANES FRAMES]...\n");
        return 2;
    }
    csm_checkpoint *checkpoint;
    must(csm_checkpoint_random(CSM_DTYPE_BF16, true, &checkpoint, &err));
    const struct csm_engine_options options = {.precision = take_precision(argv[1])};
    must(csm_engine_open(argv[1], &options, &b.engine, &err));
    const struct csm_traits *traits = b.engine.ops->traits(b.engine.ctx);
    if (!traits->whole_frame || !traits->lanes || traits->own_stream != CSM_STREAM_TORCH_CUDA) {
        fprintf(stderr, "bench_lanes: engine %s has no frames of many lanes with noise of its own\n",
                argv[1]);
        return 1;
    }
    must(csm_language_open(&b.language, &b.engine, checkpoint, &err));
    printf("%6s %6s %9s %9s %9s\n", "at", "lanes", "median ms", "best", "worst");
    if (argc == 2)
        for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
            run(&b, usual[i][0], usual[i][1], usual[i][2]);
    for (int i = 2; i < argc; i += 3) {
        size_t n[3];
        for (int j = 0; j < 3; j++)
            n[j] = strtoul(argv[i + j], NULL, 10);
        if (n[0] == 0 || n[1] == 0 || n[2] == 0) {
            fprintf(stderr, "bench_lanes: positions, lanes and frames are numbers above 0\n");
            return 2;
        }
        run(&b, n[0], n[1], n[2]);
    }
    csm_language_close(&b.language);
    csm_engine_close(&b.engine);
    csm_checkpoint_close(checkpoint);
    return 0;
}
