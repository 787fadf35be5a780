/* SPDX-License-Identifier: Apache-2.0
 *
 * analysis.h - what did a model draw, and do two programs draw alike?
 *
 *     csm_tokens *a, *b;
 *     csm_analysis *analysis;
 *     if (csm_tokens_open("torch.safetensors", &a, &err) == CSM_OK &&
 *         csm_tokens_open("port.safetensors", &b, &err) == CSM_OK &&
 *         csm_analyze_distributions(a, b, NULL, &analysis, &err) == CSM_OK)
 *         puts(analysis->comparison.explanation);
 *     csm_analysis_close(analysis);
 *     csm_tokens_close(b);
 *     csm_tokens_close(a);
 *
 * The rules by which a comparison comes to its verdict, and what each figure
 * means: docs/ANALYZER.md. Threads: different objects do not know of each other;
 * one object is read by any number of threads, and freed by one. */
#ifndef CSM_ANALYSIS_H
#define CSM_ANALYSIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <csm/csm.h>
#include <csm/status.h>
#include <csm/tensors.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- token files ---------------------------------------------------------- */

/* What a program drew. Read only; every pointer lives as long as the struct, and
 * NULL stands for what the file does not have. */
typedef struct csm_tokens {
    const char *name; /* for people: the file */
    size_t n_frames, n_codebooks;
    size_t vocab;          /* values of a code: by the logits or metadata; 0 if not known */
    const int32_t *codes;  /* [n_frames, n_codebooks] */
    const float *margins;  /* [n_frames, n_codebooks] csm_frame's */
    const float *probs;    /* [n_frames, n_codebooks] csm_frame's */
    csm_tensor logits;     /* [n_frames, n_codebooks, vocab] F32, F16, BF16 or F64; data NULL: none */
    const csm_hidden *hidden; /* [n_hidden] in the order of computation */
    size_t n_hidden;
    /* [n_forced, n_codebooks] teacher forcing: the codes of the first frames were drawn
     * as ever, and the model went on with these. NULL: with its own */
    const int32_t *forced;
    size_t n_forced;
    const float *samples; /* [n_samples] mono */
    size_t n_samples;
    int sample_rate_hz;
} csm_tokens;

/* Load a token file.
 *
 *   path  a token file (safetensors: `codes`, optionally `margins`, `probs`, `logits`,
 *         `hidden.*`, `forced`); any safetensors with one integer tensor of shape
 *         [frames, codebooks]; `.npy`, or `.npz` with one such array (or one named codes);
 *         "-", standard input, or a pipe, for all but `.npz`. Leading dimensions of 1 are
 *         dropped; any integer type. [codebooks, frames] is turned round where frames are
 *         more than 1024, which codebooks cannot be
 *   out   to be freed with csm_tokens_close; untouched on failure
 *
 * Nothing in the file is believed: sizes, shapes and types are checked, and
 * codes may be any 32-bit integers (those out of range are counted).
 * Returns CSM_OK; CSM_BAD_FILE; CSM_BAD_FORMAT; CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_tokens_open(const char *path, csm_tokens **out,
                                                csm_error *err);

/* Tokens from memory; codes are copied.
 *
 *   codes  [n_frames, n_codebooks]; n_codebooks 1..1024
 *
 * Returns CSM_OK; CSM_BAD_ARG; CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_tokens_make(const char *name, const int32_t *codes,
                                               size_t n_frames, size_t n_codebooks,
                                               csm_tokens **out, csm_error *err);

/* What the file says of itself under a key ("seed", "temperature", ...), or NULL. */
CSM_API const char *csm_tokens_metadata(const csm_tokens *tokens, const char *key);

/* Say, or with value NULL unsay, it. Keys are those of the token file:
 * docs/ANALYZER.md. Returns CSM_OK; CSM_BAD_ARG (another key); CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_tokens_set_metadata(csm_tokens *tokens, const char *key,
                                                        const char *value, csm_error *err);

/* The sound of the tokens, for the report: copied. */
CSM_API CSM_MUST_USE csm_status csm_tokens_set_samples(csm_tokens *tokens, const float *samples,
                                                       size_t n_samples, int sample_rate_hz,
                                                       csm_error *err);

