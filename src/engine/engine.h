/* SPDX-License-Identifier: Apache-2.0
 *
 * engine.h - what an engine is: a table of block-sized operations.
 *
 * The model (src/model/) is written once, in C, over this table; an engine
 * (native, mlx, torch) knows arrays and arithmetic and nothing of CSM's loop.
 * It is a table of functions and a context; every function takes the context
 * first and an error last.
 *
 *   weight   a matrix, table or vector of the checkpoint, in the engine's form
 *   value    an activation, [rows, cols]; rows are positions (time), cols are
 *            channels; filled by the operation that has it as `out`, which
 *            gives it its shape. An engine may evaluate lazily: `read` is what
 *            asks for numbers. `out` may be the same value as an input only
 *            where said.
 *   cache    keys and values of one transformer's layers, for n_lanes
 *            independent sequences (1, or a batch of sentences)
 *
 * Rows of a value with several lanes: lane-major, T rows for each lane.
 *
 * Threads: one caller at a time per context. Errors: CSM_ENGINE with a message
 * that begins with the engine's name, CSM_NO_MEMORY, CSM_BAD_ARG for what an
 * engine declines. No exception leaves an engine and no engine prints. */
#ifndef CSM_ENGINE_H
#define CSM_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <csm/csm.h>
#include <csm/status.h>
#include <csm/tensors.h>

#include "base/rope.h"
#include "base/weight_source.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct csm_weight csm_weight;
typedef struct csm_value csm_value;
typedef struct csm_cache csm_cache;
typedef struct csm_conv_state csm_conv_state;
typedef struct csm_random csm_random; /* an engine's own random stream */

/* csm_precision (csm.h) is of the language model's matrices: norms, biases and the
 * codec do not follow it. */
struct csm_engine_options {
    csm_precision precision;
    int n_threads;      /* 0: one per core that this process may use */
    const char *device; /* NULL: the engine's default; else "cpu", "gpu", "cuda:0", "mps" */
};

/* ---- blocks ------------------------------------------------------------- */

/* RMS:   scale * x / sqrt(mean(x^2) + eps)
 * LAYER: scale * (x - mean) / sqrt(var + eps) + bias */
struct csm_norm {
    enum { CSM_NORM_RMS, CSM_NORM_LAYER } kind;
    csm_weight *scale; /* [width] */
    csm_weight *bias;  /* [width]; NULL for RMS */
    float eps;
};

/* x += layer_scale * o(attention(norm(x)));  query head i uses key/value head
 * i / (n_heads / n_kv_heads); scale head_dim^-0.5; causal, and with a window w
 * position i sees j iff 0 <= i - j < w. */
struct csm_attention {
    struct csm_norm norm;
    csm_weight *q;           /* [n_heads * head_dim, width] */
    csm_weight *k, *v;       /* [n_kv_heads * head_dim, width] */
    csm_weight *o;           /* [width, n_heads * head_dim] */
    csm_weight *layer_scale; /* [width]; NULL: 1 */
    size_t width, n_heads, n_kv_heads, head_dim;
    size_t window; /* 0: unlimited */
    struct csm_rope rope;
};

/* gated:  x += layer_scale * down(silu(gate(norm(x))) * up(norm(x)))
 * plain:  x += layer_scale * down(gelu(up(norm(x)))), gelu with erf; gate NULL */
struct csm_mlp {
    struct csm_norm norm;
    csm_weight *gate;        /* [hidden, width] or NULL */
    csm_weight *up;          /* [hidden, width] */
    csm_weight *down;        /* [width, hidden] */
    csm_weight *layer_scale; /* [width]; NULL: 1 */
    size_t width, hidden;
};

/* Causal convolution over time; k_eff = (kernel - 1) * dilation + 1.
 * Forward: left context k_eff - stride, right pad to a whole stride, so
 * ceil(T / stride) rows come out. Transposed (dilation 1): T * stride rows come
 * out, kernel - stride are cut from the right.
 * Weight: [out, in/groups, kernel] forward, [in, out/groups, kernel] transposed,
 * as PyTorch stores them. */
struct csm_conv {
    csm_weight *weight;
    csm_weight *bias; /* [out] or NULL */
    size_t in, out, kernel, stride, dilation, groups;
    bool transposed;
    bool replicate; /* pad with copies of the edge row, not zeros (Mimi's downsample) */
    bool elu;       /* take elu(x) as the input, alpha 1 */
    /* Rows of x come in multiples of this (a decoder's frames); 0: any number. So outputs
     * can be made several together, the same ones however many frames come. */
    size_t rows_at_once;
};

/* ---- a whole frame ------------------------------------------------------ */

/* What the codes of one frame are made with: the head of codebook 0 over the
 * backbone's last hidden state, then the depth decoder. */
