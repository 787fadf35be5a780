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
 *   lane     keys and values of one sequence in one transformer's layers
 *
 * Rows of a value that are of several lanes: one lane's after the other's.
 *
 * What an engine can do beside, it states as its traits; above this table nothing asks
 * for an engine's name.
 *
 * Threads: one caller at a time per context, whichever thread that is. Errors: CSM_ENGINE with a message
 * that begins with the engine's name, CSM_NO_MEMORY, CSM_BAD_ARG for what an
 * engine declines. No exception leaves an engine and no engine prints. */
#ifndef CSM_ENGINE_H
#define CSM_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <csm/csm.h>
#include <csm/sampling.h>
#include <csm/status.h>
#include <csm/tensors.h>

#include "base/rope.h"
#include "base/weight_source.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct csm_weight csm_weight;
typedef struct csm_value csm_value;
typedef struct csm_lane csm_lane;
typedef struct csm_conv_state csm_conv_state;
typedef struct csm_random csm_random; /* an engine's own random stream */
struct csm_threads;

/* csm_precision (csm.h) is of the language model's matrices: norms, biases and the
 * codec do not follow it. */
struct csm_engine_options {
    csm_precision precision;
    int n_threads;      /* 0: one per core that this process may use */
    const char *device; /* NULL: the engine's default; else "cpu", "gpu", "cuda:0", "mps" */
};

/* What an engine can do, of an open context; all zero but own_stream: nothing. */
struct csm_traits {
    /* Whose draws OWN ones are: the library's that it is made of. */
    enum csm_own_draws { CSM_OWN_NONE, CSM_OWN_MLX, CSM_OWN_TORCH } own_draws;
    /* What random_new makes: MLX's generator, PyTorch's of the device; CSM_STREAM_COUNT: it
     * has none. */
    csm_stream_kind own_stream;
    /* Rows of several lanes are one pass through the weights. Else the model calls lane by
     * lane, so that a lane's products are those that it has alone. */
    bool lanes;
    /* A row's numbers do not depend, in any bit, on the rows beside it in a call. So a
     * prompt may be read in pieces, beside other lanes' frames, and what was read before
     * need not be computed again (lane_fork). */
    bool independent_rows;
    bool codec;       /* it has the convolutions */
    /* Contexts work side by side: the codec is to have one of its own, beside the model's frames. */
    bool codec_apart;
    /* The first frame, prompt or sound of a context takes much longer than those after it: a
     * model makes one that nobody hears as it is opened. */
    bool slow_at_first;
    /* It computes on a device that can be lost while the process goes on. */
    bool can_be_lost;
    bool made_rows;   /* weight_new takes matrices whose rows are made as they are read */
    bool whole_frame; /* it has `frame` */
    /* Activations have the checkpoint's dtype, where no precision is asked for; else float32. */
    bool as_stored;
    unsigned precisions; /* that it can be opened with: bit 1 << csm_precision */
    int n_threads;       /* that it uses; 0: its library decides */
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

/* What a frame becomes a position of the backbone with. */
struct csm_step_parts {
    const csm_weight *codes;               /* [n_codebooks * vocab, width] */
    const struct csm_attention *attention; /* [n_layers] */
    const struct csm_mlp *mlp;             /* [n_layers] */
    size_t n_layers;
    struct csm_norm norm;
};

/* What the codes of one frame are made with: the head of codebook 0 over the
 * backbone's last hidden state, then the depth decoder. */
struct csm_frame_parts {
    struct csm_step_parts step;
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

/* How an engine is to draw. Temperature 0 is the largest logit, top_k 0 all.
 *
 * OWN   as the engine's library draws. MLX: csm-mlx's order, logits - logsumexp,
 *       mlx-lm's top-k, times 1 / temperature, mx.random.categorical, one subkey
 *       a draw, codebook 0 first. torch: transformers' warpers and torch.multinomial
 *       in float32, or as_sesame, sample_topk, every step in the model's dtype. Of
 *       `random`, which is moved on, once a draw that is not greedy.
 * RACE  the index of the largest p / q: p the softmax in `dtype` of what top-k
 *       (ties kept) leaves of logits / temperature, q the row of `noise`, or where that
 *       is NULL, the next row of `random`, the engine's own stream. The
 *       engine's arithmetic is not PyTorch's, so the caller repeats each draw
 *       from the logits with its own sampler; where the two differ, it asks for
 *       the frame again with the codes that are right as `known`. */
struct csm_frame_draw {
    enum { CSM_DRAW_OWN, CSM_DRAW_RACE } kind;
    double temperature, depth_temperature;
    size_t top_k, depth_top_k;
    csm_random *random;   /* OWN, and RACE without noise; NULL if both temperatures are 0 */
    bool as_sesame;
    const float *noise;   /* RACE: [n_codebooks, vocab]; or NULL */
    csm_dtype dtype;      /* RACE: F32, BF16, F16 */
    csm_dtype logits_dtype; /* RACE: what the logits are rounded to first, as a model of that dtype
                             * gives them: F32, BF16, F16 */
    const int32_t *known; /* [n_known]: the model goes on with these, whatever was drawn */
    size_t n_known;
    /* RACE: an engine may begin the next frame of the lane before it is asked for, with the
     * codes that this one goes on with. What it will be asked with, beside that and the
     * settings above: noise, where this frame has some, and known codes. next_noise NULL,
     * where `noise` is not: it is not there yet. What was begun and is asked for otherwise,
     * or not at all, is as if it had never been. next_noise stays as it is until that frame is
     * asked for. */
    bool may_go_on;
    const float *next_noise;
    const int32_t *next_known;
    size_t next_n_known;
};

/* One lane's frame. */
struct csm_frame_lane {
    csm_lane *backbone;
    csm_lane *depth; /* the depth decoder's; emptied first */
    /* The codes of the frame before, [n_codebooks], in range: they become the backbone's
     * next position. NULL: `hidden` stands, after a prompt or when the frame is asked for
     * again. */
    const int32_t *feed;
    csm_value *hidden; /* [1, width] of the backbone's last position, normed; a feed fills it */
    const struct csm_frame_draw *draw;
    int32_t *codes; /* receives [n_codebooks] as drawn, known ones included */
    float *logits;  /* receives [n_codebooks, vocab], before temperature */
};

/* Rows of a call that are one lane's, n of them. */
struct csm_rows {
    csm_lane *lane;
    size_t n;
};

/* ---- the table ---------------------------------------------------------- */

struct csm_engine_ops {
    const char *name; /* "native", "mlx", "torch" */

