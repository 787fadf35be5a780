/* SPDX-License-Identifier: Apache-2.0
 *
 * torch_fused.h - a transformer's layers in few kernels, for graphs on CUDA.
 *
 * On a GPU a row through csm-1b's shapes is made of kernels that take two or three
 * microseconds each whatever they do, so their number is the time. The blocks here
 * are those of torch_blocks.cpp with fewer of them (ten to twelve a layer, not
 * forty-three):
 *
 *   norm        one kernel, which rounds once, not twice
 *   q, k, v     one product, over matrices that lie one behind the other
 *   rotation    one product of all heads with a matrix of the position, float sums;
 *               either pairing of the two halves of a head is such a matrix
 *   attention   one kernel: the queries of a key head are rows of one problem, so
 *               that keys are not repeated
 *   residual    added by the product before it
 *   gate, up    one product
 *
 * They differ from the plain ones by rounding only; tests/unit/test_torch_fused.cpp
 * holds them to that on the CPU. */
#ifndef CSM_TORCH_FUSED_H
#define CSM_TORCH_FUSED_H

#include "torch_engine.h"

namespace csm_torch {

/* One layer's matrices, as the products want them. */
struct fused_layer {
    const csm_attention *attention;
    const csm_mlp *mlp;
    at::Tensor qkv;     /* [(n_heads + 2 n_kv_heads) * head_dim, width] */
    at::Tensor gate_up; /* [2 * hidden, width] */
};

/* The layers' matrices, joined where they are not yet: the weights become views of
 * the joined ones, so that nothing is held twice. */
std::vector<fused_layer> fuse(const csm_attention *attention, const csm_mlp *mlp, size_t n_layers);

/* x [T, width] as torch_blocks.cpp has it, but rounded once. */
at::Tensor fused_norm(const csm_norm &norm, const at::Tensor &x);

/* Whether PyTorch's flash attention runs on this device for such heads. */
bool has_flash(const context &ctx, at::ScalarType dtype, size_t head_dim);

/* Where a step's row goes, on the device; shared by all layers. */
struct step_place {
    at::Tensor position; /* [1] int64 */
    at::Tensor rotation; /* [head_dim, head_dim] */
    at::Tensor mask;     /* [1, 1, 1, capacity]: 0 up to the position, then -inf; no flash */
    at::Tensor used;     /* [n_kv_heads] int32: positions that have keys; flash */
    at::Tensor query_starts, key_starts; /* [n_kv_heads + 1] int32; flash */
};

/* In place: x [1, width] through a layer whose keys and values, [1, n_kv_heads,
 * capacity, head_dim], have the row at the place written to them. */
void fused_step(const fused_layer &layer, const step_place &place, const at::Tensor &keys,
                const at::Tensor &values, at::Tensor &x);

/* Keys and values of a layer whose positions are known when the graph is made. */
struct static_cache {
    at::Tensor rows;   /* [positions, n_heads + 2 n_kv_heads, head_dim]: q, k, v */
    at::Tensor turned; /* [positions, n_heads + n_kv_heads, head_dim]: q, k rotated */
};

static_cache make_static_cache(const fused_layer &layer, int64_t n_positions);

/* In place: x [T, width], positions first..first+T-1; T is 1, or first is 0.
 * rotations [positions, head_dim, head_dim]. */
void fused_rows(const fused_layer &layer, static_cache &cache, const at::Tensor &rotations,
                int64_t first, bool has_flash, at::Tensor &x);

/* ---- the backbone's step (torch_step.cpp) ---- */

/* The step over a fixed cache, whose tensors it keeps: where `ids` and `position`
 * say, once for each run. */
class fused_backbone {
public:
    fused_backbone(const context &ctx, const csm_step_parts &parts, const csm_lane &cache,
                   size_t n_ids);
    void run();

    at::Tensor ids;      /* [n_ids] int64 */
    at::Tensor position; /* [1] int64 */
    at::Tensor hidden;   /* [1, 1, width], given by `run`: the same tensor each time */

private:
    step_place place() const;

    at::Tensor table;
    csm_norm norm;
    std::vector<fused_layer> layers;
    std::vector<csm_lane::entry> entries; /* of the first lane */
    at::Tensor rotations;                  /* [capacity, head_dim, head_dim] */
    at::Tensor positions;                  /* [capacity] int64 */
    at::Tensor query_starts, key_starts;   /* step_place's; undefined without flash */
};

/* ---- the frame (torch_frame.cpp) ---- */

/* The depth decoder over a cache of its own. */
class fused_depth {
public:
    fused_depth(const context &ctx, const csm_frame_parts &parts, const csm_lane &cache);
    /* The normed last row [1, depth width] for x [T, depth width], positions first... */
    at::Tensor run(at::Tensor x, int64_t first);

private:
    csm_norm norm;
    std::vector<fused_layer> layers;
    std::vector<static_cache> caches;
    at::Tensor rotations;
    bool flash;
};

/* Fill codes and logits of `t`, which has tensors for them. depth NULL: by the plain
 * blocks, over `cache`. */
void run_frame(const csm_frame_parts &parts, csm_lane &cache, fused_depth *depth,
               const csm_frame_draw &how, frame_tensors &t);

} // namespace csm_torch
#endif
