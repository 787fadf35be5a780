/* SPDX-License-Identifier: Apache-2.0
 *
 * csm.h - text, and the conversation so far, in; speech out.
 *
 *     csm_error err;
 *     csm_model *model;
 *     if (csm_model_open(NULL, NULL, &model, &err) != CSM_OK)   // the embedded voice
 *         ...err.text says why...
 *     csm_generate_options options = csm_generate_defaults();
 *     options.seed = 42;
 *     csm_result *result;
 *     if (csm_generate(model, NULL, 0, "Hello there.", 1, &options, &result, &err) == CSM_OK)
 *         play(result->samples, result->n_samples);             // mono, 24 kHz
 *     csm_result_free(result);
 *     csm_model_close(model);
 *
 * or frame by frame (80 ms each), as it is drawn:
 *
 *     csm_generation *g;
 *     csm_generation_start(model, NULL, 0, "Hello there.", 1, &options, &g, &err);
 *     csm_frame frame;
 *     bool has_frame;
 *     while (csm_generation_next(g, &frame, &has_frame, &err) == CSM_OK && has_frame)
 *         play(frame.samples, frame.n_samples);
 *     csm_generation_free(g);
 *
 * Words: a *frame* is 80 ms of sound, n_codebooks *codes* [0, vocab); the
 * *backbone* gives the logits of code 0, the *depth decoder* those of the others,
 * *Mimi*, the codec, makes sound of frames. docs/MODEL.md has the whole model.
 *
 * Threads: a model, and all that was made from it (generations, decoders, its
 * codec), is used by one thread at a time; different models do not know of each
 * other. Status and error: status.h. Strings and arrays that a function takes
 * are not kept after it returns, unless said. */
#ifndef CSM_CSM_H
#define CSM_CSM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <csm/status.h>
#include <csm/tensors.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct csm_model csm_model;
typedef struct csm_codec csm_codec;
typedef struct csm_decoder csm_decoder;
typedef struct csm_generation csm_generation;

/* ---- choices ------------------------------------------------------------ */

/* Whose logits, and whose draws.
 *
 *   AUTO    pure where MLX is at home (Apple's GPU) and its engine is installed,
 *           else exact on the native engine, which is the faster one elsewhere
 *   PURE    the draws of MLX: what mx.random.categorical gives for the seed
 *   EXACT   logits of mlx or native; PyTorch's random stream and arithmetic
 *   HYBRID  logits and draws of PyTorch: the tokens of transformers or Sesame;
 *           the codec on mlx or native */
typedef enum csm_strategy {
    CSM_STRATEGY_AUTO,
    CSM_STRATEGY_PURE,
    CSM_STRATEGY_EXACT,
    CSM_STRATEGY_HYBRID
} csm_strategy;

/* "auto", "pure", "exact", "hybrid"; "?" outside the enum. */
CSM_API const char *csm_strategy_name(csm_strategy strategy);

/* How the engine keeps the language model's matrices. AS_STORED: as the
 * checkpoint has them. Q8 and Q4 are MLX's affine quantization (w = scale * q +
 * bias), group 64. Norms and biases are never quantized; the codec stays as it
 * is stored, in float32 arithmetic. */
typedef enum csm_precision {
    CSM_AS_STORED,
    CSM_IN_F32,
    CSM_IN_BF16,
    CSM_IN_F16,
    CSM_IN_Q8,
    CSM_IN_Q4
} csm_precision;

/* "stored", "f32", "bf16", "f16", "q8", "q4"; "?" outside the enum. */
CSM_API const char *csm_precision_name(csm_precision precision);

/* ---- a model ------------------------------------------------------------ */

/* All zero is the default. */
typedef struct csm_model_options {
    csm_strategy strategy;    /* decides the engine where `engine` does not */
    const char *engine;       /* "native", "mlx", "torch"; NULL: by the strategy */
    csm_precision precision;  /* of the language model */
    int n_threads;            /* 0: one per core that this process may use */
    const char *device;       /* NULL: the engine's default; "cpu", "gpu", "cuda:0", "mps" */
    const char *codec_engine; /* NULL: the model's engine; for HYBRID, what AUTO would take */
    bool describe_only;       /* check every tensor's name and shape, but load nothing: the
                               * model is for csm_model_describe alone */
} csm_model_options;

