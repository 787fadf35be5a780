/* SPDX-License-Identifier: Apache-2.0
 *
 * model.h - a model: what it is made of, how it is opened, what it does.
 *
 * Threads: an open model never changes; any number of threads may use it at once. */
#ifndef CSM_MODEL_H
#define CSM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <csm/status.h>
#include <csm/tensors.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct csm_model csm_model; /* an open model */

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

/* How the engine keeps the language model's matrices. STORED: as the
 * checkpoint has them. Q8 and Q4 are MLX's affine quantization (w = scale * q +
 * bias), group 64. Norms and biases are never quantized; the codec stays as it
 * is stored, in float32 arithmetic. */
typedef enum csm_precision {
    CSM_PRECISION_STORED,
    CSM_PRECISION_F32,
    CSM_PRECISION_BF16,
    CSM_PRECISION_F16,
    CSM_PRECISION_Q8,
    CSM_PRECISION_Q4
} csm_precision;

/* "stored", "f32", "bf16", "f16", "q8", "q4"; "?" outside the enum. */
CSM_API const char *csm_precision_name(csm_precision precision);

/* ---- a model ------------------------------------------------------------ */

/* What fine-tuning kept beside its base, merged into it when a model opens. */
typedef struct csm_adapter {
    const char *path; /* a directory of PEFT's (LoRA, rsLoRA, DoRA, modules kept whole) or of
                       * csm-mlx's: adapter_config.json and its safetensors */
    double scale;     /* of its low-rank part: 1 as it was trained, 0 without it. Modules that
                       * are kept whole are taken as they are */
} csm_adapter;

/* One that is kept beside the base instead, for the generations that name it
 * (csm_generate_options.adapter): several voices over one set of weights. A product is then
 * W x + left (right x), each in float32; merged, it is the product with a sum that was rounded, so
 * the two differ by rounding. What a generation says does not depend on the adapters of those
 * beside it. Low-rank pairs of the layers' projections alone, on engine native; what else an
 * adapter holds is refused, and can be merged. */
typedef struct csm_named_adapter {
    const char *name; /* no other's of this model */
    csm_adapter adapter;
} csm_named_adapter;

/* Whether a draft of the depth decoder (its weights in 4 bits, beside the true ones) guesses
 * codes that the true weights then confirm several at a time. What is drawn is the same, bit
 * for bit; it takes less time where weights come from memory (docs/SPECULATION.md). AUTO: on
 * engine native, with matrices of floats too large for a cache, while one generation draws
 * alone. ON: also where they are small; CSM_BAD_ARG where it is not possible. */
typedef enum csm_speculation_use {
    CSM_SPECULATION_AUTO,
    CSM_SPECULATION_ON,
    CSM_SPECULATION_OFF
} csm_speculation_use;

/* How a model is opened: made by csm_model_defaults(), then changed. */
typedef struct csm_model_options {
    size_t size;              /* of this struct as the caller knows it */
    csm_strategy strategy;    /* AUTO; decides the engine where `engine` does not */
    const char *engine;       /* "native", "mlx", "torch"; NULL: by the strategy */
    csm_precision precision;  /* STORED; of the language model */
    int n_threads;            /* 0: one per core that this process may use */
    const char *device;       /* NULL: the engine's default; "cpu", "gpu", "cuda:0", "mps" */
    const char *codec_engine; /* NULL: the model's engine; for HYBRID, what AUTO would take */
    bool describe_only;       /* check every tensor's name and shape, but load nothing: the
                               * model is for csm_model_describe and _tokenize alone */
    size_t max_lanes;         /* generations that hold a lane, others wait; 0: no limit. One
                               * whose reader is behind keeps its lane. On a card what so many
                               * need is made as the model opens, and not while they speak */
    /* Keys and values of what was read (a voice, a session's past, a prompt) are kept for
     * the generations that begin with it, up to so many bytes, the least used go first;
     * 0: none. Default 256 MiB. Only on engines whose rows are independent (native). */
    size_t prefix_cache_bytes;
    /* [n_adapters] merged in this order; NULL and 0: the one in the model's own directory, if
     * there is one. Kept no longer than the call. */
    const csm_adapter *adapters;
    size_t n_adapters;
    csm_speculation_use speculation; /* AUTO */
    const csm_named_adapter *named_adapters; /* [n_named_adapters]; kept no longer than the call */
    size_t n_named_adapters;
} csm_model_options;

