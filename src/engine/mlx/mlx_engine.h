// SPDX-License-Identifier: Apache-2.0
//
// mlx_engine.h - what the opaque types of engine.h are made of here, and the
// border that no exception crosses.
//
// MLX arrays are nodes of a graph that is not evaluated before somebody asks for
// numbers: of all the engine's operations only read() and frame() ask.
#ifndef CSM_MLX_ENGINE_H
#define CSM_MLX_ENGINE_H

#include <optional>
#include <string>
#include <vector>

#include <mlx/mlx.h>

#include "engine/engine.h"
#include "engine/guard.h"

namespace mx = mlx::core;

// A tensor of the checkpoint. `data` is as the file has it or in the precision
// asked for; of a quantized matrix the packed words.
struct csm_weight {
    mx::array data;
    std::optional<mx::array> scales{}, biases{};
    int bits = 0, group_size = 0;
    const char *mode = "affine";
    std::optional<mx::Dtype> row_dtype{}; // of a table's rows; empty: MLX's choice
    bool transposed = false;             // [in, out]
    std::optional<mx::array> prepared{}; // a form made at first use: see convolution(), norm()
};

struct csm_value {
    std::optional<mx::array> rows; // [rows, cols]
};

// Keys and values of one layer. Without a window the arrays have
// `capacity` rows, of which `length` are used; with one they hold the last
// window - 1 positions alone.
struct csm_mlx_layer {
    std::optional<mx::array> keys, values; // [1, n_kv_heads, rows, head_dim]
    size_t length = 0;                     // positions so far
};

struct csm_lane {
    size_t capacity, window;
    std::vector<csm_mlx_layer> layers;
};

struct csm_random {
    uint32_t key[2];
};

struct csm_conv_state {
    std::optional<mx::array> past; // forward: input rows; transposed: partial output rows
};

namespace csm_mlx {

// cos and sin of every position's angles, [positions, head_dim / 2].
struct rope_table {
    struct csm_rope rope;
    size_t head_dim;
    mx::array cos, sin;
};

struct context {
    mx::Stream stream;
    csm_precision precision;
    std::vector<rope_table> ropes;
    csm_traits traits;
};

using csm_engine::declined;

bool is_memory(const std::exception &e) noexcept;

template <class Body> csm_status guarded(csm_error *err, Body &&body) noexcept
{
    return csm_engine::guarded("mlx", is_memory, err, static_cast<Body &&>(body));
}

// MLX's CPU backend writes to what malloc gave it without a look. So this throws
// std::bad_alloc unless there is as much, and a little more for what MLX allocates
// besides. Asked before what is large: weights and caches.
void expect_room(size_t n_bytes);

inline context &of(void *ctx) { return *static_cast<context *>(ctx); }

// The rows of a value that an operation reads.
inline const mx::array &rows_of(const csm_value *value)
{
    if (!value->rows)
        throw declined("a value was read before it was filled");
    return *value->rows;
}

inline int dim(size_t n) { return static_cast<int>(n); }

// ---- arithmetic, array to array; used by the table and by the whole frame ----

csm_weight make_weight(context &c, const csm_weight_source &source);
mx::array linear(context &c, const csm_weight &weight, const csm_weight *bias, const mx::array &x);
// rows of the table for ids [n]
mx::array lookup(context &c, const csm_weight &table, const mx::array &ids);
mx::array norm(context &c, const csm_norm &norm, const mx::array &x);
// x [T, width] -> x + attention; the layer grows by T
mx::array attention(context &c, const csm_attention &block, csm_mlx_layer &layer, size_t capacity,
                    const mx::array &x);
mx::array mlp(context &c, const csm_mlp &block, const mx::array &x);
mx::array convolution(context &c, const csm_conv &conv, csm_conv_state *state, const mx::array &x);

// One lane's frame: see engine.h.
void frame(context &c, const csm_frame_parts &parts, csm_frame_lane &lane);

} // namespace csm_mlx
#endif
