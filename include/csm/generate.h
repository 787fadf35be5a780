/* SPDX-License-Identifier: Apache-2.0
 *
 * generate.h - text, and the conversation so far, in; speech out.
 *
 * A *generation* is one utterance under way. Each model has one scheduler, a thread that
 * draws all its generations side by side, a frame (80 ms) of each at a time; they begin and
 * end whenever their callers want. What a generation says depends on its request and
 * options alone, never on what else is being drawn.
 *
 * Threads: generations of one model may be begun, read, cancelled and closed from any
 * number of threads at once; one generation is read by one thread at a time, but
 * csm_generation_cancel may be called beside it. Strings and arrays that a function takes
 * are not kept after it returns, unless said.
 *
 * Processes: a model, its codec and its generations are of the process that opened them. In
 * a fork of it they have no threads: functions that would draw or encode give CSM_BAD_ARG,
 * those that close do nothing. A fork opens its own. */
#ifndef CSM_GENERATE_H
#define CSM_GENERATE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <csm/model.h>
#include <csm/sampling.h>
#include <csm/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct csm_generation csm_generation; /* one utterance under way */

/* ---- what is asked ------------------------------------------------------ */

/* One turn of the conversation so far: its text, who spoke, and its sound,
 * either as samples or as codes. */
typedef struct csm_turn {
    const char *text; /* UTF-8 */
    int speaker;
    const float *samples;  /* [n_samples] mono at the model's sample rate, or NULL */
    size_t n_samples;
    const int32_t *codes;  /* [n_frames, n_codebooks], or NULL */
    size_t n_frames;
} csm_turn;

/* What to say. Made by csm_request_of(text, speaker). */
typedef struct csm_request {
    size_t size; /* of this struct as the caller knows it */
    const char *text; /* UTF-8 */
    int speaker;
    const csm_turn *context; /* [n_context] earlier turns, oldest first; each needs sound */
    size_t n_context;
} csm_request;

/* A request that asks for nothing yet, in what request->size covers; csm_request_of sets size,
 * text and speaker too. The text is not copied. */
CSM_API void csm_request_init(csm_request *request);
static inline csm_request csm_request_of(const char *text, int speaker)
{
    csm_request request;
    request.size = sizeof request;
    csm_request_init(&request);
    request.text = text;
    request.speaker = speaker;
    return request;
}

/* A tensor of the computation, named as docs/MODEL.md names them:
 * "inputs_embeds", "backbone.layer3", "backbone.final", "depth.proj",
 * "depth.layer0", "depth.final", "logits". Called by the scheduler's thread, between
 * csm_generation_open and the end of csm_generation_close.
 *
 *   frame  0-based; the prompt's positions count as frame 0
 *   at     first position (backbone), codebook (depth, logits) of the rows
 *   data   [rows, cols], valid during the call */
typedef void (*csm_observer)(void *user, const char *name, size_t frame, size_t at,
                             const float *data, size_t rows, size_t cols);

/* One frame as drawn. Pointers are valid until the generation's next frame is asked for. */
typedef struct csm_frame {
    csm_generation *generation; /* that drew it */
    size_t utterance;     /* of csm_generate_batch: which; else 0 */
    size_t index;         /* 0, 1, ... */
    const int32_t *codes; /* [n_codebooks] */
    const float *margins; /* [n_codebooks] log of (best / second) in the race of each draw */
    const float *probs;   /* [n_codebooks] probability of each code drawn */
    const float *logits;  /* [n_codebooks, vocab] raw, before temperature; NULL unless
                           * keep_logits */
    const float *samples; /* [n_samples]; NULL without sound */
    size_t n_samples;     /* frame_samples, or 0 */
} csm_frame;

/* A setting that was not made. (Outside of every range, so that -1 is an error.) */
enum { CSM_FROM_MODEL = INT_MIN };