/* One row of logits, widened to float32. False if there are none. */
CSM_API bool csm_tokens_logits(const csm_tokens *tokens, size_t frame, size_t codebook,
                               float *row);

/* Write a token file with all that is there but the sound. Errors as
 * csm_tensors_write. */
CSM_API CSM_MUST_USE csm_status csm_tokens_save(const csm_tokens *tokens, const char *path,
                                                csm_error *err);

CSM_API void csm_tokens_close(csm_tokens *tokens); /* takes NULL */

/* ---- capture -------------------------------------------------------------- */

/* One of the runs to be compared. */
typedef struct csm_capture {
    csm_model *model;
    const csm_generate_options *options; /* NULL: the defaults. on_frame and observe are called
                                          * as in csm_generate, beside the capture's own */
} csm_capture;

/* What to keep beside codes, margins and probabilities. */
typedef struct csm_capture_options {
    bool logits;          /* every row: n_codebooks * vocab floats a frame */
    size_t hidden_frames; /* hidden states of the prompt and so many frames; 0: none */
} csm_capture_options;

/* Run each on the same context, text and speaker, one after the other.
 *
 *   context, n_context, text, speaker  as in csm_generate
 *   runs, n_runs                       models and settings
 *   what                               NULL: codes, margins and probabilities alone
 *   out                                [n_runs] receives tokens with metadata (timings too) and
 *                                      sound, each to be freed with csm_tokens_close; on failure
 *                                      all NULL
 *
 * Errors as csm_generate. */
CSM_API CSM_MUST_USE csm_status csm_capture_tokens(const csm_turn *context, size_t n_context,
                                                   const char *text, int speaker,
                                                   const csm_capture *runs, size_t n_runs,
                                                   const csm_capture_options *what,
                                                   csm_tokens **out, csm_error *err);

/* ---- one stream ----------------------------------------------------------- */

enum { CSM_TOP_CODES = 10 /* how many of the most frequent codes are listed */ };

/* How often a code was drawn. */
typedef struct csm_code_count {
    int32_t code;
    size_t count;
} csm_code_count;

/* The same figures for one codebook, or (without the ten most frequent) for all. */
typedef struct csm_code_stats {
    size_t n;                 /* codes */
    size_t n_unique;          /* different values; for all: of pairs (codebook, code) */
    int32_t lowest, highest;
    double entropy_bits;      /* of the histogram; for all: the mean over codebooks */
    size_t n_zero;            /* code 0, which ends speech when all codes are 0 */
    size_t n_reserved;        /* codes in [entries, vocab): the codec has no sound for them */
    size_t n_out_of_range;    /* below 0, or vocab and above */
    size_t longest_run;       /* frames in a row with the same code; for all: the same frame */
    size_t run_frame;         /* where it begins */
    double repeated;          /* share of codes equal to the one a frame before */
    csm_code_count top[CSM_TOP_CODES]; /* most frequent first; n_top of them */
    size_t n_top;
} csm_code_stats;

/* Logits beyond what a sound model gives. */
typedef struct csm_health {
    bool has_logits;
    size_t n_rows;      /* looked at */
    size_t n_nan, n_inf; /* values; -inf counts only if the row has nothing finite */
    size_t n_dead;      /* rows whose values are all the same */
    size_t n_saturated; /* rows in which one code has all but 1e-6 at temperature 1 */
    float lowest, highest; /* finite ones */
    bool has_bad;       /* there is a row with NaN, Inf or nothing to choose */
    size_t bad_frame, bad_codebook; /* the first */
    uint8_t *rows; /* [n_frames, n_codebooks] 0 sound, 1 saturated, 2 dead, 3 NaN or Inf; NULL
                    * without logits */
} csm_health;

