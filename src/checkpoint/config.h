/* SPDX-License-Identifier: Apache-2.0
 *
 * config.h - all numbers of a model, as plain C: what config.json (of
 * transformers 4 and 5, of Sesame, of csm-mlx and mlx-audio), kyutai's
 * mimi_config.json and generation_config.json say, with the defaults of the
 * reference's classes where they say nothing. */
#ifndef CSM_CHECKPOINT_CONFIG_H
#define CSM_CHECKPOINT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <csm/sampling.h>

#include "base/rope.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A stack of transformer layers. No biases but in Mimi's layer norms. */
struct csm_transformer_config {
    size_t n_layers;
    size_t width; /* of the residual stream */
    size_t n_heads, n_kv_heads, head_dim;
    size_t hidden; /* of the MLP */
    double norm_eps;
    struct csm_rope rope; /* .interleaved comes from the layout: as the file's q and k lie */
    size_t max_positions; /* of the backbone: prompt and frames together */
    size_t window;        /* keys that a position sees, itself among them; 0: all before it */
};

enum { CSM_MAX_RATIOS = 8 };

/* Mimi. The encoder takes the ratios in reverse. Channels of stage s of the
 * decoder: n_filters << (n_ratios - s) in, half of that out. */
struct csm_codec_config {
    int sample_rate_hz;
    size_t frame_samples; /* product of ratios, times 2 for down-/upsampling */
    size_t width;         /* of the latent, equal to transformer.width */
    struct csm_transformer_config transformer; /* encoder's and decoder's alike */

    /* SEANet */
    size_t n_filters;
    size_t n_ratios;
    size_t ratios[CSM_MAX_RATIOS]; /* of the decoder: 8 6 5 4; kernel of each stage 2 * ratio */
    size_t kernel, residual_kernel, last_kernel;
    size_t n_residual_layers; /* blocks a stage; dilation of block j is dilation_growth^j */
    size_t dilation_growth;
    size_t compress; /* a block's inner channels are its channels / compress */

    /* between 25 Hz and 12.5 Hz: stride 2, kernel 4 */
    size_t upsample_groups; /* the upsampling's weight is [width, width / groups, 4] */

    /* residual vector quantization */
    size_t n_codebooks; /* all that the file has; the language model may use fewer */
    size_t n_semantic;  /* of these, the first ones */
    size_t n_entries;
    size_t dim; /* of an entry */
};

/* Codes, by their values. */
enum { CSM_CODE_SET = 4096 };
struct csm_code_set {
    uint64_t bits[CSM_CODE_SET / 64];
};

/* What transformers does to logits before it draws (or takes the highest): its logits
 * processors, of one of CSM's two generate(). */
struct csm_code_rules {
    bool is_any; /* one of those below acts */
    struct csm_code_set never; /* suppress_tokens, bad_words_ids, the depth decoder's eos_token_id */
    struct csm_code_set not_at_first; /* begin_suppress_tokens */
    double repetition_penalty;        /* of the codes of a frame so far; 1: none */
    size_t no_repeat_ngram;           /* among them; 0: none */
};

/* generation_config.json, as transformers 5 reads it: of a file that is there, keys
 * that are not are transformers' defaults (no do_sample: greedy, temperature 1, top-k
 * 50). Without a file: 0.9 and 50, what Sesame's program draws with. */
struct csm_generation_config {
    double temperature; /* 0: greedy */
    int top_k;          /* 0: all */
    double top_p;       /* (0, 1]; 1: all */
    double min_p;       /* [0, 1]; 0: all */
    double depth_temperature; /* the depth decoder's own (depth_decoder_*) */
    int depth_top_k;
    double depth_top_p, depth_min_p;
    csm_cutoffs cutoffs, depth_cutoffs;
    struct csm_code_rules rules, depth_rules; /* the first: of code 0 */
    bool drops_depth; /* depth_decoder_* keys are there, but nobody reads them */
    char rule_names[256]; /* the keys that made them, by blanks; "" for none */
    size_t max_frames;   /* max_new_tokens; 125 where it says nothing */
    size_t max_length;   /* where it alone says a length, which counts the prompt; else 0 */
    int default_speaker; /* "default_speaker", a key of our own; 0 where it says nothing */
};

struct csm_config {
    struct csm_transformer_config backbone;
    struct csm_transformer_config depth;
    size_t text_vocab;
    size_t vocab;       /* values of a code, special ones included: rows of a head */
    size_t n_codebooks; /* codes a frame */
    /* The backbone and the depth decoder read one audio table (always, but for
     * HF files with tie_codebooks_embeddings false). */
    bool has_tied_tables;

    /* Ids of the text vocabulary; -1 where the file has none (Sesame's has none:
     * its prompt needs none). */
    int32_t bos_id;
    int32_t audio_id;
    int32_t audio_eos_id;
    bool has_speaker_space; /* a turn's text is "[0] text" (MisoTTS), not "[0]text" */
    int32_t code_eos; /* the code that, in all codebooks of a frame, ends speech: 0 */

    struct csm_codec_config codec;
    struct csm_generation_config generation;
};

#ifdef __cplusplus
}
#endif
#endif