/* How to say it: made by csm_generate_defaults(), then changed. */
typedef struct csm_generate_options {
    size_t size;           /* of this struct as the caller knows it */
    csm_strategy strategy; /* AUTO: the model's own. PURE and EXACT may be exchanged on a
                            * model of engine native or mlx; HYBRID needs torch */
    uint64_t seed;         /* 0 */

    /* The draws of codebook 0. Each, while it is CSM_FROM_MODEL: generation_config's; where
     * that says nothing 0.9, 50, and no top-p or min-p. */
    double temperature; /* 0: greedy */
    int top_k;          /* 0: all */
    double top_p;       /* (0, 1]; 1: all. Not with sampler sesame, nor with HYBRID */
    double min_p;       /* [0, 1]; 0: all. Likewise */
    /* The depth decoder's. CSM_FROM_MODEL: as the one above if that was given, else
     * generation_config's. */
    double depth_temperature;
    int depth_top_k;
    double depth_top_p;
    double depth_min_p;

    const char *stream;      /* "torch-cpu", "torch-cpu-mkl", "torch-cuda", "mlx"; NULL: "torch-cpu",
                              * and "mlx" for PURE */
    const char *sampler;     /* "transformers", "sesame", "csm-mlx"; NULL: by the strategy and
                              * the model's layout */
    const char *dtype;       /* in which the sampler rounds: "f32", "bf16", "f16"; NULL: that of
                              * the precision the model was opened with, else "f32" */
    const char *mlx_version; /* whose draws PURE reproduces; NULL: the newest known */
    size_t max_frames;       /* at most so many; 125 are ten seconds */
    size_t min_frames;       /* speech does not end before: until then the code that ends it is
                              * not drawn in the first codebook. At most max_frames. Not with
                              * HYBRID: PyTorch has no such thing */
    bool has_guard;          /* end speech that runs away: a loop, seconds of silence, a length
                              * out of all proportion to the text; the report says so */
    bool without_sound;      /* do not decode: frames have no samples */
    bool keep_logits;        /* frames and results have their logits */
    bool keep_probs;         /* frames have what csm_generation_candidates tells */

    /* How many frames may be drawn before they are taken (default 2, at least 1). When so
     * many wait, the generation pauses: a slow reader holds up nobody and loses nothing. */
    size_t n_ahead;

    void *user; /* for the callbacks */
    /* Called with each frame as csm_generation_next, csm_generate or csm_generate_batch
     * hands it over, in their caller's thread; false ends the generation with
     * CSM_CANCELLED. NULL: none. */
    bool (*on_frame)(void *user, const csm_frame *frame);
    /* Called by the scheduler's thread when there is something to take: a frame, or the
     * end. It must not block, nor call the library. For event loops. NULL: none. */
    void (*on_ready)(void *user);
    /* NULL: none. Reading hidden states costs time; tokens do not change. */
    csm_observer observe;

    /* Teacher forcing: where frame f < n_forced, the codes drawn are reported but
     * the model goes on with forced[f], within the frame too. A forced generation does
     * not end before n_forced. */
    const int32_t *forced; /* [n_forced, n_codebooks] */
    size_t n_forced;

    size_t hidden_frames; /* csm_generate collects hidden states of the prompt and so many
                           * frames; 0: none. Costs as `observe` does */

    /* Its reader plays it as it comes. While other generations have nothing to be heard yet,
     * it may rest for as long as its reader has been given more than can have been played:
     * they begin earlier, and nobody hears the difference. */
    bool is_live;
    const char *adapter; /* one of csm_model_info.adapters; NULL: the model as it was opened */
} csm_generate_options;

/* The defaults, in what options->size covers; csm_generate_defaults sets the size too. */
CSM_API void csm_generate_options_init(csm_generate_options *options);
static inline csm_generate_options csm_generate_defaults(void)
{
    csm_generate_options options;
    options.size = sizeof options;
    csm_generate_options_init(&options);
    return options;
}

/* What was chosen, what it took. Texts are the struct's own, or live as long as the model.
 * Times are of the wall; those of work that is done for several generations at once count
 * in each. */
