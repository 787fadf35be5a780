/* SPDX-License-Identifier: Apache-2.0
 *
 * Mimi's frames of n streams together, csm-1b's shape, random weights, by an engine that takes
 * streams together: codes on the host to samples on the host, without a language model beside.
 *
 *   bench_mimi_streams ENGINE [STREAMS FRAMES]...
 *   (default: 1 100  8 50  64 50  128 50  256 30  512 30)
 *
 * Prints for each the median, best and worst milliseconds of a frame of all, the first four left
 * out. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "checkpoint/checkpoint_random.h"
#include "engine/open.h"
#include "model/mimi.h"

enum { WARM_UP = 4 };

static csm_error err;

static void must(csm_status st)
{
    if (st == CSM_OK)
        return;
    fprintf(stderr, "bench_mimi_streams: %s\n", err.text);
    exit(1);
}

static void *room(size_t n, size_t size)
{
    void *memory = calloc(n, size);
    if (memory == NULL) {
        fprintf(stderr, "bench_mimi_streams: no memory\n");
        exit(1);
    }
    return memory;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void run(struct csm_mimi *mimi, size_t n, size_t n_frames)
{
    const size_t k = mimi->n_codebooks;
    struct csm_mimi_stream *streams = room(n, sizeof *streams);
    struct csm_mimi_stream **list = room(n, sizeof *list);
    float **samples = room(n, sizeof *samples);
    int32_t *codes = room(n * k, sizeof *codes);
    double *ms = room(n_frames + WARM_UP, sizeof *ms);
    for (size_t i = 0; i < n; i++) {
        must(csm_mimi_decoder_open(mimi, 1, &streams[i], &err));
        list[i] = &streams[i];
        samples[i] = room(mimi->frame_samples, sizeof *samples[i]);
    }
    for (size_t f = 0; f < n_frames + WARM_UP; f++) {
        for (size_t i = 0; i < n * k; i++)
            codes[i] = (int32_t)((i * 7919 + f * 104729) % mimi->n_entries);
        const double start = csm_now_ms();
        must(csm_mimi_begin_together(mimi, list, n, codes, k, &err));
        must(csm_mimi_finish_together(mimi, samples, &err));
        ms[f] = csm_now_ms() - start;
    }
    qsort(ms + WARM_UP, n_frames, sizeof *ms, by_size);
    printf("%7zu %9.3f %9.3f %9.3f\n", n, ms[WARM_UP + n_frames / 2], ms[WARM_UP], ms[WARM_UP + n_frames - 1]);
    fflush(stdout);
    for (size_t i = 0; i < n; i++) {
        csm_mimi_stream_close(&streams[i]);
        free(samples[i]);
    }
    free(streams);
    free(list);
    free(samples);
    free(codes);
    free(ms);
}

int main(int argc, char **argv)
{
    static const size_t usual[][2] = {{1, 100}, {8, 50}, {64, 50}, {128, 50}, {256, 30}, {512, 30}};
    if (argc < 2 || argc % 2 != 0) {
        fprintf(stderr, "usage: bench_mimi_streams ENGINE [STREAMS FRAMES]...\n");
        return 2;
    }
    struct csm_engine engine;
    struct csm_mimi mimi;
    csm_checkpoint *checkpoint;
    const struct csm_engine_options options = {.precision = CSM_PRECISION_STORED};
    must(csm_checkpoint_random(CSM_DTYPE_BF16, true, &checkpoint, &err));
    must(csm_engine_open(argv[1], &options, &engine, &err));
    if (engine.ops->conv_lanes == NULL) {
        fprintf(stderr, "bench_mimi_streams: engine %s takes no streams together\n", argv[1]);
        return 1;
    }
    must(csm_mimi_open(&mimi, &engine, checkpoint, &err));
    printf("%7s %9s %9s %9s\n", "streams", "median ms", "best", "worst");
    for (size_t i = 0; argc == 2 && i < sizeof usual / sizeof *usual; i++)
        run(&mimi, usual[i][0], usual[i][1]);
    for (int i = 2; i < argc; i += 2) {
        const size_t n = strtoul(argv[i], NULL, 10), n_frames = strtoul(argv[i + 1], NULL, 10);
        if (n == 0 || n_frames == 0) {
            fprintf(stderr, "bench_mimi_streams: streams and frames are numbers above 0\n");
            return 2;
        }
        run(&mimi, n, n_frames);
    }
    csm_mimi_close(&mimi);
    csm_engine_close(&engine);
    csm_checkpoint_close(checkpoint);
    return 0;
}
