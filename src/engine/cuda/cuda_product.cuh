/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_product.cuh - what the kernels of products share: which tile a block has, and where its
 * results go */
#ifndef CSM_CUDA_PRODUCT_CUH
#define CSM_CUDA_PRODUCT_CUH

#include "engine/cuda/cuda_launch.cuh"
#include "engine/cuda/cuda_sums.cuh"

namespace csm_cuda {

enum { STAGE_STEPS = 4 }; /* that are copied together */

/* The matrix of an item's tile, and the tile in it. */
__device__ __forceinline__ int matrix_of(const product_job &job, int item)
{
    int m = 0;
    while (m + 1 < job.n_matrices && item >= job.first_tile[m + 1])
        m++;
    return m;
}

__device__ __forceinline__ void store_value(const product_job &job, int m, int part, int row, int n,
                                            float v)
{
    if (row >= job.m[m].rows || n >= job.n)
        return;
    if (job.bias != nullptr)
        v += job.bias[row];
    job.out[(static_cast<size_t>(part) * job.n + n) * job.ld + job.first_row[m] + row] = v;
}

/* Tile `t` of a block: of the job's matrices one after the other, or gate and up by turns. */
struct block_tile {
    int m, tile;
};

template <int TILES> __device__ __forceinline__ block_tile tile_of(const product_job &job, int t)
{
    block_tile b;
    int i = blockIdx.x * TILES + t;
    if (job.is_gated) {
        b.m = t % 2;
        b.tile = i / 2;
        if (b.tile >= job.m[0].n_tiles)
            b.m = -1;
        return b;
    }
    b.m = matrix_of(job, i);
    b.tile = i - job.first_tile[b.m];
    if (b.tile >= job.m[b.m].n_tiles)
        b.m = -1;
    return b;
}

} // namespace csm_cuda
#endif