/* A transformer's sizes. */
typedef struct csm_transformer_info {
    size_t n_layers, width, n_heads, n_kv_heads, head_dim, hidden;
} csm_transformer_info;

/* What is known of an open model; strings and struct live as long as it. */
typedef struct csm_model_info {
    const char *path;   /* the directory */
    const char *layout; /* "hf", "sesame", "mlx" */
    const char *codec_layout; /* "hf", "kyutai", "none" */
    const char *digest; /* hexadecimal, of the config and the weights' headers */
    const char *name;   /* "csm-1b" when the sizes are its, else "csm" */

    csm_strategy strategy;       /* never AUTO: what it became */
    const char *strategy_reason; /* one line: why */
    bool is_strategy_asked;      /* the options named it */
    const char *engine, *engine_version;
    const char *codec_engine, *codec_engine_version; /* "none" without codec */
    const char *device; /* "" for the engine's default */
    csm_precision precision;
    const char *stored_dtype; /* of most of the language model's bytes: "BF16", "q4 group 64" */
    int n_threads;

    size_t n_codebooks; /* codes a frame */
    size_t vocab;       /* values of a code, special ones included */
    size_t text_vocab;
    bool has_codec;   /* without, there is no sound: neither out nor as context */
    size_t n_entries; /* values of a code that the codec can decode; 0 without codec */
    csm_transformer_info backbone, depth;
    size_t max_positions; /* prompt and frames together may not exceed it */
    uint64_t n_parameters, n_bytes;              /* the language model */
    uint64_t n_codec_parameters, n_codec_bytes; /* the codec */

    int sample_rate_hz;    /* 24000 */
    size_t frame_samples;  /* 1920 */
    double frame_ms;       /* 80 */

    /* generation_config.json; 0.9 and 50 where it says nothing */
    double temperature, depth_temperature;
    int top_k, depth_top_k; /* 0: all */
    size_t max_frames;      /* 125 where it says nothing */
    int default_speaker;    /* the clearest speaker of the embedded voice; else 0 */
} csm_model_info;

/* Open a model directory.
 *
 *   dir      config.json, safetensors, tokenizer.json, the codec inside or
 *            beside (design: HF, Sesame and MLX layouts); NULL: the embedded voice
 *   options  may be NULL: the default
 *   out      receives the model, to be closed with csm_model_close; untouched
 *            on failure
 *
 * Every tensor is bound by name and shape. Returns CSM_OK; CSM_BAD_FILE,
 * CSM_BAD_FORMAT (the message names file, tensor and what was expected);
 * CSM_NO_ENGINE; CSM_ENGINE; CSM_NO_MEMORY; CSM_BAD_ARG for an unknown name. */
CSM_API CSM_MUST_USE csm_status csm_model_open(const char *dir, const csm_model_options *options,
                                               csm_model **out, csm_error *err);

/* Close; takes NULL. Generations and decoders of the model are freed before. */
CSM_API void csm_model_close(csm_model *model);

CSM_API const csm_model_info *csm_model_describe(const csm_model *model);

/* The directory of the embedded voice: $CSM_VOICE_DIR if set, else beside the
 * library or command that runs (installed: share/csm/voice; in a build tree:
 * voice/model). Writes a zero-terminated path. Returns CSM_OK; CSM_BAD_FILE when
 * there is none, the message names the places; CSM_BAD_ARG if size is too small. */
CSM_API CSM_MUST_USE csm_status csm_voice_dir(char *path, size_t size, csm_error *err);

/* ---- text --------------------------------------------------------------- */

/* The token ids of "[speaker]text" with begin and end, as the prompt has them.
 *
 *   ids, n_ids  receive an array to be freed with csm_free
 *
 * Returns CSM_OK; CSM_BAD_ARG (not UTF-8); CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_model_tokenize(const csm_model *model, const char *text,
                                                   int speaker, int32_t **ids, size_t *n_ids,
                                                   csm_error *err);

/* Free an array that a function of this header handed over; takes NULL. */
CSM_API void csm_free(void *memory);

/* ---- generation --------------------------------------------------------- */

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