/* The sampler as the codes show it, given their logits: the temperature under
 * which they are most probable. Codebook 0 and the others apart. */
typedef struct csm_sampler_fit {
    bool has_fit;
    size_t n;             /* draws */
    double temperature;   /* of the maximum of likelihood */
    double error;         /* its standard error */
    size_t highest_rank;  /* the least probable code drawn: 1 is the most probable */
} csm_sampler_fit;

/* What one stream of codes shows. */
typedef struct csm_stream_stats {
    csm_code_stats all;
    csm_code_stats *codebooks; /* [n_codebooks] */
    size_t vocab, n_entries;   /* the ranges that were taken */
    double seconds;            /* of sound, 80 ms a frame */
    enum { CSM_ENDED_UNKNOWN, CSM_ENDED_ITSELF, CSM_ENDED_BY_LIMIT } ended;
    bool is_stuck;             /* a loop that lasts a second or more */
    size_t loop_frame, loop_period, loop_frames; /* the longest: where, how long a turn, in all */
    bool has_silence;          /* samples were there */
    double silence;            /* share of frames below -60 dB of full scale */
    size_t first_sound_frame, last_sound_frame;
    csm_health health;
    csm_sampler_fit fit[2]; /* backbone, depth decoder */
    const char *warnings;   /* lines, "" if none */
} csm_stream_stats;

/* ---- two streams ---------------------------------------------------------- */

/* Ordered from the harmless to the serious. Names: csm_verdict_name. */
typedef enum csm_verdict {
    CSM_VERDICT_SAME,     /* no code differs */
    CSM_VERDICT_ROUNDING, /* the draw was as close as the logits' error */
    CSM_VERDICT_NOISE,    /* random streams out of step: seed, offset, generator */
    CSM_VERDICT_LOGITS,   /* the models compute different things */
    CSM_VERDICT_SAMPLER   /* same logits, another choice: temperature, top-k, dtype, order */
} csm_verdict;

/* "same", "rounding", "noise", "logits", "sampler"; "?" outside the enum. */
CSM_API const char *csm_verdict_name(csm_verdict verdict);

/* How two histograms of codes differ. */
typedef struct csm_difference {
    double overlap;         /* values that both have, over values that either has */
    double similarity;      /* sum of the smaller probabilities, 0..1 */
    double similarity_expected; /* its mean if both were drawn from one distribution */
    double total_variation; /* 1 - similarity */
    double jensen_shannon;  /* bits, 0..1 */
    double chi_square;      /* the test's statistic */
    double p_value;         /* that a difference so large comes by chance */
    double agreement;       /* share of equal codes at equal places */
} csm_difference;

/* The first place where the codes part, in the order of the draws. */
typedef struct csm_divergence {
    bool exists;
    size_t frame, codebook;
    size_t n_equal;        /* draws before it */
    int32_t code_a, code_b; /* -1: that stream has ended */
    double margin_a, margin_b; /* NaN where not known */
    double prob_a, prob_b;     /* NaN where not known */
    /* Of the two candidates' logits, code_a's less code_b's, in a and in b, and
     * by how much that moved the race (over the temperature). NaN without logits. */
    double lead_a, lead_b, shift;
} csm_divergence;

/* A draw that came out otherwise after the same history. */
typedef struct csm_unequal_draw {
    size_t frame, codebook;
    int32_t code_a, code_b;
    double margin_a, margin_b; /* NaN where not known */
    double logit_error; /* largest difference of the row's logits, its mean taken off */
    double reach;       /* by how much such a difference moves a race at most: twice the
                         * logit error over the temperature */
    bool is_close;      /* the margin that is known, the smaller of two, is within reach */
} csm_unequal_draw;

/* Teacher forcing: of two streams that went on with the same codes whatever they
 * drew, each draw is compared, not only those before the first that differs. */