struct csm_frame_parts {
    size_t n_codebooks, vocab;
    const csm_weight *first_head; /* [vocab, width] of codebook 0 */
    const csm_weight *codes;      /* [n_codebooks * vocab, width]: row k * vocab + c is code c of
                                   * codebook k */
    const csm_weight *projector;  /* [depth width, width] */
    const struct csm_attention *attention; /* [n_layers] of the depth decoder */
    const struct csm_mlp *mlp;             /* [n_layers] */
    size_t n_layers;
    struct csm_norm norm;
    csm_weight *const *heads; /* [n_codebooks - 1], each [vocab, depth width] */
};

/* What a frame becomes a position of the backbone with. */
struct csm_step_parts {
    const csm_weight *codes;               /* [n_codebooks * vocab, width] */
    const struct csm_attention *attention; /* [n_layers] */
    const struct csm_mlp *mlp;             /* [n_layers] */
    size_t n_layers;
    struct csm_norm norm;
};

/* How an engine is to draw. Temperature 0 is the largest logit, top_k 0 all.
 *
 * OWN   as the engine's library draws. MLX: csm-mlx's order, logits - logsumexp,
 *       mlx-lm's top-k, times 1 / temperature, mx.random.categorical, one subkey
 *       a draw, codebook 0 first; `key` is the state of the generator,
 *       {seed >> 32, seed} at first, and is moved on. torch: of
 *       `random`, which is moved on; transformers' warpers and torch.multinomial
 *       in float32, or as_sesame, sample_topk, every step in the model's dtype.
 * RACE  the index of the largest p / q: p the softmax in `dtype` of what top-k
 *       (ties kept) leaves of logits / temperature, q the row of `noise`. The
 *       engine's arithmetic is not PyTorch's, so the caller repeats each draw
 *       from the logits with its own sampler; where the two differ, it asks for
 *       the frame again with the codes that are right as `known`. */
struct csm_frame_draw {
    enum { CSM_DRAW_OWN, CSM_DRAW_RACE } kind;
    double temperature, depth_temperature;
    size_t top_k, depth_top_k;
    uint32_t key[2];      /* OWN, mlx */
    csm_random *random;   /* OWN, torch */
    bool as_sesame;       /* OWN, torch */
    const float *noise;   /* RACE: [n_codebooks, vocab]; NULL if both temperatures are 0 */
    csm_dtype dtype;      /* RACE: F32, BF16, F16 */
    const int32_t *known; /* [n_known]: the model goes on with these, whatever was drawn */
    size_t n_known;
};

/* ---- the table ---------------------------------------------------------- */

struct csm_engine_ops {
    const char *name; /* "native", "mlx", "torch" */

    /* Make and end a context. `version` is the library's own version ("0.32.4"),
     * owned by the context. After close, nothing made with it may be used. */
    csm_status (*open)(const struct csm_engine_options *options, void **ctx, csm_error *err);
    void (*close)(void *ctx);
    const char *(*version)(void *ctx);

    /* ---- things that hold data; every *_free takes NULL ---- */

    csm_status (*weight_new)(void *ctx, const struct csm_weight_source *source, csm_weight **out,
                             csm_error *err);
    void (*weight_free)(void *ctx, csm_weight *weight);

    csm_status (*value_new)(void *ctx, csm_value **out, csm_error *err);
    void (*value_free)(void *ctx, csm_value *value);

    /* Room for `capacity` positions in each of n_lanes lanes of n_layers layers;
     * blocks[l] is layer l (all share head counts and window). With a window w a
     * lane may grow without end and the cache is a ring: a call that brings T rows
     * needs capacity >= w - 1 + T. */
    csm_status (*cache_new)(void *ctx, const struct csm_attention *blocks, size_t n_layers,
                            size_t n_lanes, size_t capacity, csm_cache **out, csm_error *err);
    /* Forget all but the first n_positions of a lane; 0 empties it. Other numbers
     * only without a window. */
    csm_status (*cache_truncate)(void *ctx, csm_cache *cache, size_t lane, size_t n_positions,
                                 csm_error *err);
    /* (optional, default: sentences are drawn one after another) Lane `to` becomes
     * what lane `from` is. Only without a window. */
    csm_status (*cache_copy)(void *ctx, csm_cache *cache, size_t from, size_t to, csm_error *err);
    void (*cache_free)(void *ctx, csm_cache *cache);

    /* ---- host <-> engine, always float32 on the host ---- */

    csm_status (*write)(void *ctx, const float *host, size_t rows, size_t cols, csm_value *out,
                        csm_error *err);
    /* host [rows, cols] of x, whose shape the caller knows. */
    csm_status (*read)(void *ctx, const csm_value *x, size_t rows, size_t cols, float *host,
                       csm_error *err);

