/* SPDX-License-Identifier: Apache-2.0
 *
 * sampling.h - exact draws: the token that PyTorch or MLX would have drawn.
 *
 * For the same logits, dtype, seed, temperature and top-k, a sampler gives the
 * very token of the program it stands for, not one that is distributed alike.
 * Nothing here knows a model: use it to port any.
 *
 *   csm_sampler_options options = csm_sampler_defaults();
 *   options.seed = 42;
 *   csm_sampler *sampler;
 *   csm_status st = csm_sampler_open(&options, &sampler, &err);
 *   ...
 *   st = csm_sampler_draw(sampler, logits, 1, 2051, &token, &margin, NULL, &err);
 *   ...
 *   csm_sampler_close(sampler);
 *
 * A *noise stream* is the other program's random generator; a *sampler* is its
 * arithmetic from logits to a token, and owns a stream. The *margin* of a draw
 * says by how much it was won (csm_draw_is_certain).
 *
 * What is equal to what, in which versions, and how it was checked:
 * docs/EXACTNESS.md.
 *
 * Threads: one caller at a time per sampler or stream; any number of objects.
 * A function that fails has moved no stream and written no output. */
#ifndef CSM_SAMPLING_H
#define CSM_SAMPLING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <csm/status.h>
#include <csm/tensors.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- noise streams ------------------------------------------------------- */

/* Which generator. torch.manual_seed(seed) or mx.random.seed(seed) begins it.
 *
 *   TORCH_CPU      PyTorch on the CPU: mt19937, one double of 53 bits a number
 *   TORCH_CPU_MKL  PyTorch on the CPU, x86-64 builds with MKL up to 2.6 (Sesame's
 *                  pinned 2.4.0): one mt19937 output a call seeds MKL's MCG31
 *   TORCH_CUDA     PyTorch on CUDA: Philox4x32-10, and the GPU's own logarithm
 *   TORCH_INDUCTOR PyTorch on the CPU inside torch.compile, where exponential_ is the
 *                  compiler's: Philox4x32-10 under a key of mt19937. Compiled samplers
 *                  that call torch.multinomial draw from TORCH_CPU
 *   MLX            MLX: threefry2x32; each call splits the implicit global key */
#define CSM_STREAM_MAP(X)                                                                          \
    X(TORCH_CPU, "torch-cpu")                                                                      \
    X(TORCH_CPU_MKL, "torch-cpu-mkl")                                                              \
    X(TORCH_CUDA, "torch-cuda")                                                                    \
    X(TORCH_INDUCTOR, "torch-inductor")                                                            \
    X(MLX, "mlx")
#define CSM_STREAM_ENUM(id, name) CSM_STREAM_##id,
typedef enum csm_stream_kind { CSM_STREAM_MAP(CSM_STREAM_ENUM) CSM_STREAM_COUNT } csm_stream_kind;
#undef CSM_STREAM_ENUM

/* The names, for messages and help texts. */
#define CSM_STREAM_NAMES "torch-cpu, torch-cpu-mkl, torch-cuda, torch-inductor or mlx"

/* "torch-cpu", ...; "?" outside the enum. The second gives the kind of a name,
 * CSM_STREAM_COUNT for a name that is none. */
CSM_API const char *csm_stream_name(csm_stream_kind kind);
CSM_API csm_stream_kind csm_stream_find(const char *name);

/* Where a stream stands: all that is needed to go on from there, in another
 * process too. Positions count
 *   TORCH_CPU, TORCH_CPU_MKL, TORCH_INDUCTOR   32-bit outputs of mt19937
 *   TORCH_CUDA                 the generator's offset, as torch.cuda's state holds it
 *   MLX                        keys handed out (one a call) */
typedef struct csm_stream_state {
    csm_stream_kind kind;
    uint64_t seed; /* TORCH_CPU, _MKL, TORCH_INDUCTOR: only the low 32 bits count, as in PyTorch */
    uint64_t position;
    /* TORCH_CUDA: threads that the GPU holds at once (multiprocessors times
     * threads on each), which shapes the noise of calls over more elements than
     * that. 0: 270336, an H100 or H200 (132 * 2048). */
    uint64_t cuda_threads;
} csm_stream_state;

typedef struct csm_stream csm_stream; /* a random generator under way */

/* A stream that stands at state->position. CSM_BAD_ARG (unknown kind, a CUDA
 * position that is not a multiple of 4), CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_stream_open(const csm_stream_state *state,
                                                  csm_stream **out, csm_error *err);

/* Takes NULL. */
CSM_API void csm_stream_close(csm_stream *stream);

/* Where it stands now; csm_stream_open continues from it. */
CSM_API csm_stream_state csm_stream_save(const csm_stream *stream);

/* Go to a position, forward or back. Time: mt19937 and MLX walk there (some
 * hundred million positions a second), Philox jumps. CSM_BAD_ARG as above. */
CSM_API CSM_MUST_USE csm_status csm_stream_seek(csm_stream *stream, uint64_t position,
                                                csm_error *err);

