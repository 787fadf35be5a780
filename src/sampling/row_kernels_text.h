/* SPDX-License-Identifier: Apache-2.0
 *
 * row_kernels_text.h - the text of every table of row_kernels.h: plain loops that
 * a compiler makes vectors of. A file that includes it defines ROW_KERNELS, the
 * name of its table. */
#include "sampling/exact_math.h"
#include "sampling/mt19937.h"
#include "sampling/row_kernels.h"

/* One loop for each dtype, so that none asks for it inside. */
#define FOR_DTYPE(dtype, LOOP)                                                                     \
    switch (dtype) {                                                                               \
    case CSM_DTYPE_BF16:                                                                                 \
        LOOP(csm_round_bf16);                                                                          \
        break;                                                                                     \
    case CSM_DTYPE_F16:                                                                                  \
        LOOP(csm_round_f16);                                                                           \
        break;                                                                                     \
    default:                                                                                       \
        LOOP();                                                                                    \
    }

/* Maxima are kept in 16 lanes: a single one would make the loop sequential. */
enum { LANES = 16 };

static float highest_of(const float *x, size_t n)
{
    float lanes[LANES];
    for (size_t j = 0; j < LANES; j++)
        lanes[j] = -INFINITY;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
    for (; i < n; i++)
        lanes[0] = x[i] > lanes[0] ? x[i] : lanes[0];
    for (size_t j = 1; j < LANES; j++)
        lanes[0] = lanes[j] > lanes[0] ? lanes[j] : lanes[0];
    return lanes[0];
}

static size_t load(const float *x, size_t n, csm_dtype dtype, float *scores, float *highest)
{
    uint32_t n_bad = 0;
#define LOAD(rounded)                                                                              \
    for (size_t i = 0; i < n; i++)                                                                 \
        scores[i] = rounded(x[i])
    FOR_DTYPE(dtype, LOAD)
#undef LOAD
    for (size_t i = 0; i < n; i++)
        n_bad += scores[i] < INFINITY ? 0 : 1;
    *highest = highest_of(scores, n);
    return n_bad;
}

static float multiply(float *x, size_t n, csm_dtype dtype, float factor)
{
#define MULTIPLY(rounded)                                                                          \
    for (size_t i = 0; i < n; i++)                                                                 \
        x[i] = rounded(x[i] * factor)
    FOR_DTYPE(dtype, MULTIPLY)
#undef MULTIPLY
    return highest_of(x, n);
}

static float divide(float *x, size_t n, csm_dtype dtype, float divisor)
{
#define DIVIDE(rounded)                                                                            \
    for (size_t i = 0; i < n; i++)                                                                 \
        x[i] = rounded(x[i] / divisor)
    FOR_DTYPE(dtype, DIVIDE)
#undef DIVIDE
    return highest_of(x, n);
}

static void group_maxima(const float *x, size_t n, float *maxima, size_t n_groups)
{
    for (size_t j = 0; j < n_groups; j++)
        maxima[j] = x[j];
    size_t i = n_groups;
    for (; i + n_groups <= n; i += n_groups)
        for (size_t j = 0; j < n_groups; j++)
            maxima[j] = x[i + j] > maxima[j] ? x[i + j] : maxima[j];
    for (size_t j = 0; i + j < n; j++)
        maxima[j] = x[i + j] > maxima[j] ? x[i + j] : maxima[j];
}

static size_t keep(const float *x, size_t n, float lowest, uint32_t *index, float *left)
{
    size_t n_left = 0, i = 0;
    float bound = lowest > -INFINITY ? lowest : -FLT_MAX;
    for (; i + LANES <= n; i += LANES) {
        /* Most blocks hold nothing: ask that of all lanes first. */
        int any = 0;
        for (size_t j = 0; j < LANES; j++)
            any |= x[i + j] >= bound;
        if (any == 0)
            continue;
        for (size_t j = 0; j < LANES; j++) {
            index[n_left] = (uint32_t)(i + j);
            left[n_left] = x[i + j];
            n_left += x[i + j] >= bound;
        }
    }
    for (; i < n; i++) {
        index[n_left] = (uint32_t)i;
        left[n_left] = x[i];
        n_left += x[i] >= bound;
    }
    return n_left;
}

static void exp_less(float *x, size_t n, float m)
{
    for (size_t i = 0; i < n; i++)
        x[i] = sleef_expf(x[i] - m);
}

static inline uint32_t twist(uint32_t high, uint32_t low, uint32_t middle)
{
    uint32_t y = (high & 0x80000000u) | (low & 0x7fffffffu);
    return middle ^ y >> 1 ^ (0x9908b0dfu & (0u - (low & 1u)));
}

/* In three runs: no word of the first two depends on a new one less than 227
 * words before it, so that blocks of words can be done at once. */
static void mt_renew(uint32_t *w)
{
    enum { MIDDLE = 397, LEFT = MT_WORDS - MIDDLE };
    uint32_t next[MT_WORDS];
    for (size_t i = 0; i < LEFT; i++)
        next[i] = twist(w[i], w[i + 1], w[i + MIDDLE]);
    for (size_t i = LEFT; i < 2 * LEFT; i++)
        next[i] = twist(w[i], w[i + 1], next[i - LEFT]);
    for (size_t i = 2 * LEFT; i < MT_WORDS - 1; i++)
        next[i] = twist(w[i], w[i + 1], next[i - LEFT]);
    next[MT_WORDS - 1] = twist(w[MT_WORDS - 1], next[0], next[MIDDLE - 1]);
    memcpy(w, next, sizeof next);
}

static void exponentials(const uint32_t *words, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t high = mt19937_temper(words[2 * i]) & 0x1fffff;
        uint32_t low = mt19937_temper(words[2 * i + 1]);
        /* (high 2^32 + low) / 2^53 by way of signed conversions, which processors
         * have in vectors; every step is exact. */
        double u = (double)(int32_t)high * 0x1p-21 +
                   ((double)(int32_t)(low ^ 0x80000000u) + 0x1p31) * 0x1p-53;
        out[i] = (float)libm_neg_log1p_neg(u);
    }
}

static bool may_vanish(const uint32_t *words, size_t n)
{
    uint32_t n_small = 0;
    for (size_t i = 0; i < n; i++)
        n_small += (mt19937_temper(words[2 * i]) & 0x1fffff) == 0 ? 1 : 0;
    return n_small > 0;
}

const struct row_kernels ROW_KERNELS = {
    .load = load,
    .multiply = multiply,
    .divide = divide,
    .group_maxima = group_maxima,
    .keep = keep,
    .exp_less = exp_less,
    .mt_renew = mt_renew,
    .exponentials = exponentials,
    .may_vanish = may_vanish,
};