/* A tensor of the computation, named as docs/MODEL.md names them:
 * "inputs_embeds", "backbone.layer3", "backbone.final", "depth.proj",
 * "depth.layer0", "depth.final", "logits".
 *
 *   frame  0-based; the prompt's positions count as frame 0
 *   at     first position (backbone), codebook (depth, logits) of the rows
 *   data   [rows, cols], valid during the call */
typedef void (*csm_observer)(void *user, const char *name, size_t frame, size_t at,
                             const float *data, size_t rows, size_t cols);

/* One frame as drawn. Pointers are valid until the generation moves on. */
typedef struct csm_frame {
    const csm_generation *generation; /* that drew it */
    size_t utterance;                 /* of csm_generate_batch: which; else 0 */
    size_t index;                     /* 0, 1, ... */
    const int32_t *codes; /* [n_codebooks] */
    const float *margins; /* [n_codebooks] log of (best / second) in the race of each draw */
    const float *probs;   /* [n_codebooks] probability of each code drawn */
    const float *logits;  /* [n_codebooks, vocab] raw, before temperature */
    const float *samples; /* [n_samples]; NULL without sound */
    size_t n_samples;     /* frame_samples, or 0 */
} csm_frame;

enum { CSM_FROM_MODEL = -1 };

typedef struct csm_generate_options {
    csm_strategy strategy; /* AUTO: the model's own. PURE and EXACT may be exchanged on a
                            * model of engine native or mlx; HYBRID needs torch */
    uint64_t seed;
    double temperature; /* 0: greedy; CSM_FROM_MODEL: generation_config's, else 0.9 */
    int top_k;          /* 0: all; CSM_FROM_MODEL: generation_config's, else 50 */
    /* The depth decoder's. CSM_FROM_MODEL: as the first two if those were given,
     * else generation_config's. */
    double depth_temperature;
    int depth_top_k;
    const char *stream;      /* "torch-cpu", "torch-cpu-mkl", "torch-cuda", "mlx"; NULL: "torch-cpu",
                              * and "mlx" for PURE */
    const char *sampler;     /* "transformers", "sesame", "csm-mlx"; NULL: by the strategy and
                              * the model's layout */
    const char *dtype;       /* in which the sampler rounds: "f32", "bf16", "f16"; NULL: that of
                              * the precision the model was opened with, else "f32" */
    const char *mlx_version; /* whose draws PURE reproduces; NULL: the newest known */
    size_t max_frames;       /* at most so many; 125 are ten seconds */
    size_t min_frames;       /* speech does not end before: until then code 0 of the first
                              * codebook is not drawn. Not with HYBRID: PyTorch has no such thing */
    bool has_guard;          /* end speech that runs away: a loop, seconds of silence, a length
                              * out of all proportion to the text; the report says so */
    bool without_sound;      /* do not decode: frames have no samples */

    /* Called after each frame; false ends the generation with CSM_CANCELLED. */
    bool (*on_frame)(void *user, const csm_frame *frame);
    /* NULL: none. Reading hidden states costs time; tokens do not change. */
    csm_observer observe;
    void *user;

    /* Teacher forcing: where frame f < n_forced, the codes drawn are reported but
     * the model goes on with forced[f], within the frame too. Kept until the
     * generation is freed. A forced generation does not end before n_forced. */
    const int32_t *forced; /* [n_forced, n_codebooks] */
    size_t n_forced;

    /* Of what csm_generate collects. */
    bool keep_logits;
    size_t hidden_frames; /* hidden states of the prompt and so many frames; 0: none. Costs as
                           * `observe` does */
} csm_generate_options;

/* Seed 0, strategy and settings of the model, 125 frames, sound, no callbacks. */
CSM_API csm_generate_options csm_generate_defaults(void);

/* What was chosen, what it took. Strings live as long as the generation or
 * result that has it. Times are of the wall. */