/* Go on from where another stream of the same kind stands, with its seed: samplers
 * of different settings draw so from one stream, in turns. Takes the same short
 * time wherever that is. CSM_BAD_ARG: the kinds differ. */
CSM_API CSM_MUST_USE csm_status csm_stream_follow(csm_stream *stream, const csm_stream *other,
                                                  csm_error *err);

/* One call of the generator over a tensor of this shape:
 *   torch streams   torch.empty(rows, cols, dtype).exponential_(1)
 *   MLX             mx.random.uniform(shape=(rows, cols), dtype)
 *
 *   dtype  CSM_DTYPE_F32, CSM_DTYPE_BF16 or CSM_DTYPE_F16
 *   noise  [rows, cols] receives the values, widened to float32 (exact)
 *
 * With such rows the race argmax(p / q) can be run anywhere. Moves the stream
 * by one call. CSM_BAD_ARG (dtype, no element), CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_stream_fill(csm_stream *stream, csm_dtype dtype, size_t rows,
                                                size_t cols, float *noise, csm_error *err);

/* ---- samplers ------------------------------------------------------------ */

/* Whose arithmetic.
 *
 *   TRANSFORMERS     generate(do_sample=True): scores widened to float32; the
 *                    repetition penalty, temperature, top-h, top-k, top-p, min-p,
 *                    typical-p, epsilon and eta cutoffs in this order; softmax;
 *                    torch.multinomial. Any torch stream
 *   SESAME           sample_topk of Sesame's csm: every step rounded to the
 *                    dtype. Any torch stream, TORCH_INDUCTOR in F32 alone (a compiler
 *                    rounds 16-bit steps only where it stores them); no top-p, min-p
 *                    or penalty
 *   CSM_MLX          csm-mlx: logits - logsumexp(logits), then MLX_CATEGORICAL
 *   MLX_CATEGORICAL  mlx-lm's make_sampler on the logits as they are: top-p,
 *                    min-p, top-k, mx.random.categorical. Stream MLX */
#define CSM_SAMPLER_MAP(X)                                                                         \
    X(TRANSFORMERS, "transformers")                                                                \
    X(SESAME, "sesame")                                                                            \
    X(CSM_MLX, "csm-mlx")                                                                          \
    X(MLX_CATEGORICAL, "mlx-categorical")
#define CSM_SAMPLER_ENUM(id, name) CSM_SAMPLER_##id,
typedef enum csm_sampler_kind {
    CSM_SAMPLER_MAP(CSM_SAMPLER_ENUM) CSM_SAMPLER_COUNT
} csm_sampler_kind;
#undef CSM_SAMPLER_ENUM

/* As csm_stream_name and csm_stream_find. */
CSM_API const char *csm_sampler_name(csm_sampler_kind kind);
CSM_API csm_sampler_kind csm_sampler_find(const char *name);

/* What transformers has to leave improbable tokens out beside top-k, top-p and min-p; each is
 * off at 0. Sampler TRANSFORMERS, streams TORCH_CPU and TORCH_CPU_MKL. Formulas, and what is
 * equal to what: docs/EXACTNESS.md. */
typedef struct csm_cutoffs {
    double top_h;     /* (0, 1]: before top-k; of the 100 most probable the first ones that hold
                       * this share of their entropy */
    double typical_p; /* (0, 1); 1: off too. After min-p: the most typical ones of this mass */
    double epsilon;   /* (0, 1): then those that are at least so probable */
    double eta;       /* (0, 1): then likewise, less where the entropy is high */
} csm_cutoffs;

/* Made by csm_sampler_defaults(), then changed. */
typedef struct csm_sampler_options {
    size_t size; /* of this struct as the caller knows it */
    csm_sampler_kind sampler;
    csm_stream_kind stream;
    csm_dtype dtype; /* of the logits in the other program: CSM_DTYPE_F32, CSM_DTYPE_BF16 or CSM_DTYPE_F16 */
    uint64_t seed;
    double temperature;        /* finite, above 0; of the mlx samplers 1 / temperature, too, in `dtype` */
    size_t top_k;              /* 0, or more than there are: all */
    double top_p;              /* (0, 1]; 0 or 1: all */
    double min_p;              /* [0, 1]; 0: all */
    double repetition_penalty; /* above 0; 1: none. Needs csm_sampler_set_history */
    const char *mlx_version;   /* "0.32.0": which MLX the mlx samplers equal; NULL: the newest known */
    /* Which mlx-lm: 0.25.1 or later. NULL: "0.31.3", whose make_sampler has been the
     * same since 0.26.4; 0.32.0 took another form of top-p. */
    const char *mlx_lm_version;
    uint64_t cuda_threads;     /* as in csm_stream_state */
    csm_cutoffs cutoffs;
} csm_sampler_options;

/* TRANSFORMERS over TORCH_CPU in float32, seed 0, temperature 0.9, top-k 50, the
 * rest off: in what options->size covers; csm_sampler_defaults sets the size too. */
