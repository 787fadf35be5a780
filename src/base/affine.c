/* SPDX-License-Identifier: Apache-2.0 */
#include "base/affine.h"

#include <math.h>
#include <string.h>

bool csm_affine_fits(int bits, int group, size_t cols)
{
    return bits >= 1 && bits <= 8 && bits != 7 && (group == 32 || group == 64 || group == 128) &&
           cols % (size_t)group == 0;
}

bool csm_affine_is_read(int bits, int group, size_t cols)
{
    return csm_affine_fits(bits, group == 16 ? 32 : group, group == 16 ? 0 : cols) &&
           cols % (size_t)group == 0;
}

enum { LANES = 16 }; /* side by side, as compilers make vectors of */

/* The edge farther from zero becomes code 0 exactly, and scale is bent so that
 * zero itself is a code. */
static void quantize_group(const float *w, size_t n, int bits, uint8_t *codes, float *scale_out,
                           float *bias_out)
{
    const float n_bins = (float)((1 << bits) - 1);
    float lows[LANES], highs[LANES], low = INFINITY, high = -INFINITY;
    for (size_t l = 0; l < LANES; l++) {
        lows[l] = INFINITY;
        highs[l] = -INFINITY;
    }
    for (size_t i = 0; i < n; i += LANES)
        for (size_t l = 0; l < LANES; l++) {
            lows[l] = w[i + l] < lows[l] ? w[i + l] : lows[l];
            highs[l] = w[i + l] > highs[l] ? w[i + l] : highs[l];
        }
    for (size_t l = 0; l < LANES; l++) {
        low = lows[l] < low ? lows[l] : low;
        high = highs[l] > high ? highs[l] : high;
    }
    /* One bit keeps the smallest and the largest. */
    bool low_is_edge = bits == 1 || fabsf(low) > fabsf(high);
    float scale = (high - low) / n_bins;
    scale = scale > 1e-7f ? scale : 1e-7f;
    scale = low_is_edge ? scale : -scale;
    float edge = low_is_edge ? low : high, bias = 0;
    float zero = rintf(edge / scale);
    if (bits == 1) {
        bias = low;
    } else if (zero != 0) {
        scale = edge / zero;
        bias = edge;
    }
    const float to_integer = 0x1.8p23f; /* what is added to it is rounded to even, as by rintf */
    for (size_t i = 0; i < n; i++) {
        float q = (w[i] - bias) / scale;
        q = q > 0 ? (q < n_bins ? q : n_bins) : 0;
        codes[i] = (uint8_t)(int32_t)((q + to_integer) - to_integer);
    }
    *scale_out = scale;
    *bias_out = bias;
}

void csm_affine_quantize(const float *row, size_t cols, int bits, int group, uint8_t *codes,
                         float *scales, float *biases)
{
    size_t n = (size_t)group;
    for (size_t g = 0; g < cols / n; g++)
        quantize_group(row + g * n, n, bits, codes + g * n, scales + g, biases + g);
}

void csm_affine_pack(const uint8_t *codes, size_t cols, int bits, uint32_t *words)
{
    uint64_t waiting = 0;
    unsigned n = 0; /* bits that wait */
    for (size_t c = 0; c < cols; c++) {
        waiting |= (uint64_t)codes[c] << n;
        n += (unsigned)bits;
        if (n >= 32) {
            *words++ = (uint32_t)waiting;
            waiting >>= 32;
            n -= 32;
        }
    }
}

/* Eight codes, the first lowest, as eight bytes: halves go apart, then halves of these, then
 * neighbours. */
static inline uint64_t spread(uint64_t x, int bits)
{
    const uint64_t one = ((uint64_t)1 << bits) - 1, two = ((uint64_t)1 << 2 * bits) - 1;
    const uint64_t four = ((uint64_t)1 << 4 * bits) - 1;
    const uint64_t twos = two | two << 32, ones = one * 0x0001000100010001u;
    x = (x & four) | (x & four << 4 * bits) << (32 - 4 * bits);
    x = (x & twos) | (x & twos << 2 * bits) << (16 - 2 * bits);
    return (x & ones) | (x & ones << bits) << (8 - bits);
}

/* A constant `bits` makes constants of all masks. */
__attribute__((always_inline)) static inline void unpack(const unsigned char *from, size_t cols,
                                                         const int bits, uint8_t *codes)
{
    for (size_t c = 0; c < cols; c += 8, from += bits) {
        uint64_t x = 0;
        memcpy(&x, from, (size_t)bits);
        x = spread(x, bits);
        memcpy(codes + c, &x, sizeof x);
    }
}

void csm_affine_unpack(const uint32_t *words, size_t cols, int bits, uint8_t *codes)
{
    const unsigned char *from = (const unsigned char *)words;
    switch (bits) {
    case 1:
        unpack(from, cols, 1, codes);
        break;
    case 2:
        unpack(from, cols, 2, codes);
        break;
    case 3:
        unpack(from, cols, 3, codes);
        break;
    case 4:
        unpack(from, cols, 4, codes);
        break;
    case 5:
        unpack(from, cols, 5, codes);
        break;
    case 6:
        unpack(from, cols, 6, codes);
        break;
    default:
        memcpy(codes, from, cols);
    }
}