typedef struct csm_report {
    csm_strategy strategy; /* never AUTO */
    const char *reason;    /* one line: why this strategy and engine */
    const char *fallback;  /* one line: what failed and what took its place; "" if nothing did */
    const char *engine, *engine_version, *codec_engine;
    const char *stream, *sampler, *dtype, *mlx_version; /* stream "none" when greedy */
    uint64_t seed;
    double temperature, depth_temperature;
    int top_k, depth_top_k;

    size_t n_prompt; /* positions of the prompt */
    size_t n_reused; /* of these, kept from the last generation */
    size_t n_frames; /* sound frames drawn: without the one that ends speech */
    bool has_ended;  /* the model ended its speech; false: limit, cancel or error */
    const char *guarded; /* why the guard ended it: "a loop", "silence", "longer than its
                          * text"; "" if it did not */

    double encode_ms;       /* context sound to codes */
    double prompt_ms;       /* prefill */
    double backbone_ms;     /* steps after it, read-back of logits included */
    double depth_ms;
    double draw_ms;
    double codec_ms;
    double first_frame_ms;  /* from start to the first frame's codes */
    double first_sound_ms;  /* from start to the first frame's samples; 0 without sound */
    double total_ms;        /* from start to the last call */
} csm_report;

/* Begin: encode the context's sound, check every count, feed the prompt.
 *
 *   context, n_context  earlier turns, oldest first; each needs sound
 *   text, speaker       what to say, and as whom
 *   options             may be NULL: the defaults
 *   out                 to be freed with csm_generation_free
 *
 * Prompt and max_frames together must fit in max_positions; the message of
 * CSM_BAD_ARG says by how much they do not. One generation of a model runs at a
 * time: starting another ends it.
 *
 * Returns CSM_OK; CSM_BAD_ARG (text not UTF-8, a turn without sound, a code out of
 * range, an unknown name, settings out of range); CSM_NO_ENGINE, CSM_ENGINE,
 * CSM_BAD_LOGITS, CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_generation_start(csm_model *model, const csm_turn *context,
                                                     size_t n_context, const char *text,
                                                     int speaker,
                                                     const csm_generate_options *options,
                                                     csm_generation **out, csm_error *err);

/* The next frame, if speech goes on.
 *
 *   frame      receives views, valid until the next call or the free
 *   has_frame  false: speech has ended, or max_frames were drawn; every later
 *              call says so again
 *
 * Speech ends as in the reference of the sampler: `transformers` when all codes
 * but the last are 0 (and the frame is sound if the last is not 0), the others
 * when all are 0. The frame of zeros is no sound and is not handed out.
 *
 * Returns CSM_OK; CSM_CANCELLED; CSM_BAD_LOGITS (the message names frame and
 * codebook), CSM_ENGINE, CSM_NO_MEMORY. After a failure only _report and _free
 * are useful. */
CSM_API CSM_MUST_USE csm_status csm_generation_next(csm_generation *generation, csm_frame *frame,
                                                    bool *has_frame, csm_error *err);

/* So far; lives as long as the generation. */
CSM_API const csm_report *csm_generation_report(const csm_generation *generation);

/* The most probable codes of the last frame's codebook k, best first, with their
 * probabilities after temperature and top-k; n of them, fewer when fewer are
 * possible. Returns how many. */
CSM_API size_t csm_generation_candidates(const csm_generation *generation, size_t codebook,
                                         size_t n, int32_t *codes, float *probs);

/* End, at any point; takes NULL. */
CSM_API void csm_generation_free(csm_generation *generation);

/* A tensor of the computation, kept to find the first layer that differs.
 * Backbone tensors have one row a position, the prompt's first; the depth
 * decoder's have n_codebooks rows a frame. */
typedef struct csm_hidden {
    const char *name; /* "backbone.layer3": as csm_observer names it */
    size_t n_rows, width;
    const float *data; /* [n_rows, width] */
} csm_hidden;