typedef struct csm_forced {
    size_t n_frames;    /* with one history on both sides; 0: no forcing, and nothing here */
    size_t n_draws, n_equal;
    double logit_error; /* largest of all rows; NaN without both sides' logits */
    csm_unequal_draw *unequal; /* [n_draws - n_equal] in the order of the draws */
    size_t n_close;     /* of these */
} csm_forced;

/* What two streams show side by side, and what follows from it. */
typedef struct csm_comparison {
    csm_verdict verdict;
    const char *cause;       /* a word for programs: docs/ANALYZER.md lists them */
    const char *explanation; /* a sentence or a few, for people */
    const char *evidence;    /* "codes", "codes+margins", "codes+logits", "codes+logits+hidden" */
    double confidence;       /* 0..1, how sure the rule is that gave the verdict */
    bool holds;              /* same or rounding: what exit code 0 of `csm analyze` says */
    bool is_alike;           /* p_value is 0.05 or more */
    csm_difference all;      /* similarity and its kin: means over codebooks */
    csm_difference *codebooks; /* [n_codebooks] */
    size_t n_codebooks, n_frames; /* compared: what both have */
    size_t n_permutations, block_frames; /* of the test */
    double detectable;       /* total variation that this many frames show with power 0.8 */
    size_t frames_needed;    /* to show the difference seen with power 0.8; 0: none was seen */
    csm_divergence first;
    /* Of logits at draws with equal history; NaN without both sides' logits. */
    double logit_error;      /* largest difference */
    double logit_relative;   /* rms of the difference over the logits' spread, median of rows */
    size_t n_logit_rows;
    const char *first_layer; /* hidden tensor that differs first, or NULL */
    csm_forced forced;
} csm_comparison;

/* Made by csm_analyze_distributions. */
typedef struct csm_analysis {
    const csm_tokens *a, *b; /* as given; b NULL: one stream */
    csm_stream_stats stats[2];
    csm_comparison comparison; /* with b */
} csm_analysis;

/* All zero is the default. */
typedef struct csm_analyze_options {
    size_t vocab;     /* 0: the logits', else 2051 */
    size_t n_entries; /* codes that the codec has sound for; 0: vocab - 3 */
    uint64_t seed;    /* of the test's permutations */
    bool without_replay; /* do not re-draw from logits (the costly part) */
} csm_analyze_options;

/* Statistics of one stream, or of two against each other.
 *
 *   a        the reference
 *   b        what is compared with it; NULL: none
 *   options  may be NULL
 *   out      refers to a and b; to be freed, before them, with csm_analysis_close
 *
 * Streams of different lengths or numbers of codebooks are compared in what they
 * have both. Returns CSM_OK; CSM_BAD_ARG (n_entries above vocab); CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_analyze_distributions(const csm_tokens *a, const csm_tokens *b,
                                                          const csm_analyze_options *options,
                                                          csm_analysis **out, csm_error *err);
CSM_API void csm_analysis_close(csm_analysis *analysis); /* takes NULL */

/* ---- reports -------------------------------------------------------------- */

/* A zero-terminated text, to be freed with csm_free: for a terminal (at most 80
 * columns, sparklines), or as one JSON object. CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_analysis_text(const csm_analysis *analysis, bool has_colour,
                                                  char **text, csm_error *err);
CSM_API CSM_MUST_USE csm_status csm_analysis_json(const csm_analysis *analysis, char **text,
                                                  csm_error *err);

/* Write one HTML page that needs nothing else: inline SVG, light and dark, and the
 * sound of tokens that have samples. Returns CSM_OK; CSM_BAD_FILE; CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_analysis_html(const csm_analysis *analysis, const char *path,
                                                  csm_error *err);

/* The pictures of the page as PNG files in a directory, which is made if it is
 * not there. Needs cairo, which is loaded now. Returns CSM_OK; CSM_BAD_FILE;
 * CSM_NO_ENGINE (no cairo); CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_analysis_png(const csm_analysis *analysis,
                                                 const char *directory, csm_error *err);

#ifdef __cplusplus
}
#endif
#endif