    /* ---- arithmetic ---- */

    /* out[r] = sum over j of table[ids[r * n_per_row + j]], j < n_per_row.
     * ids are in range; the model checked them. */
    csm_status (*embed)(void *ctx, const csm_weight *table, const int32_t *ids, size_t rows,
                        size_t n_per_row, csm_value *out, csm_error *err);

    /* Rows first..first+n-1 of src become rows at..at+n-1 of dst; at 0 gives dst
     * the shape [n, cols], at equal to dst's rows appends. */
    csm_status (*copy_rows)(void *ctx, const csm_value *src, size_t first, size_t n, csm_value *dst,
                            size_t at, csm_error *err);

    csm_status (*norm)(void *ctx, const struct csm_norm *norm, const csm_value *x, csm_value *out,
                       csm_error *err);

    /* out = x W^T (+ bias, may be NULL) */
    csm_status (*linear)(void *ctx, const csm_weight *weight, const csm_weight *bias,
                         const csm_value *x, csm_value *out, csm_error *err);

    /* In place. x is [n_lanes * T, width] for lanes first_lane.. of the cache;
     * layer `layer` of each lane grows by T positions, which begin where that
     * layer of the lane ended. */
    csm_status (*attention)(void *ctx, const struct csm_attention *block, size_t layer,
                            csm_cache *cache, size_t first_lane, size_t n_lanes, csm_value *x,
                            csm_error *err);

    /* In place. */
    csm_status (*mlp)(void *ctx, const struct csm_mlp *block, csm_value *x, csm_error *err);

    /* x += y, same shape */
    csm_status (*add)(void *ctx, csm_value *x, const csm_value *y, csm_error *err);

    /* ---- convolutions (optional as a group: an engine without them leaves all
     * four NULL, and the codec runs on another engine) ---- */

    /* The past of one convolution of one stream: starts empty; a stream fed in
     * pieces gives the rows that the whole would. Forward: all pieces but the last
     * are whole strides; the last one is padded on the right as the whole is. */
    csm_status (*conv_state_new)(void *ctx, const struct csm_conv *conv, csm_conv_state **out,
                                 csm_error *err);
    csm_status (*conv_state_reset)(void *ctx, csm_conv_state *state, csm_error *err);
    void (*conv_state_free)(void *ctx, csm_conv_state *state);

    /* state NULL: x is the whole signal. */
    csm_status (*conv)(void *ctx, const struct csm_conv *conv, csm_conv_state *state,
                       const csm_value *x, csm_value *out, csm_error *err);

    /* (optional, default: the model composes the frame from the parts and draws
     * from the logits it reads) All codes of one frame, evaluated at once.
     *
     *   cache        the depth decoder's, of one lane; emptied first
     *   last_hidden  [1, width] of the backbone, normed
     *   codes        receives [n_codebooks] as drawn, known ones included
     *   logits       receives [n_codebooks, vocab], before temperature */
    csm_status (*frame)(void *ctx, const struct csm_frame_parts *parts, csm_cache *cache,
                        const csm_value *last_hidden, struct csm_frame_draw *draw, int32_t *codes,
                        float *logits, csm_error *err);

    /* (optional, default: the model composes the step from the parts) One position of
     * the cache's first lane: rows `ids` of the table summed, through all layers, each
     * of which grows by one, and the norm.
     *
     *   ids  [n_ids] rows of parts->codes; in range, the model checked them
     *   out  [1, width]; until the next step over this cache */
    csm_status (*step)(void *ctx, const struct csm_step_parts *parts, csm_cache *cache,
                       const int32_t *ids, size_t n_ids, csm_value *out, csm_error *err);

    /* (optional, both or none, default: OWN draws need no object) The random
     * stream of OWN draws, as the engine's library seeds one (torch.manual_seed),
     * moved on by n_calls draws over n_each values. */
    csm_status (*random_new)(void *ctx, uint64_t seed, size_t n_calls, size_t n_each,
                             csm_random **out, csm_error *err);
    void (*random_free)(void *ctx, csm_random *random);

    /* (default: false) A row's numbers do not depend, in any bit, on the rows beside
     * it in a call. So a cache holds the same whichever calls filled it, and what a
     * new prompt shares with the last one need not be computed again. */
    bool has_independent_rows;
};

/* The engine inside libcsm. */
extern const struct csm_engine_ops csm_engine_native;

/* What an engine's shared object exports: one function of this name and type,
 * `csm_engine_mlx` / `csm_engine_torch`; NULL if built for another
 * CSM_ENGINE_ABI. */
#define CSM_ENGINE_ABI 3
typedef const struct csm_engine_ops *(*csm_engine_entry)(int abi);

#ifdef __cplusplus
}
#endif
#endif
