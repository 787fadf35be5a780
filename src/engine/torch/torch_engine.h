/* SPDX-License-Identifier: Apache-2.0
 *
 * torch_engine.h - what the files of the torch engine share (C++).
 *
 * Tensors are what PyTorch's CSM has at the same place: activations are
 * [1, rows, cols] in the model's dtype, keys and values [1, heads, positions,
 * head_dim]. Every function here may throw; torch_table.cpp lets none out.
 * Operations give new tensors and never write into old ones, so that values may
 * be views of each other. */
#ifndef CSM_TORCH_ENGINE_H
#define CSM_TORCH_ENGINE_H

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "engine/engine.h"
#include "engine/guard.h"

namespace at::accelerator {
struct Graph;
}

struct csm_weight {
    at::Tensor tensor;       /* as PyTorch's module has it; a matrix is [out, in] */
    bool transposed = false; /* the matrix is [in, out] */
};

struct csm_value {
    at::Tensor tensor; /* [1, rows, cols] */
};

struct csm_random {
    at::Generator generator;
    /* CUDA: the noise of the next frame, launched while the one before it is computed;
     * undefined before the first. */
    at::Tensor ahead;
};

namespace csm_torch {

using csm_engine::declined;

struct frame_graph;
struct step_graph;

struct context {
    context();
    ~context();

    at::Device device = at::kCPU;
    /* Of all weights and activations: what `precision` says, else that of the
     * first matrix. */
    c10::optional<at::ScalarType> dtype;
    std::string version;
    csm_traits traits{};
    /* CUDA: of the last frames drawn, of so many different settings. */
    std::vector<std::unique_ptr<frame_graph>> graphs;
    /* Lanes that are not used: their tensors, and what was captured over them, serve the
     * next one of their kind. */
    std::vector<std::unique_ptr<csm_lane>> spare;
};

enum { MOST_GRAPHS = 8, MOST_SPARE = 4 };

/* cos and sin as the reference makes them. Transformers: each [1, T, head_dim] in
 * the activations' dtype, made at each step of a shape; Sesame: a table of 2048
 * positions, [2048, head_dim / 2, 2], in the model's dtype. */
class rope {
public:
    rope(const csm_rope &parameters, size_t head_dim, const context &ctx, at::ScalarType dtype);

    /* x [1, heads, T, head_dim], as transformers rotates it. */
    at::Tensor rotate_halves(const at::Tensor &x, int64_t first);
    /* x [1, T, heads, head_dim], as torchtune rotates it. */
    at::Tensor rotate_pairs(const at::Tensor &x, int64_t first) const;
    /* [n, head_dim, head_dim], position by position: x times it is x rotated. */
    at::Tensor matrices(int64_t n) const;

private:
    at::Device device;
    at::ScalarType dtype;
    at::Tensor frequencies; /* [head_dim / 2] float32 */
    at::Tensor table;       /* Sesame's; else undefined */
    std::map<std::pair<int64_t, int64_t>, std::pair<at::Tensor, at::Tensor>> steps;
};

} // namespace csm_torch

/* Keys and values of each layer.
 * transformers: [1, key heads, length, head_dim], made anew at each step as its
 * DynamicCache does; rows written into a larger tensor would lie at other
 * addresses, and PyTorch's products round by alignment where head_dim is odd.
 * Sesame: [1, query heads, capacity, head_dim], since torchtune keeps expanded
 * keys and attends to the whole cache under a mask.
 * CUDA, either: [1, key heads, capacity, head_dim] for good, since a graph knows
 * its tensors by their addresses. */
struct csm_lane {
    struct entry {
        at::Tensor keys, values; /* transformers, length 0: [0] */
        int64_t length = 0;
    };
    const csm_attention *blocks; /* that it was opened for */
    std::vector<entry> entries;  /* [n_layers] */
    int64_t capacity;
    bool is_fixed;     /* as on CUDA */
    at::Tensor causal; /* Sesame's mask [capacity, capacity]; else undefined */
    csm_torch::rope rope;
    std::shared_ptr<csm_torch::step_graph> step; /* CUDA: the backbone's */
};

namespace csm_torch {

/* The tensor as PyTorch would load it with the context's dtype. */
at::Tensor load_weight(context &ctx, const csm_weight_source &source);

at::Tensor embed(const csm_weight &table, const int32_t *ids, size_t rows, size_t n_per_row);
at::Tensor rms_norm(const csm_norm &norm, const at::Tensor &x);
at::Tensor linear(const csm_weight &weight, const csm_weight *bias, const at::Tensor &x);
at::Tensor mlp(const csm_mlp &block, const at::Tensor &x);

std::unique_ptr<csm_lane> make_lane(const context &ctx, const csm_attention *blocks, size_t n_layers,
                                    size_t capacity, bool is_fixed);
void truncate(csm_lane &lane, size_t n_positions);
/* x [1, T, width]: the layer grows by T positions. */
at::Tensor attention(const csm_attention &block, csm_lane &lane, size_t layer, const at::Tensor &x);

/* Kernels that are launched at once, again and again, over the same tensors. */
class kernel_graph {
public:
    kernel_graph();
    ~kernel_graph();
    /* Run `body` once, then record it: its tensors are the graph's from then on. */
    void record(at::Device device, const std::function<void()> &body);
    void replay();

private:
    std::unique_ptr<at::accelerator::Graph> graph;
};

/* One position of the backbone: rows `ids` of the table summed, through all layers, and the
 * norm; [1, 1, width], until the next step of the lane. On CUDA the replay of a graph that is
 * captured once a lane. */
at::Tensor run_step(context &ctx, const csm_step_parts &parts, csm_lane &lane, const int32_t *ids,
                    size_t n_ids);

at::Generator make_generator(const context &ctx, uint64_t seed, size_t n_calls, size_t n_each);
/* `code` [1, 1] becomes the one drawn of a row of logits; noise [1, vocab] is unused
 * where temperature is 0. */
void draw(double temperature, size_t top_k, bool as_sesame, const at::Tensor &logits,
          const at::Tensor &noise, at::Tensor &code);

/* What a frame is made of and gives; on the device. */
struct frame_tensors {
    at::Tensor hidden; /* [1, 1, width] */
    at::Tensor noise;  /* [n_codebooks, vocab]; rows of greedy draws unused */
    at::Tensor known;  /* [n_codebooks] int64, -1 where the drawn code goes on; undefined: nowhere
                        * known */
    at::Tensor codes;  /* [n_codebooks] int64 as drawn */
    at::Tensor logits; /* [n_codebooks, vocab] float32 */
};

/* csm_engine_ops.frame of one lane; on CUDA the replay of a graph that is captured once. */
void draw_frame(context &ctx, const csm_frame_parts &parts, csm_frame_lane &lane);

} // namespace csm_torch
#endif