CSM_API void csm_sampler_options_init(csm_sampler_options *options);
static inline csm_sampler_options csm_sampler_defaults(void)
{
    csm_sampler_options options;
    options.size = sizeof options;
    csm_sampler_options_init(&options);
    return options;
}

typedef struct csm_sampler csm_sampler; /* settings, and the stream that they draw from */

/* Make a sampler whose stream has just been seeded. The options are copied.
 *
 * CSM_BAD_ARG: a value out of its range, or a combination that no program has
 * (an mlx sampler on a torch stream, top-p with SESAME): the message says which.
 * CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_sampler_open(const csm_sampler_options *options,
                                                   csm_sampler **out, csm_error *err);

/* Takes NULL. */
CSM_API void csm_sampler_close(csm_sampler *sampler);

/* The sampler's stream, which it owns: to read or set the position, or to draw
 * noise from it. */
CSM_API csm_stream *csm_sampler_stream(csm_sampler *sampler);

/* Other settings for the draws to come, from the same stream (CSM's depth
 * decoder may have its own). Ranges as in the options. */
CSM_API CSM_MUST_USE csm_status csm_sampler_set_temperature(csm_sampler *sampler,
                                                            double temperature, csm_error *err);
CSM_API void csm_sampler_set_top_k(csm_sampler *sampler, size_t top_k);
CSM_API CSM_MUST_USE csm_status csm_sampler_set_top_p(csm_sampler *sampler, double top_p,
                                                      csm_error *err);
CSM_API CSM_MUST_USE csm_status csm_sampler_set_min_p(csm_sampler *sampler, double min_p,
                                                      csm_error *err);
CSM_API CSM_MUST_USE csm_status csm_sampler_set_cutoffs(csm_sampler *sampler,
                                                        const csm_cutoffs *cutoffs,
                                                        csm_error *err);

/* The ids that the repetition penalty of the draws to come looks at.
 *
 *   ids  [rows, n_ids], one history for each row of the logits; borrowed until
 *        the next call; ids outside the vocabulary fail the draw (CSM_BAD_ARG)
 *   n_ids  0: none (ids may be NULL) */
CSM_API void csm_sampler_set_history(csm_sampler *sampler, const int32_t *ids, size_t n_ids);

/* One token for each row, as one call of the other program on a tensor of this
 * shape: rows share one call of the generator. For the MLX samplers a single
 * row is [1, vocab], the shape that mlx-lm draws from.
 *
 *   logits   [rows, vocab] before temperature, float32, rounded to the
 *            sampler's dtype first (exact if they are of it); read only
 *   rows     1 or more
 *   vocab    1 or more; 2051 for each codebook of csm-1b
 *   tokens   [rows] receives ids in [0, vocab)
 *   margins  [rows] or NULL: by how much each was won, below
 *   probs    [rows, vocab] or NULL: the probabilities that the race was run
 *            with, in the dtype that the program holds them in, widened
 *
 * margin, 0 or more, in units of warped logits (logits over temperature):
 *   torch, and MLX's Gumbel form: log(p1/q1) - log(p2/q2), the winner's lead in
 *   the race over the runner-up; +inf if nobody else could have won
 *   MLX's inverse CDF: the distance of the uniform from the nearer end of the
 *   winner's interval, both as log-odds
 *
 * Moves the stream by one call over [rows, vocab]; masked entries count.
 *
 * CSM_BAD_LOGITS: a logit is NaN or +Inf (before or after the rounding and the
 * temperature), or a row has nothing finite: the message says which row and
 * index. CSM_BAD_ARG: no row, no column, a history id out of range.
 * CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_sampler_draw(csm_sampler *sampler, const float *logits,
                                                 size_t rows, size_t vocab, int32_t *tokens,
                                                 float *margins, float *probs, csm_error *err);

/* n_samples different tokens a row, in the order that
 * torch.multinomial(probs, n_samples) returns them. TRANSFORMERS only.
 *
 *   tokens  [rows, n_samples]
 *
 * Moves the stream as csm_sampler_draw does, and fails as it does; CSM_BAD_ARG
 * also for another sampler, and if n_samples is 0 or more than the tokens that
 * warping left in a row. */
CSM_API CSM_MUST_USE csm_status csm_sampler_draw_several(csm_sampler *sampler, const float *logits,
                                                         size_t rows, size_t vocab,
                                                         size_t n_samples, int32_t *tokens,
                                                         csm_error *err);

/* Greedy: the highest logit of each row, the lowest index of equal ones; no
 * noise. margins ([rows] or NULL): its lead over the second, in logits.
 * CSM_BAD_LOGITS, CSM_BAD_ARG as above. */
CSM_API CSM_MUST_USE csm_status csm_draw_greedy(const float *logits, size_t rows, size_t vocab,
                                                int32_t *tokens, float *margins, csm_error *err);

/* True if no error of the logits up to logit_error (absolute, in the margin's
 * units: divide by the temperature) could have changed the draw: each of two
 * rivals may be off by that much, so the margin has to be above twice it. */
CSM_API bool csm_draw_is_certain(float margin, float logit_error);

#ifdef __cplusplus
}
#endif
#endif
