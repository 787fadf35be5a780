/* SPDX-License-Identifier: Apache-2.0
 *
 * experimental.h - what may still change from one release to the next: the benchmark, MLX's
 * explicit keys, the switch for generators over MLX, and long numbers in JSON. */
#ifndef CSM_EXPERIMENTAL_H
#define CSM_EXPERIMENTAL_H

#include <csm/model.h>
#include <csm/sampling.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- how long a frame takes, next to how long it must take ---------------- */

/* A frame reads the backbone's weights once and the depth decoder's once for each
 * code after the first. So no engine is faster, with all weights in memory, than
 * the memory is: `floor_ms` is the bytes of a frame over the bandwidth that the
 * same number of threads reach in the same seconds, reading a large buffer. (Less
 * than the floor is possible only where part of the weights stays in a cache.) */

/* Made by csm_bench_defaults(), then changed. */
typedef struct csm_bench_options {
    size_t size;             /* of this struct as the caller knows it */
    const char *model_path;  /* NULL: csm-1b's shape with random weights, made in memory */
    const char *engine;      /* NULL: native */
    csm_precision precision; /* of random weights STORED is bf16 */
    int n_threads;           /* 0: one per core that this process may use */
    size_t n_frames;         /* measured; 0: 20 */
    size_t n_warm_up;        /* before them; 0: 3 */
    size_t n_batch;          /* sentences side by side; 0: 1 */
    size_t n_prompt;         /* positions of the prompt; 0: 32 */
    bool without_sound;
    const char *device;      /* NULL: the engine's default; as csm_model_options has it */
    double confirmed;        /* (0, 1]: a draft guesses codes (csm_model_options.speculation), as if
                              * so many of its guesses were right; 0: no draft */
} csm_bench_options;

/* The defaults, in what options->size covers; csm_bench_defaults sets the size too. */
CSM_API void csm_bench_options_init(csm_bench_options *options);
static inline csm_bench_options csm_bench_defaults(void)
{
    csm_bench_options options;
    options.size = sizeof options;
    csm_bench_options_init(&options);
    return options;
}

/* Times are medians over the measured frames, of the wall; a frame of a batch is
 * one of each sentence. */
typedef struct csm_bench_result {
    double frame_ms; /* all of it; of a batch whose sound is made beside the next frame: from one to the next */
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
    size_t n_guessed, n_confirmed; /* codes, by the draft, of all frames drawn */
    double p99_ms;          /* what 99 of 100 frames take at most */
    double sound_per_second; /* seconds of speech, of all sentences, made a second */
} csm_bench_result;

/* Load, warm up, measure.
 *
 * Returns CSM_OK; what csm_model_open returns; CSM_BAD_ARG (prompt and frames
 * exceed the model's positions); CSM_ENGINE, CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_bench(const csm_bench_options *options,
                                          csm_bench_result *result, csm_error *err);

/* The cores that this process may use, as its affinity and, on Linux, the limits of its control
 * groups have them: whole ones, at least 1. What n_threads 0 means in csm_model_options. Any thread. */
CSM_API int csm_cores(void);

/* ---- MLX's keys ------------------------------------------------------------ */

/* MLX's explicit keys: mx.random.key(seed); mx.random.split(key, n), keys is
 * [n, 2]; mx.random.bits((n,), key=key); mx.random.uniform and mx.random.gumbel
 * of shape (n,) with that key, float32. */
CSM_API void csm_mlx_key(uint64_t seed, uint32_t key[2]);
CSM_API void csm_mlx_split(const uint32_t key[2], size_t n, uint32_t *keys);
CSM_API void csm_mlx_bits(const uint32_t key[2], size_t n, uint32_t *bits);
CSM_API void csm_mlx_uniform(const uint32_t key[2], size_t n, float *uniform);
CSM_API void csm_mlx_gumbel(const uint32_t key[2], size_t n, float *gumbel);

/* ---- exact sampling for MLX generators ----------------------------------- */

/* PyTorch's tokens for logits that MLX computed, in one call: what Sesame's
 * sample_topk(logits, topk, temperature) in float32 draws on the CPU right after
 * torch.manual_seed(seed), for a [rows, vocab] tensor.
 *
 *   top_k   1..vocab
 *   tokens  [rows]
 *
 * Returns as csm_sampler_draw; CSM_BAD_ARG also for top_k 0. */
CSM_API CSM_MUST_USE csm_status csm_mlx_sample_exact(const float *logits, size_t rows, size_t vocab,
                                                     size_t top_k, double temperature, uint64_t seed,
                                                     int32_t *tokens, csm_error *err);

/* The process-wide switch: while it is on, every generator over MLX that has
 * not chosen a strategy of its own draws with the exact sampler instead of
 * MLX's. Generators read it when they begin; those under way keep what they
 * have. Returns what was there before (true: on), so that a caller can restore
 * it. verbose: say what changed in one line on standard error. Any thread. */
CSM_API bool csm_patch_mlx_sampling(bool enable, bool verbose);

/* Whether the switch is on. Any thread. */
CSM_API bool csm_exact_sampling_enabled(void);

/* ---- long numbers in JSON -------------------------------------------------- */

/* JSON with whole numbers of 19 digits and more as texts of their digits: for readers whose
 * integers have a sign and 64 bits, since seeds have none.
 *   json   [n] anything; what is no JSON stays none
 *   key    of the numbers that are meant; NULL: all of them
 *   n_out  receives the length
 * Returns a text to be freed with csm_free; NULL: out of memory. Any thread. */
CSM_API char *csm_json_quote_long(const char *json, size_t n, const char *key, size_t *n_out);

#ifdef __cplusplus
}
#endif
#endif
