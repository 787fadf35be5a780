/* SPDX-License-Identifier: Apache-2.0
 *
 * noise_torch_cpu.c - Tensor.exponential_(1) of PyTorch on the CPU.
 *
 * Equal, bit for bit, to torch 2.7 and later, and to builds without MKL before:
 *   engine       mt19937, seeded with the low 32 bits of the seed
 *   random64     two outputs, the first drawn is the HIGH half
 *   uniform      (random64 mod 2^53) / 2^53, double, in [0, 1)
 *   exponential  -log1p(-u) in double, to float32, then to the 16-bit type
 * One element costs two outputs, whatever the dtype and the size. */
#include <stdlib.h>

#include "base/error.h"
#include "sampling/exact_math.h"
#include "sampling/noise.h"
#include "sampling/row_kernels.h"

void csm_torch_cpu_begin(struct noise_torch_cpu *noise, uint64_t seed, uint64_t position)
{
    csm_mt19937_seed(&noise->engine, (uint32_t)seed);
    csm_mt19937_skip(&noise->engine, position);
}

csm_status csm_torch_cpu_open(struct noise_torch_cpu *noise, size_t n, uint64_t *position,
                          csm_error *err)
{
    if (n > noise->capacity) {
        uint32_t *words = n > SIZE_MAX / 8 ? NULL : realloc(noise->words, 8 * n);
        if (words == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "noise: %zu elements", n);
        noise->words = words;
        noise->capacity = n;
    }
    csm_mt19937_raw(&noise->engine, noise->words, 2 * n);
    *position += 2 * (uint64_t)n;
    return CSM_OK;
}

float csm_torch_cpu_value(const struct noise_torch_cpu *noise, csm_dtype dtype, size_t i)
{
    float value;
    csm_torch_cpu_fill(noise, dtype, i, 1, &value);
    return value;
}

void csm_torch_cpu_fill(const struct noise_torch_cpu *noise, csm_dtype dtype, size_t first, size_t n,
                    float *out)
{
    csm_row_kernels_best()->exponentials(noise->words + 2 * first, n, out);
    for (size_t i = 0; i < n && dtype != CSM_DTYPE_F32; i++)
        out[i] = csm_round_to(dtype, out[i]);
}

/* The value is u or more, so that one from 2^-24 on, the least number of float16,
 * cannot round to 0. */
bool csm_torch_cpu_may_vanish(const struct noise_torch_cpu *noise, size_t first, size_t n)
{
    return csm_row_kernels_best()->may_vanish(noise->words + 2 * first, n);
}
