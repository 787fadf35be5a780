/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_rows.c - one function a family of blocks; the order of bits is ggml's
 * (ggml-common.h, ggml-quants.c). */
#include "files/gguf_rows.h"

#include "base/numbers.h"

enum { SMALL = 32, LARGE = 256 }; /* values of a block */

struct csm_gguf_affine csm_gguf_affine(enum csm_gguf_type type)
{
    switch (type) {
    case CSM_GGUF_Q4_0:
    case CSM_GGUF_Q4_1:
    case CSM_GGUF_Q4_K:
        return (struct csm_gguf_affine){4, 32};
    case CSM_GGUF_Q5_0:
    case CSM_GGUF_Q5_1:
    case CSM_GGUF_Q5_K:
        return (struct csm_gguf_affine){5, 32};
    case CSM_GGUF_Q8_0:
        return (struct csm_gguf_affine){8, 32};
    case CSM_GGUF_Q2_K:
        return (struct csm_gguf_affine){2, 16};
    case CSM_GGUF_Q3_K:
        return (struct csm_gguf_affine){3, 16};
    case CSM_GGUF_Q6_K:
        return (struct csm_gguf_affine){6, 16};
    default:
        return (struct csm_gguf_affine){0, 0};
    }
}

static float half_at(const uint8_t *at)
{
    uint16_t half;
    memcpy(&half, at, sizeof half);
    return csm_from_f16(half);
}

/* d, m for the types that have one, fifth bits for those of five, then nibbles: value j has
 * the lower, value j + 16 the upper one of byte j. */
static void nibble_block(const uint8_t *block, bool has_min, bool has_fifth, uint8_t *codes,
                         float *scale, float *bias)
{
    const float d = half_at(block);
    const uint8_t *at = block + (has_min ? 4 : 2);
    uint32_t fifth = 0;
    if (has_fifth) {
        memcpy(&fifth, at, sizeof fifth);
        at += sizeof fifth;
    }
    for (int j = 0; j < SMALL / 2; j++) {
        codes[j] = (uint8_t)((at[j] & 15) | (fifth >> j & 1) << 4);
        codes[j + SMALL / 2] = (uint8_t)(at[j] >> 4 | (fifth >> (j + SMALL / 2) & 1) << 4);
    }
    *scale = d;
    *bias = has_min ? half_at(block + 2) : (has_fifth ? -16 : -8) * d;
}

/* d, then bytes with a sign. */
static void byte_block(const uint8_t *block, uint8_t *codes, float *scale, float *bias)
{
    for (int j = 0; j < SMALL; j++)
        codes[j] = block[2 + j] ^ 0x80; /* -128 becomes 0 */
    *scale = half_at(block);
    *bias = -128 * *scale;
}

/* The 6 bits of scale and of minimum g of 8, packed into 12 bytes. */
static void scale_and_min(const uint8_t *packed, int g, int *scale, int *min)
{
    if (g < 4) {
        *scale = packed[g] & 63;
        *min = packed[g + 4] & 63;
    } else {
        *scale = (packed[g + 4] & 15) | packed[g - 4] >> 6 << 4;
        *min = packed[g + 4] >> 4 | packed[g] >> 6 << 4;
    }
}

/* q4_k: d, dmin, packed scales, nibbles; q5_k has fifth bits before them. 64 values have 32
 * bytes: the first 32 the lower nibbles. */
static void k4_block(const uint8_t *block, bool has_fifth, uint8_t *codes, float *scales,
                     float *biases)
{
    const float d = half_at(block), dmin = half_at(block + 2);
    const uint8_t *fifth = block + 16, *nibbles = block + (has_fifth ? 48 : 16);
    for (int g = 0; g < LARGE / 32; g++) {
        int scale, min;
        scale_and_min(block + 4, g, &scale, &min);
        scales[g] = d * (float)scale;
        biases[g] = -(dmin * (float)min);
        for (int i = 0; i < 32; i++) {
            const int byte = nibbles[g / 2 * 32 + i];
            const int code = g % 2 == 0 ? byte & 15 : byte >> 4;
            codes[g * 32 + i] = (uint8_t)(code | (has_fifth ? (fifth[i] >> g & 1) << 4 : 0));
        }
    }
}

