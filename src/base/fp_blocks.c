/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fp_blocks.h"

#include <math.h>
#include <string.h>

static const struct csm_fp_mode modes[] = {
    {CSM_WEIGHT_MXFP4, "mxfp4", 4, 32},
    {CSM_WEIGHT_MXFP8, "mxfp8", 8, 32},
    {CSM_WEIGHT_NVFP4, "nvfp4", 4, 16},
};
enum { N_MODES = sizeof modes / sizeof *modes };

const struct csm_fp_mode *csm_fp_mode(enum csm_weight_format format)
{
    for (size_t i = 0; i < N_MODES; i++)
        if (modes[i].format == format)
            return &modes[i];
    return NULL;
}

const struct csm_fp_mode *csm_fp_mode_named(const char *name)
{
    for (size_t i = 0; i < N_MODES; i++)
        if (strcmp(modes[i].name, name) == 0)
            return &modes[i];
    return NULL;
}

/* To nearest, ties to even; 448 is the largest, and what is beyond becomes it. */
static uint8_t to_e4m3(float x)
{
    uint32_t bits = csm_bits_of_float(x), sign = bits >> 31 << 7;
    float magnitude = fabsf(x);
    if (!(magnitude < 448))
        return (uint8_t)(sign | 0x7e);
    if (magnitude < 0x1p-6f)
        return (uint8_t)(sign | (uint32_t)rintf(magnitude * 0x1p9f));
    bits &= 0x7fffffffu;
    bits += 0x7ffffu + (bits >> 20 & 1);
    return (uint8_t)(sign | ((bits >> 20) - (120u << 3)));
}

/* The nearest of 0, 0.5, 1, 1.5, 2, 3, 4, 6, ties to the smaller. What is not finite is as
 * far from one as from another, and becomes the first. */
static uint8_t to_e2m1(float x)
{
    static const float between[7] = {0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5};
    float magnitude = fabsf(x);
    unsigned code = 0;
    for (size_t i = 0; i < 7; i++)
        code += magnitude > between[i];
    if (code == 0 || !isfinite(x))
        return 0;
    return (uint8_t)(code | (x < 0 ? 8 : 0));
}

static float from_e2m1(uint8_t code)
{
    static const float values[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    return code & 8 ? -values[code & 7] : values[code & 7];
}

void csm_fp_quantize(const struct csm_fp_mode *mode, csm_dtype dtype, const float *row,
                     size_t cols, uint8_t *codes, uint8_t *scales)
{
    const size_t group = (size_t)mode->group;
    for (size_t g = 0; g < cols / group; g++) {
        const float *w = row + g * group;
        float largest = 0;
        for (size_t i = 0; i < group; i++)
            largest = fabsf(w[i]) > largest ? fabsf(w[i]) : largest;
        float scale = csm_round_to(dtype, largest / (mode->bits == 4 ? 6.0f : 448.0f));
        if (mode->format == CSM_WEIGHT_NVFP4) {
            scales[g] = to_e4m3(scale);
            scale = csm_from_e4m3(scales[g]);
        } else {
            int exponent = 0; /* the power of two that is the scale or the next above it */
            if (scale != 0 && frexpf(scale, &exponent) == 0.5f)
                exponent--;
            scales[g] = (uint8_t)(exponent + 127); /* below 2^-127 MLX's wraps too */
            scale = csm_round_to(dtype, ldexpf(1, exponent));
        }
        for (size_t i = 0; i < group; i++) {
            float value = csm_round_to(dtype, w[i] / scale);
            codes[g * group + i] = mode->bits == 4 ? to_e2m1(value) : to_e4m3(value);
        }
    }
}

void csm_fp_values(const struct csm_fp_mode *mode, const uint8_t *codes, const uint8_t *scales,
                   size_t cols, float *out)
{
    const size_t group = (size_t)mode->group;
    for (size_t g = 0; g < cols / group; g++) {
        float scale = mode->format == CSM_WEIGHT_NVFP4 ? csm_from_e4m3(scales[g])
                                                       : csm_from_e8m0(scales[g]);
        for (size_t i = g * group; i < (g + 1) * group; i++) {
            float value = mode->bits == 4 ? from_e2m1(codes[i]) : csm_from_e4m3(codes[i]);
            out[i] = csm_round_bf16(value * scale);
        }
    }
}
