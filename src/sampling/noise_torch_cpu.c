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

void torch_cpu_begin(struct noise_torch_cpu *noise, uint64_t seed, uint64_t position)
{
    mt19937_seed(&noise->engine, (uint32_t)seed);
    mt19937_skip(&noise->engine, position);
}

csm_status torch_cpu_open(struct noise_torch_cpu *noise, size_t n, uint64_t *position,
                          csm_error *err)
{
    if (n > noise->capacity) {
        uint32_t *words = n > SIZE_MAX / 8 ? NULL : realloc(noise->words, 8 * n);
        if (words == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "noise: %zu elements", n);
        noise->words = words;
        noise->capacity = n;
    }
    mt19937_raw(&noise->engine, noise->words, 2 * n);
    *position += 2 * (uint64_t)n;
    return CSM_OK;
}

static uint64_t mantissa(const struct noise_torch_cpu *noise, size_t i)
{
    uint64_t high = mt19937_temper(noise->words[2 * i]);
    uint64_t low = mt19937_temper(noise->words[2 * i + 1]);
    return (high << 32 | low) & ((UINT64_C(1) << 53) - 1);
}

float torch_cpu_value(const struct noise_torch_cpu *noise, csm_dtype dtype, size_t i)
{
    double u = (double)mantissa(noise, i) * 0x1p-53;
    return round_to(dtype, (float)libm_neg_log1p_neg(u));
}

bool torch_cpu_is_zero(const struct noise_torch_cpu *noise, csm_dtype dtype, size_t i)
{
    /* -log1p(-u) is u up to a relative 2^-25 here: above 2^-25, half of float16's
     * smallest number, it cannot round to 0. */
    uint64_t m = mantissa(noise, i);
    return dtype == CSM_F16 ? m < UINT64_C(1) << 29 && torch_cpu_value(noise, dtype, i) == 0.0f
                            : m == 0;
}