    /* Make and end a context. `version` is the library's own version ("0.32.4"),
     * owned by the context. After close, nothing made with it may be used. */
    csm_status (*open)(const struct csm_engine_options *options, void **ctx, csm_error *err);
    void (*close)(void *ctx);
    const char *(*version)(void *ctx);
    const struct csm_traits *(*traits)(void *ctx); /* lives as long as the context */

    /* ---- things that hold data; every *_free takes NULL ---- */

    /* (optional) Whether the context has room for weights of these n sources, asked before the
     * first is made: CSM_NO_MEMORY, which says what they take, what is free and what would fit. */
    csm_status (*expect_room)(void *ctx, const struct csm_weight_source *sources, size_t n,
                              csm_error *err);

    csm_status (*weight_new)(void *ctx, const struct csm_weight_source *source, csm_weight **out,
                             csm_error *err);
    void (*weight_free)(void *ctx, csm_weight *weight);

    csm_status (*value_new)(void *ctx, csm_value **out, csm_error *err);
    void (*value_free)(void *ctx, csm_value *value);

    /* An empty lane of n_layers layers; blocks[l] is layer l (all share head counts and
     * window). It never holds more than `capacity` positions, and takes memory as it
     * grows where the engine can. With a window w it may grow without end and is a ring: a
     * call that brings T rows needs capacity >= w - 1 + T. */
    csm_status (*lane_open)(void *ctx, const struct csm_attention *blocks, size_t n_layers,
                            size_t capacity, csm_lane **out, csm_error *err);
    /* (with independent_rows, else NULL) A new lane that begins as `from` does, n_positions
     * of it, at most as many as it has; what both hold is held once. Not with a window. */
    csm_status (*lane_fork)(void *ctx, const csm_lane *from, size_t n_positions, csm_lane **out,
                            csm_error *err);
    /* (optional) Memory for n more positions, so that the next call of so many rows does not
     * fail for this lane's sake. */
    csm_status (*lane_reserve)(void *ctx, csm_lane *lane, size_t n, csm_error *err);
    /* Forget all but the first n_positions; 0 empties it. Other numbers only without a
     * window. Layers that a failed call left apart are level again. */
    csm_status (*lane_truncate)(void *ctx, csm_lane *lane, size_t n_positions, csm_error *err);
    /* (with lane_fork) Bytes of keys and values that end with this lane: what it shares with
     * k others counts for 1 / (k + 1). */
    size_t (*lane_bytes)(void *ctx, const csm_lane *lane);
    void (*lane_close)(void *ctx, csm_lane *lane);

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

