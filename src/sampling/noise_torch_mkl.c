/* SPDX-License-Identifier: Apache-2.0
 *
 * noise_torch_mkl.c - Tensor.exponential_(1) of PyTorch's x86-64 builds with MKL
 * up to 2.6 (ATen's exponential_mkl_kernel).
 *
 *   seed         one output of mt19937 a call, whatever the size
 *   engine       MKL's MCG31m1: x0 = seed mod (2^31 - 1), 0 becoming 1;
 *                x <- 1132489760 x mod (2^31 - 1)
 *   uniform      x / (2^31 - 1) rounded to float32, in (0, 1]
 *   exponential  FLT_MIN - ln u in float32, then to the 16-bit type
 * MKL's ln is its own, up to 0.91 units of the last place off and not the same on
 * every processor; ours is correctly rounded. docs/EXACTNESS.md has what that
 * means: 7 % of the float32 values differ in their last bit, no token did.
 * Element i takes the i-th x: powers of the multiplier give it directly. */
#include <float.h>
#include <stdlib.h>

#include "base/error.h"
#include "sampling/noise.h"
#include "base/numbers.h"

static const uint64_t modulus = 2147483647;
static const uint64_t multiplier = 1132489760;

void csm_torch_mkl_begin(struct noise_torch_mkl *noise, uint64_t seed, uint64_t position)
{
    csm_mt19937_seed(&noise->engine, (uint32_t)seed);
    csm_mt19937_skip(&noise->engine, position);
}

csm_status csm_torch_mkl_open(struct noise_torch_mkl *noise, size_t n, uint64_t *position,
                          csm_error *err)
{
    if (n > noise->n_powers) {
        uint32_t *powers = n > SIZE_MAX / 4 ? NULL : realloc(noise->powers, 4 * n);
        if (powers == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "noise: %zu elements", n);
        noise->powers = powers;
        powers[0] = 1;
        for (size_t i = noise->n_powers > 0 ? noise->n_powers : 1; i < n; i++)
            powers[i] = (uint32_t)(multiplier * powers[i - 1] % modulus);
        noise->n_powers = n;
    }
    uint32_t word;
    csm_mt19937_raw(&noise->engine, &word, 1);
    noise->first = (uint32_t)(mt19937_temper(word) % modulus);
    if (noise->first == 0)
        noise->first = 1;
    *position += 1;
    return CSM_OK;
}

float csm_torch_mkl_value(const struct noise_torch_mkl *noise, csm_dtype dtype, size_t i)
{
    uint64_t x = (uint64_t)noise->first * noise->powers[i] % modulus;
    float u = (float)((double)x / (double)modulus);
    return csm_round_to(dtype, FLT_MIN + (float)-log((double)u));
}
