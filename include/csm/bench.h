/* SPDX-License-Identifier: Apache-2.0
 *
 * bench.h - how long a frame takes, next to how long it must take.
 *
 * A frame reads the backbone's weights once and the depth decoder's once for each
 * code after the first. So no engine is faster, with all weights in memory, than
 * the memory is: `floor_ms` is the bytes of a frame over the bandwidth that the
 * same number of threads reach in the same seconds, reading a large buffer. (Less
 * than the floor is possible only where part of the weights stays in a cache.) */
#ifndef CSM_BENCH_H
#define CSM_BENCH_H

#include <csm/csm.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All zero is the default. */
typedef struct csm_bench_options {
    const char *model_path;  /* NULL: csm-1b's shape with random weights, made in memory */
    const char *engine;      /* NULL: native */
    csm_precision precision; /* of random weights AS_STORED is bf16 */
    int n_threads;           /* 0: one per core that this process may use */
    size_t n_frames;         /* measured; 0: 20 */
    size_t n_warm_up;        /* before them; 0: 3 */
    size_t n_batch;          /* sentences side by side; 0: 1. More than 1: no sound */
    size_t n_prompt;         /* positions of the prompt; 0: 32 */
    bool without_sound;
} csm_bench_options;

/* Times are medians over the measured frames, of the wall; a frame of a batch is
 * one of each sentence. */
typedef struct csm_bench_result {
    double frame_ms; /* all of it */
    double best_ms;
    double backbone_ms, depth_ms, draw_ms, codec_ms; /* heads with what feeds them */
    double floor_ms;        /* language model only */
    uint64_t bytes_per_frame;
    double read_gb_s;       /* the memory's, median of readings between the frames */
    double used_gb_s;       /* bytes_per_frame over backbone_ms + depth_ms */
    double rtf;             /* frame_ms over the time that a frame sounds; batch: of one sentence */
    double first_audio_ms;  /* prompt and first frame, the codec having run before */
    double prompt_ms;       /* the prompt alone */
    double prompt_gflop_s;  /* 2 * weights * positions over prompt_ms */
    double peak_gflop_s;    /* of fused multiply-adds in these threads; 0: not known */
    double load_ms;
    double rss_mb;
    int n_threads;
    size_t n_frames, n_batch, n_prompt;
    const char *dtype, *engine, *kernels; /* static */
} csm_bench_result;

/* Load, warm up, measure.
 *
 * Returns CSM_OK; what csm_model_open returns; CSM_BAD_ARG (prompt and frames
 * exceed the model's positions); CSM_ENGINE, CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_bench(const csm_bench_options *options,
                                          csm_bench_result *result, csm_error *err);

#ifdef __cplusplus
}
#endif
#endif
