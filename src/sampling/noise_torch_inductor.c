/* SPDX-License-Identifier: Apache-2.0
 *
 * noise_torch_inductor.c - Tensor.exponential_(1) inside torch.compile on the CPU.
 *
 * The compiler (Inductor) makes noise of its own; torch.multinomial, which it does not
 * compile, keeps the eager stream. Equal, bit for bit, to torch 2.13 and 2.15:
 *   key       each call takes one random64 of the ordinary mt19937 generator, two outputs,
 *             the first the HIGH half; key (low 32 bits of random64 mod (2^64 - 1), 0)
 *   element i of the whole tensor, row-major: word 0 of Philox4x32-10, counter (i, 0, 0, 0)
 *   uniform   float32(word mod 2^31) * 4.6566127342e-10 in float32, in [0, 1)
 *   exponential  -log(u) by Sleef's logf, 2^-24 for u >= 1 - 2^-24; +inf for u = 0
 * A compiled graph of several calls takes their random64 where the first one stands, in
 * the order of the program: the same ones, unless eager draws stand between them.
 * Values are float32; they are rounded only where a program stores them. */
#include "base/numbers.h"
#include "sampling/exact_math.h"
#include "sampling/noise.h"
#include "sampling/philox.h"

void csm_torch_inductor_begin(struct noise_torch_inductor *noise, uint64_t seed, uint64_t position)
{
    csm_mt19937_seed(&noise->engine, (uint32_t)seed);
    csm_mt19937_skip(&noise->engine, position);
}

void csm_torch_inductor_open(struct noise_torch_inductor *noise, uint64_t *position)
{
    uint32_t words[2];
    csm_mt19937_raw(&noise->engine, words, 2);
    uint64_t high = mt19937_temper(words[0]);
    uint64_t random64 = high << 32 | mt19937_temper(words[1]);
    noise->key = (uint32_t)(random64 % UINT64_MAX);
    *position += 2;
}

float csm_torch_inductor_value(const struct noise_torch_inductor *noise, csm_dtype dtype, size_t i)
{
    const uint32_t key[2] = {noise->key, 0};
    const uint32_t counter[4] = {(uint32_t)i, 0, 0, 0};
    float u = (float)(philox_word(key, counter, 0) & 0x7fffffffu) * 4.6566127342e-10f;
    if (u == 0.0f)
        return INFINITY;
    float log_u = u >= 1.0f - 0x1p-24f ? -0x1p-24f : csm_sleef_logf(u);
    return csm_round_to(dtype, -log_u);
}