/* q2_k: nibbles of scale and minimum, pairs of bits, d, dmin. */
static void k2_block(const uint8_t *block, uint8_t *codes, float *scales, float *biases)
{
    const float d = half_at(block + 80), dmin = half_at(block + 82);
    for (int g = 0; g < LARGE / 16; g++) {
        scales[g] = d * (float)(block[g] & 15);
        biases[g] = -(dmin * (float)(block[g] >> 4));
    }
    for (int i = 0; i < LARGE; i++)
        codes[i] = block[16 + i / 128 * 32 + i % 32] >> (2 * (i % 128 / 32)) & 3;
}

/* q3_k: third bits, pairs of bits, scales of 6 bits in 12 bytes, d. */
static void k3_block(const uint8_t *block, uint8_t *codes, float *scales, float *biases)
{
    const uint8_t *third = block, *pairs = block + 32, *packed = block + 96;
    const float d = half_at(block + 108);
    for (int g = 0; g < LARGE / 16; g++) {
        const int low = g < 8 ? packed[g] & 15 : packed[g - 8] >> 4;
        const int high = packed[8 + g % 4] >> (2 * (g / 4)) & 3;
        scales[g] = d * (float)((low | high << 4) - 32);
        biases[g] = -4 * scales[g];
    }
    for (int i = 0; i < LARGE; i++)
        codes[i] = (uint8_t)((pairs[i / 128 * 32 + i % 32] >> (2 * (i % 128 / 32)) & 3) |
                             (third[i % 32] >> (i / 32) & 1) << 2);
}

/* q6_k: nibbles, pairs of upper bits, scales with a sign, d. */
static void k6_block(const uint8_t *block, uint8_t *codes, float *scales, float *biases)
{
    const uint8_t *nibbles = block, *pairs = block + 128;
    const int8_t *own = (const int8_t *)block + 192;
    const float d = half_at(block + 208);
    for (int g = 0; g < LARGE / 16; g++) {
        scales[g] = d * (float)own[g];
        biases[g] = -32 * scales[g];
    }
    for (int i = 0; i < LARGE; i++) {
        const int half = i / 128, quarter = i % 128 / 32, at = i % 32;
        const int byte = nibbles[half * 64 + quarter % 2 * 32 + at];
        const int low = quarter < 2 ? byte & 15 : byte >> 4;
        codes[i] = (uint8_t)(low | (pairs[half * 32 + at] >> (2 * quarter) & 3) << 4);
    }
}

void csm_gguf_codes(enum csm_gguf_type type, const void *blocks, size_t n, uint8_t *codes,
                    float *scales, float *biases)
{
    const struct csm_gguf_format *format = csm_gguf_format(type);
    const size_t n_groups = format->block_values / (size_t)csm_gguf_affine(type).group;
    const uint8_t *block = blocks;
    for (size_t i = 0; i < n; i += format->block_values, block += format->block_bytes,
                codes += format->block_values, scales += n_groups, biases += n_groups)
        switch (type) {
        case CSM_GGUF_Q4_0:
        case CSM_GGUF_Q4_1:
        case CSM_GGUF_Q5_0:
        case CSM_GGUF_Q5_1:
            nibble_block(block, type == CSM_GGUF_Q4_1 || type == CSM_GGUF_Q5_1,
                         type == CSM_GGUF_Q5_0 || type == CSM_GGUF_Q5_1, codes, scales, biases);
            break;
        case CSM_GGUF_Q8_0:
            byte_block(block, codes, scales, biases);
            break;
        case CSM_GGUF_Q2_K:
            k2_block(block, codes, scales, biases);
            break;
        case CSM_GGUF_Q3_K:
            k3_block(block, codes, scales, biases);
            break;
        case CSM_GGUF_Q4_K:
        case CSM_GGUF_Q5_K:
            k4_block(block, type == CSM_GGUF_Q5_K, codes, scales, biases);
            break;
        case CSM_GGUF_Q6_K:
            k6_block(block, codes, scales, biases);
            break;
        default:
            break;
        }
}
