/* SPDX-License-Identifier: Apache-2.0
 *
 * noise_torch_cuda.c - Tensor.exponential_(1) of PyTorch on CUDA.
 *
 * Philox4x32-10 (Salmon et al., 2011) under ATen's launch geometry:
 *   key       the seed's low and high word
 *   grid      blocks of 256 threads, as many as the tensor needs or the GPU holds
 *   element i belongs to thread t = i mod T at its step i / T; its word is number
 *             step mod 4 of the thread's block offset / 4 + step / 4
 *   counter   (block low, block high, t low, t high)
 *   offset    grows by 4 for each 4 steps that the grid needs
 *   uniform   word * 2^-32 + 2^-33 in float32, in (0, 1]
 *   exponential  -__logf(u), or 2^-24 for u >= 1 - 2^-24, then to the 16-bit type */
#include "base/numbers.h"
#include "sampling/cuda_math.h"
#include "sampling/noise.h"
#include "sampling/philox.h"

enum { BLOCK = TORCH_CUDA_BLOCK, UNROLL = 4 };

void csm_torch_cuda_begin(struct noise_torch_cuda *noise, uint64_t seed)
{
    noise->key[0] = (uint32_t)seed;
    noise->key[1] = (uint32_t)(seed >> 32);
}

void csm_torch_cuda_open(struct noise_torch_cuda *noise, size_t n, uint64_t max_threads,
                     uint64_t *position)
{
    uint64_t n_blocks = ((uint64_t)n + BLOCK - 1) / BLOCK;
    uint64_t max_blocks = max_threads / BLOCK;
    noise->n_threads = BLOCK * (n_blocks < max_blocks ? n_blocks : max_blocks);
    noise->offset = *position;
    *position += UNROLL * (((uint64_t)n - 1) / (noise->n_threads * UNROLL) + 1);
}

float csm_torch_cuda_value(const struct noise_torch_cuda *noise, csm_dtype dtype, size_t i)
{
    uint64_t step = i / noise->n_threads;
    uint64_t block = noise->offset / UNROLL + step / UNROLL, thread = i % noise->n_threads;
    const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)thread,
                                 (uint32_t)(thread >> 32)};
    uint32_t word = philox_word(noise->key, counter, step % UNROLL);
    float u = (float)word * 0x1p-32f + 0x1p-33f;
    float log_u = u >= 1.0f - 0x1p-24f ? -0x1p-24f : csm_cuda_fast_logf(u);
    return csm_round_to(dtype, -log_u);
}