/* The defaults, in what options->size covers; csm_model_defaults sets the size too. */
CSM_API void csm_model_options_init(csm_model_options *options);
static inline csm_model_options csm_model_defaults(void)
{
    csm_model_options options;
    options.size = sizeof options;
    csm_model_options_init(&options);
    return options;
}

/* A transformer's sizes. */
typedef struct csm_transformer_info {
    size_t n_layers, width, n_heads, n_kv_heads, head_dim, hidden;
} csm_transformer_info;

/* What is known of an open model; strings and struct live as long as it. New members are
 * appended. */
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
    const char *device; /* as asked for; "" for the engine's default */
    csm_precision precision;
    const char *stored_dtype; /* of most of the language model's bytes: "BF16", "q4 group 64" */
    int n_threads; /* that the engine uses; 0: it is the engine's library that decides */

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

    /* generation_config.json; 0.9 and 50 where it says nothing, top-p and min-p off */
    double temperature, depth_temperature;
    int top_k, depth_top_k; /* 0: all */
    double top_p, depth_top_p; /* 1: all */
    double min_p, depth_min_p; /* 0: all */
    size_t max_frames;      /* 125 where it says nothing */
    int default_speaker;    /* the clearest speaker of the embedded voice; else 0 */
    bool has_draft; /* of the depth decoder: csm_model_options.speculation */
    const char *const *adapters; /* [n_adapters] names, for csm_generate_options.adapter */
    size_t n_adapters;
} csm_model_info;

/* Open a model directory, or a GGUF file.
 *
 *   dir      config.json, safetensors, tokenizer.json, the codec inside or
 *            beside (HF, Sesame and MLX layouts); a GGUF of CrispASR, one of
 *            codec.cpp's pair with the other beside it, or a directory of one
 *            such model; NULL: the embedded voice
 *   options  may be NULL: the default
 *   out      receives the model, to be closed with csm_model_close; untouched
 *            on failure
 *
 * Every tensor is bound by name and shape. Returns CSM_OK; CSM_BAD_FILE,
 * CSM_BAD_FORMAT (the message names file, tensor and what was expected);
 * CSM_NO_ENGINE; CSM_ENGINE; CSM_NO_MEMORY; CSM_BAD_ARG for an unknown name or
 * a value outside of its enum. */
CSM_API CSM_MUST_USE csm_status csm_model_open(const char *dir, const csm_model_options *options,
                                               csm_model **out, csm_error *err);

/* Open a model whose files lie in memory: linked into the program, or received. Nothing is
 * looked for on disk, and of the files nothing is copied but what is not aligned.
 *
 *   name     what messages and csm_model_info.path call it
 *   files    [n_files] config.json, safetensors, tokenizer.json, ...: what a directory would
 *            hold; array, names and bytes stay until csm_model_close
 *
 * Returns as csm_model_open, and CSM_BAD_ARG for no files. */
CSM_API CSM_MUST_USE csm_status csm_model_open_memory(const char *name,
                                                      const csm_memory_file *files, size_t n_files,
                                                      const csm_model_options *options,
                                                      csm_model **out, csm_error *err);

/* Close; takes NULL. Generations, decoders and sessions of the model are closed before. */
CSM_API void csm_model_close(csm_model *model);

/* What is known of it; lives as long as the model. */
CSM_API const csm_model_info *csm_model_describe(const csm_model *model);

/* What a model does at this moment; size is set by the caller. */
typedef struct csm_load {
    size_t size;
    size_t n_running;   /* generations that are being drawn or whose prompt is being read */
    size_t n_waiting;   /* generations that wait for a lane (max_lanes) */
    size_t n_paused;    /* of the running: those whose reader has not taken what is drawn */
    uint64_t n_frames;  /* drawn since the model was opened */
    uint64_t n_prompt;  /* positions of prompts that were read since then */
    uint64_t n_reused;  /* and that need not be read, since they were kept */
    size_t n_positions; /* that the running generations hold */
    size_t kept_bytes;  /* of the prefix cache */
} csm_load;

/* What it does now, in what load->size covers. */
CSM_API void csm_model_load(const csm_model *model, csm_load *load);

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
 * Returns CSM_OK; CSM_BAD_ARG (not UTF-8, or NULL); CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_model_tokenize(const csm_model *model, const char *text,
                                                   int speaker, int32_t **ids, size_t *n_ids,
                                                   csm_error *err);

#ifdef __cplusplus
}
#endif
#endif
