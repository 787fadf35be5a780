/* SPDX-License-Identifier: Apache-2.0
 *
 * noise_mlx.c - the generator of mlx.core.random: threefry2x32 of 20 rounds
 * (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
 *
 * Equal, bit for bit, to every release of MLX from 0.0.2 to 0.32.4:
 *   key(seed)   (seed >> 32, seed & 0xffffffff)
 *   bits(n)     h = n / 2, odd = n & 1; counter (i, h + odd + i) gives words i
 *               and h + odd + i for i < h; counter (h, 0) the middle one if odd
 *   split       bits(2 n) as [n, 2]
 *   implicit    a call splits the global key in two: the first stays, the
 *               second is used
 *   uniform     bits / 2^32 in float32, below 1 by one step of the dtype at
 *               least; 16-bit types round that (since 0.26.5) */
#include "base/arithmetic.h"
#include "sampling/exact_math.h"
#include "sampling/noise.h"

struct pair {
    uint32_t a, b;
};

static inline uint32_t rotate(uint32_t x, unsigned by)
{
    return x << by | x >> (32 - by);
}

static struct pair threefry(const uint32_t key[2], uint32_t c0, uint32_t c1)
{
    static const unsigned rotations[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
    const uint32_t keys[3] = {key[0], key[1], key[0] ^ key[1] ^ 0x1bd11bdau};
    struct pair x = {c0 + keys[0], c1 + keys[1]};
    for (uint32_t i = 0; i < 5; i++) {
        for (int r = 0; r < 4; r++) {
            x.a += x.b;
            x.b = rotate(x.b, rotations[i % 2][r]) ^ x.a;
        }
        x.a += keys[(i + 1) % 3];
        x.b += keys[(i + 2) % 3] + i + 1;
    }
    return x;
}

static uint32_t word_of(const uint32_t key[2], size_t n, size_t i)
{
    size_t half = n / 2, second = half + n % 2;
    if (i >= second)
        return threefry(key, (uint32_t)(i - second), (uint32_t)i).b;
    if (i == half)
        return threefry(key, (uint32_t)half, 0).a;
    return threefry(key, (uint32_t)i, (uint32_t)(i + second)).a;
}

void csm_mlx_key(uint64_t seed, uint32_t key[2])
{
    key[0] = (uint32_t)(seed >> 32);
    key[1] = (uint32_t)seed;
}

void csm_mlx_bits(const uint32_t key[2], size_t n, uint32_t *bits)
{
    size_t half = n / 2, second = half + n % 2;
    for (size_t i = 0; i < half; i++) {
        struct pair x = threefry(key, (uint32_t)i, (uint32_t)(second + i));
        bits[i] = x.a;
        bits[second + i] = x.b;
    }
    if (n % 2 != 0)
        bits[half] = threefry(key, (uint32_t)half, 0).a;
}

void csm_mlx_split(const uint32_t key[2], size_t n, uint32_t *keys)
{
    csm_mlx_bits(key, 2 * n, keys);
}

float csm_mlx_uniform_of(uint32_t word, csm_dtype dtype)
{
    float u = (float)word * 0x1p-32f;
    float below_one = dtype == CSM_DTYPE_BF16 ? 1.0f - 0x1p-8f
                      : dtype == CSM_DTYPE_F16 ? 1.0f - 0x1p-11f
                                         : 1.0f - 0x1p-24f;
    return csm_round_to(dtype, u < below_one ? u : below_one);
}

static void make_uniform(const uint32_t key[2], size_t n, float *uniform)
{
    for (size_t i = 0; i < n; i++)
        uniform[i] = csm_mlx_uniform_of(word_of(key, n, i), CSM_DTYPE_F32);
}

void csm_mlx_uniform(const uint32_t key[2], size_t n, float *uniform)
{
    const fenv_t host = csm_arithmetic_begin();
    make_uniform(key, n, uniform);
    csm_arithmetic_end(&host);
}

static void make_gumbel(const uint32_t key[2], size_t n, float *gumbel)
{
    csm_mlx_uniform(key, n, gumbel);
    for (size_t i = 0; i < n; i++)
        gumbel[i] = -csm_libm_logf(-csm_libm_logf(gumbel[i]));
}

void csm_mlx_gumbel(const uint32_t key[2], size_t n, float *gumbel)
{
    const fenv_t host = csm_arithmetic_begin();
    make_gumbel(key, n, gumbel);
    csm_arithmetic_end(&host);
}

static void next_key(struct noise_mlx *noise)
{
    uint32_t keys[4];
    csm_mlx_split(noise->global, 2, keys);
    noise->global[0] = keys[0];
    noise->global[1] = keys[1];
    noise->key[0] = keys[2];
    noise->key[1] = keys[3];
}

void csm_mlx_begin(struct noise_mlx *noise, uint64_t seed, uint64_t position)
{
    csm_mlx_key(seed, noise->global);
    for (uint64_t i = 0; i < position; i++)
        next_key(noise);
}

void csm_mlx_open(struct noise_mlx *noise, size_t n, uint64_t *position)
{
    next_key(noise);
    noise->n = n;
    *position += 1;
}

uint32_t csm_mlx_word(const struct noise_mlx *noise, size_t i)
{
    return word_of(noise->key, noise->n, i);
}