typedef struct csm_report {
    size_t size;           /* of this struct as the caller knows it */
    csm_strategy strategy; /* never AUTO */
    const char *reason;    /* one line: why this strategy and engine */
    const char *engine, *engine_version, *codec_engine;
    const char *stream, *sampler, *dtype; /* stream "none" when greedy */
    uint64_t seed;
    double temperature, depth_temperature;
    int top_k, depth_top_k;
    double top_p, depth_top_p, min_p, depth_min_p;

    size_t n_prompt; /* positions of the prompt */
    size_t n_reused; /* of these, kept from what was read before */
    size_t n_frames; /* frames of sound handed over: without the one that ends speech */
    bool has_ended;  /* the model ended its speech; false: limit, cancel or error */
    const char *guarded; /* why the guard ended it: "a loop", "silence", "longer than its
                          * text"; "" if it did not */

    double encode_ms;       /* context sound to codes */
    double queue_ms;        /* until the scheduler had a lane for it */
    double prompt_ms;       /* reading the prompt */
    double backbone_ms;     /* steps after it, read-back of logits included */
    double depth_ms;
    double draw_ms;
    double codec_ms;
    double first_frame_ms;  /* from open to the first frame's codes */
    double first_sound_ms;  /* from open to the first frame's samples; 0 without sound */
    double total_ms;        /* from open to the last frame drawn */

    char mlx_version[32];
    char fallback[512]; /* one line: what failed and what took its place; "" if nothing did */
    /* What decided the last bits of products, where the engine's library chooses by the
     * machine (torch): "PyTorch 2.13.0, oneDNN 3.12.0"; "AVX512 avx512_bf16
     * ONEDNN_MAX_CPU_ISA=AVX512_CORE", instructions and what caps them. Else "". */
    char library[96], processor[192];
    int n_threads; /* 0: the engine's library decides, and does not say */
    csm_cutoffs cutoffs, depth_cutoffs; /* of draws; generation_config.json's */
    const char *code_rules; /* its keys that rule codes out, by blanks ("suppress_tokens
                             * depth_decoder_repetition_penalty"); "" for none */

    size_t n_guessed;   /* codes that a draft guessed (csm_model_options.speculation) */
    size_t n_confirmed; /* of these, as they were drawn */
    const char *adapter; /* the options'; "" for none */
} csm_report;

/* ---- frame by frame ----------------------------------------------------- */

/* Begin: check every argument, encode the context's sound, hand the prompt to the
 * scheduler; then return at once.
 *
 *   request  what to say
 *   options  may be NULL: the defaults
 *   out      to be closed with csm_generation_close, before the model
 *
 * Prompt and max_frames together must fit in max_positions; the message of
 * CSM_BAD_ARG says by how much they do not.
 *
 * Returns CSM_OK; CSM_BAD_ARG (no text or text not UTF-8, turns or forced frames that are
 * counted and not there, a turn without sound, a code out of range, an unknown name, settings
 * out of range, a model opened to be described only); CSM_BAD_FILE (no tokenizer, or sound
 * without a codec); CSM_ENGINE, CSM_NO_MEMORY. What goes wrong later csm_generation_next
 * tells. */
CSM_API CSM_MUST_USE csm_status csm_generation_open(csm_model *model, const csm_request *request,
                                                    const csm_generate_options *options,
                                                    csm_generation **out, csm_error *err);

/* Wait for the next frame, if speech goes on.
 *
 *   frame  receives a view, valid until the next call or the close; NULL: speech has ended,
 *          or max_frames were drawn; every later call says so again
 *
 * Speech ends as in the reference of the sampler: `transformers` when all codes
 * but the last are the end's (and the frame is sound if the last is not), the others
 * when all are. The frame of nothing but these is no sound and is not handed out.
 *
 * Returns CSM_OK; CSM_CANCELLED (by on_frame: then the frame is there, too; or by
 * csm_generation_cancel); CSM_BAD_LOGITS (the message names frame and codebook); CSM_BAD_FILE
 * (weights that are NaN or Inf: it names one); CSM_BAD_FORMAT
 * (generation_config.json leaves no code to draw); CSM_ENGINE, CSM_NO_MEMORY. After a failure
 * the later calls fail with the same. */
CSM_API CSM_MUST_USE csm_status csm_generation_next(csm_generation *generation,
                                                    const csm_frame **frame, csm_error *err);

/* What csm_generation_poll found. */
typedef enum csm_poll {
    CSM_POLL_PENDING, /* nothing yet */
    CSM_POLL_FRAME,
    CSM_POLL_END
} csm_poll;

/* As csm_generation_next, but waits no longer than timeout_ms; 0: not at all, negative:
 * without end. */
CSM_API CSM_MUST_USE csm_status csm_generation_poll(csm_generation *generation, int timeout_ms,
                                                    csm_poll *found, const csm_frame **frame,
                                                    csm_error *err);

/* End it, from any thread, beside csm_generation_next too: that returns CSM_CANCELLED at
 * once, frames that wait are dropped, and the lane is free within a frame or a piece of the
 * prompt. */
CSM_API void csm_generation_cancel(csm_generation *generation);

/* So far; the caller has set report->size, as csm_report_of does. */
CSM_API void csm_generation_report(csm_generation *generation, csm_report *report);
static inline csm_report csm_report_of(csm_generation *generation)
{
    csm_report report;
    report.size = sizeof report;
    csm_generation_report(generation, &report);
    return report;
}

/* The most probable codes of the codebook in the frame that was handed over last, best first,
 * with their probabilities after temperature and what cuts the draw; n of them, fewer when
 * fewer are possible. Returns how many; 0 without keep_probs. */