    /* In place. x is [sum of rows[i].n, width], lane after lane, no lane twice; layer
     * `layer` of each lane grows by its rows, which begin where that layer of the lane
     * ended. Without the trait `lanes`, n_lanes is 1. */
    csm_status (*attention)(void *ctx, const struct csm_attention *block, size_t layer,
                            const struct csm_rows *rows, size_t n_lanes, csm_value *x,
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

    /* (optional) The same of n streams in one pass: x holds the rows of the first stream, then
     * those of the next, as many of each; so does out. states[i] is of stream i, no state
     * twice. A stream's numbers are, bit for bit, those of `conv` of it alone. */
    csm_status (*conv_lanes)(void *ctx, const struct csm_conv *conv, csm_conv_state *const *states,
                             size_t n, const csm_value *x, csm_value *out, csm_error *err);

    /* (with the trait whole_frame) One frame of each of n lanes, evaluated at once: the
     * frame before is fed, then all codes are drawn. Without the trait `lanes`, n is 1.
     * After a failure the lanes' contents are unsure. */
    csm_status (*frame)(void *ctx, const struct csm_frame_parts *parts,
                        struct csm_frame_lane *lanes, size_t n, csm_error *err);
    /* (optional, with the traits whole_frame and lanes) The same, and the caller is told of codes
     * as they come, for what it has to do meanwhile: arrived(user, k), by the calling thread,
     * whenever the first k codes and rows of logits of every lane are in place and more are being
     * computed. k grows from call to call, from 0 on. No function of ctx may be called there. */
    csm_status (*frame_in_pieces)(void *ctx, const struct csm_frame_parts *parts,
                                  struct csm_frame_lane *lanes, size_t n,
                                  void (*arrived)(void *user, size_t k), void *user, csm_error *err);
    /* (optional, with the traits whole_frame and lanes) Frames of up to n lanes will be asked for: what the
     * first one of each number of lanes would wait for is made now. Where it fails, frames wait for it. */
    csm_status (*frame_ready)(void *ctx, const struct csm_frame_parts *parts, size_t n, csm_error *err);

    /* (with the trait own_stream) A generator of the engine's library, as seeding it gives
     * (torch.manual_seed, mx.random.seed), moved on by n_calls draws over n_each values. */
    csm_status (*random_new)(void *ctx, uint64_t seed, size_t n_calls, size_t n_each,
                             csm_random **out, csm_error *err);
    void (*random_free)(void *ctx, csm_random *random);

    /* (optional) The threads that it computes with, for loops of the caller's own while no
     * call of ctx runs. */
    struct csm_threads *(*threads)(void *ctx);
    /* (optional, with threads and conv_lanes) Context of item i of such a loop's thread i: over
     * the weights of ctx, which must have been used before, with things that no other thread
     * uses. What it gives has the bits of ctx. It lives as long as ctx. NULL: no memory. */
    void *(*side)(void *ctx, size_t i);

    /* (optional, with lane_adapter) Give a matrix a low-rank pair of the adapter of that number,
     * 1 or more, once for each number: rows of lanes that have it get left (right x) added to
     * their product. left [rows, rank], right [rank, cols]; both are copied. */
    csm_status (*weight_adapter)(void *ctx, csm_weight *weight, size_t number, const float *left,
                                 const float *right, size_t rank, csm_error *err);
    /* Which adapter's pairs the rows of a lane get from now on, as do lanes forked from it; 0, as
     * it is opened: none. */
    void (*lane_adapter)(void *ctx, csm_lane *lane, size_t number);
};

/* The engine inside libcsm. */
extern const struct csm_engine_ops csm_engine_native;

/* What an engine's shared object exports: one function of this name and type,
 * `csm_engine_mlx` / `csm_engine_torch`; NULL if built for another
 * CSM_ENGINE_ABI. */
#define CSM_ENGINE_ABI 10
typedef const struct csm_engine_ops *(*csm_engine_entry)(int abi);

#ifdef __cplusplus
}
#endif
#endif