/* A whole utterance. */
typedef struct csm_result {
    csm_report report;
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

/* csm_generation_start, _next until speech ends, and all of it in one result,
 * to be freed with csm_result_free. Arguments and errors as theirs; a cancelled
 * generation gives CSM_CANCELLED and the frames so far as a result. */
CSM_API CSM_MUST_USE csm_status csm_generate(csm_model *model, const csm_turn *context,
                                             size_t n_context, const char *text, int speaker,
                                             const csm_generate_options *options, csm_result **out,
                                             csm_error *err);
CSM_API void csm_result_free(csm_result *result); /* takes NULL */

/* One of several texts that do not depend on each other's sound. */
typedef struct csm_utterance {
    const char *text;
    int speaker;
    uint64_t seed; /* of its draws, in place of the options' */
} csm_utterance;

/* Several utterances of the same context, up to n_lanes at a time: the engine reads
 * each weight once for all of them. The next one begins when one has ended. Codes
 * and samples are those of csm_generate for each, bit for bit, whatever n_lanes is.
 *
 *   utterances  [n]; texts are kept no longer than the call
 *   n_lanes     1 or more; each costs the memory of its own positions
 *   options     as csm_generate; on_frame is told which utterance a frame is of, by
 *               csm_frame.utterance, and ends all of them when it returns false
 *   on_result   called with options->user and each result when it is whole, in the
 *               order in which they end. The result is the callee's, to be freed with
 *               csm_result_free; false ends the call with CSM_CANCELLED
 *
 * Times of a report that are the whole batch's (backbone, depth) are counted in each.
 * Side by side: engine native, without `forced`, `observe` and hidden_frames; else one
 * after another. So too where hybrid takes the place of an engine that failed: utterances
 * under way then begin again with their first frame. A generation of the model
 * that is under way ends.
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
 * depth_temperature, depth_topk, model, version, ended.
 *
 * Returns as csm_tensors_write. */
CSM_API CSM_MUST_USE csm_status csm_result_save(const csm_result *result, const csm_model *model,
                                                const char *text, int speaker, const char *path,
                                                csm_error *err);

/* ---- the codec ---------------------------------------------------------- */

/* Open the codec of a model directory alone, or of one that holds a codec only
 * (kyutai's file). Options: n_threads, device, codec_engine (NULL: native).
 * Errors as csm_model_open. */
CSM_API CSM_MUST_USE csm_status csm_codec_open(const char *dir, const csm_model_options *options,
                                               csm_codec **out, csm_error *err);
CSM_API void csm_codec_close(csm_codec *codec); /* takes NULL */

/* The codec of a model: lives as long as the model, not to be closed. */
CSM_API csm_codec *csm_model_codec(csm_model *model);

typedef struct csm_codec_info {
    int sample_rate_hz;   /* 24000 */
    size_t frame_samples; /* 1920 */
    size_t n_codebooks;   /* at most so many codes a frame */
    size_t n_entries;     /* codes are in [0, n_entries) */
} csm_codec_info;

CSM_API csm_codec_info csm_codec_describe(const csm_codec *codec);

/* Sound to codes.
 *
 *   samples  [n_samples] mono at sample_rate_hz; the last frame may be partial
 *            and is padded layer by layer as transformers does
 *   codes    [n_frames, n_codebooks], n_frames = ceil(n_samples / frame_samples);
 *            n_codebooks from 1 to the codec's
 *
 * Returns CSM_OK; CSM_BAD_ARG (n_codebooks, a sample that is not finite);
 * CSM_ENGINE, CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_codec_encode(csm_codec *codec, const float *samples,
                                                 size_t n_samples, size_t n_codebooks,
                                                 int32_t *codes, csm_error *err);

/* Codes to sound.
 *
 *   codes    [n_frames, n_codebooks], each in [0, n_entries); n_codebooks from 1
 *   samples  [n_frames * frame_samples]; not clamped to [-1, 1]
 *
 * Returns CSM_OK; CSM_BAD_ARG (the message names frame, codebook and code);
 * CSM_ENGINE, CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_codec_decode(csm_codec *codec, const int32_t *codes,
                                                 size_t n_frames, size_t n_codebooks,
                                                 float *samples, csm_error *err);

/* Decoding as frames come: the samples are those of csm_codec_decode over all of
 * them, within 1e-5, however many frames a call brings. */
CSM_API CSM_MUST_USE csm_status csm_decoder_new(csm_codec *codec, csm_decoder **out,
                                                csm_error *err);
CSM_API CSM_MUST_USE csm_status csm_decoder_push(csm_decoder *decoder, const int32_t *codes,
                                                 size_t n_frames, size_t n_codebooks,
                                                 float *samples, csm_error *err);
CSM_API CSM_MUST_USE csm_status csm_decoder_reset(csm_decoder *decoder, csm_error *err);
CSM_API void csm_decoder_free(csm_decoder *decoder); /* takes NULL */

#ifdef __cplusplus
}
#endif
#endif