CSM_API size_t csm_generation_candidates(const csm_generation *generation, size_t codebook,
                                         size_t n, int32_t *codes, float *probs);

/* End, at any point; takes NULL. Waits for the frame that is being drawn, if one is; after
 * it no callback is called. Not from a callback. */
CSM_API void csm_generation_close(csm_generation *generation);

/* ---- whole utterances --------------------------------------------------- */

/* A tensor of the computation, kept to find the first layer that differs.
 * Backbone tensors have one row a position, the prompt's first; the depth
 * decoder's have n_codebooks rows a frame. */
typedef struct csm_hidden {
    const char *name; /* "backbone.layer3": as csm_observer names it */
    size_t n_rows, width;
    const float *data; /* [n_rows, width] */
} csm_hidden;

/* A whole utterance. The library makes them; new members are appended. */
typedef struct csm_result {
    const csm_report *report;
    size_t n_frames, n_codebooks, vocab;
    int32_t *codes;  /* [n_frames, n_codebooks], without the frame that ends speech */
    float *margins;  /* [n_frames, n_codebooks] */
    float *probs;    /* [n_frames, n_codebooks] */
    float *logits;   /* [n_frames, n_codebooks, vocab], or NULL */
    float *samples;  /* [n_samples], or NULL */
    size_t n_samples;
    const csm_hidden *hidden; /* [n_hidden] in the order of computation */
    size_t n_hidden;
    int32_t *forced; /* [n_forced, n_codebooks] what the model went on with, or NULL */
    size_t n_forced; /* at most n_frames */
} csm_result;

/* csm_generation_open, _next until speech ends, and all of it in one result,
 * to be closed with csm_result_close. Arguments and errors as theirs; a cancelled
 * generation gives CSM_CANCELLED and the frames so far as a result. */
CSM_API CSM_MUST_USE csm_status csm_generate(csm_model *model, const csm_request *request,
                                             const csm_generate_options *options, csm_result **out,
                                             csm_error *err);
CSM_API void csm_result_close(csm_result *result); /* takes NULL */

/* One of several texts that do not depend on each other's sound. All zero but text,
 * speaker and seed: as the batch. */
typedef struct csm_utterance {
    const char *text;
    int speaker;
    uint64_t seed; /* of its draws, in place of the options' */
    const csm_turn *context; /* [n_context] its own; NULL: the batch's */
    size_t n_context;
    const csm_generate_options *options; /* its own, seed and callbacks apart; NULL: the batch's */
} csm_utterance;

/* Several utterances, n_lanes at a time. The next one begins when one has ended. Codes
 * and samples are those of csm_generate for each, bit for bit, whatever n_lanes is.
 *
 *   context     of those that have none of their own; read once where the engine can
 *   utterances  [n]; kept no longer than the call
 *   n_lanes     1 or more; each costs the memory of its own positions
 *   options     as csm_generate; on_frame is told which utterance a frame is of, by
 *               csm_frame.utterance, and ends all of them when it returns false
 *   on_result   called with options->user and each result when it is whole, in the
 *               order in which they end. The result is the callee's, to be closed with
 *               csm_result_close; false ends the call with CSM_CANCELLED
 *
 * Callbacks are called in the caller's thread (`observe` apart).
 *
 * Returns as csm_generate, and CSM_BAD_ARG if n_lanes is 0. After a failure no more
 * results come. */
CSM_API CSM_MUST_USE csm_status csm_generate_batch(csm_model *model, const csm_turn *context,
                                                   size_t n_context,
                                                   const csm_utterance *utterances, size_t n,
                                                   size_t n_lanes,
                                                   const csm_generate_options *options,
                                                   bool (*on_result)(void *user, size_t utterance,
                                                                     csm_result *result),
                                                   csm_error *err);

/* Write a token file (safetensors): `codes`, `margins`, `probs`, with
 * keep_logits `logits`, with hidden_frames a `hidden.NAME` for each tensor, where
 * codes were forced `forced`, and as metadata how they came to be: text, speaker,
 * seed, strategy, engine, stream, sampler, dtype, temperature, topk,
 * depth_temperature, depth_topk, top_p, min_p and depth_* of them where they cut, model,
 * version, ended.
 *
 * Returns as csm_tensors_write. */
CSM_API CSM_MUST_USE csm_status csm_result_save(const csm_result *result, const csm_model *model,
                                                const char *text, int speaker, const char *path,
                                                csm_error *err);

#ifdef __cplusplus
}
#endif
#endif
