/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_math.c - how the special function unit of NVIDIA's GPUs computes.
 *
 * Both functions split the unit interval in 64 segments and take in each a
 * parabola in fixed point (Oberman and Siu, "A high-performance area-efficient
 * multifunction interpolator", 2005):
 *
 *   m   the 23 bits of the mantissa (lg2) or of the fraction (ex2): the segment
 *       i = m >> 17, and x = m & 0x1ffff in it
 *   v   c0 * 2^12 + bias + c1 * x -+ c2 * square(x), in units of 2^-38
 *   square(x) is x^2 / 2^19 from a multiplier without the columns below its last
 *       digit: partial products of a weight below 2^19 are missing
 *
 * lg2 keeps 36 bits behind the point, adds the exponent, takes the ones'
 * complement if that is negative, and cuts the result to 24 digits. ex2 cuts the
 * input to 23 bits (ones' complement if negative) and the result to 24 digits.
 *
 * The three numbers of a segment were found by fitting them to the outputs of an
 * H100 for each mantissa; they then gave every output there: lg2 over all floats
 * of [2^-34, 2^8), ex2 over all of (-1, 1), expf over all of [-128, -2^-40], logf
 * over all of [2^-4, 2^20) (docs/EXACTNESS.md). */
#include "sampling/cuda_math.h"

#include "base/numbers.h"

struct segment {
    int32_t c0, c1, c2;
};

static const struct segment lg2_table[64] = {
    {7, 47272, 727}, {1501082, 46545, 705}, {2979248, 45840, 685}, {4435178, 45156, 665},
    {5869541, 44492, 646}, {7282962, 43847, 627}, {8676044, 43221, 610}, {10049363, 42612, 592},
    {11403483, 42020, 576}, {12738917, 41444, 559}, {14056184, 40884, 544}, {15355769, 40339, 530},
    {16638140, 39809, 518}, {17903743, 39292, 504}, {19153023, 38788, 491}, {20386388, 38297, 479},
    {21604233, 37818, 466}, {22806955, 37351, 455}, {23994917, 36896, 445}, {25168476, 36451, 433},
    {26327983, 36018, 425}, {27473763, 35594, 414}, {28606145, 35180, 404}, {29725438, 34776, 396},
    {30831938, 34380, 385}, {31925933, 33994, 377}, {33007706, 33616, 368}, {34077525, 33247, 361},
    {35135650, 32886, 354}, {36182341, 32532, 346}, {37217834, 32186, 339}, {38242366, 31847, 331},
    {39256173, 31516, 326}, {40259472, 31191, 319}, {41252485, 30872, 311}, {42235415, 30561, 307},
    {43208464, 30255, 300}, {44171830, 29955, 293}, {45125709, 29662, 289}, {46070275, 29374, 283},
    {47005716, 29091, 276}, {47932209, 28814, 271}, {48849920, 28542, 266}, {49759008, 28276, 262},
    {50659645, 28014, 257}, {51551985, 27757, 253}, {52436169, 27505, 249}, {53312352, 27257, 244},
    {54180676, 27013, 238}, {55041283, 26774, 234}, {55894308, 26540, 232}, {56739878, 26309, 227},
    {57578134, 26082, 223}, {58409191, 25859, 219}, {59233179, 25640, 216}, {60050209, 25424, 211},
    {60860399, 25213, 209}, {61663869, 25004, 204}, {62460730, 24799, 201}, {63251080, 24598, 199},
    {64035037, 24399, 195}, {64812691, 24204, 192}, {65584149, 24012, 189}, {66349508, 23823, 186},
};

static const struct segment ex2_table[64] = {
    {67108871, 22713, 494}, {67839637, 22960, 501}, {68578365, 23210, 506}, {69325131, 23463, 511},
    {70080037, 23718, 518}, {70843155, 23977, 521}, {71614585, 24238, 527}, {72394419, 24502, 532},
    {73182745, 24768, 541}, {73979651, 25038, 546}, {74785233, 25311, 551}, {75599595, 25586, 559},
    {76422819, 25865, 564}, {77255009, 26147, 568}, {78096263, 26431, 577}, {78946675, 26719, 583},
    {79806347, 27010, 589}, {80675381, 27304, 596}, {81553875, 27602, 600}, {82441941, 27902, 609},
    {83339673, 28206, 615}, {84247185, 28513, 622}, {85164573, 28824, 627}, {86091955, 29138, 633},
    {87029435, 29455, 641}, {87977123, 29776, 647}, {88935131, 30100, 655}, {89903573, 30428, 661},
    {90882557, 30759, 670}, {91872203, 31094, 677}, {92872629, 31432, 686}, {93883943, 31775, 691},
    {94906271, 32121, 699}, {95939735, 32471, 705}, {96984451, 32824, 715}, {98040539, 33182, 721},
    {99108131, 33543, 730}, {100187349, 33908, 739}, {101278319, 34277, 748},
    {102381165, 34651, 753}, {103496023, 35028, 763}, {104623021, 35409, 773},
    {105762293, 35795, 779}, {106913967, 36185, 787}, {108078183, 36579, 796},
    {109255077, 36977, 806}, {110444787, 37380, 813}, {111647451, 37787, 822},
    {112863215, 38198, 833}, {114092213, 38614, 842}, {115334595, 39035, 849},
    {116590509, 39460, 858}, {117860097, 39889, 870}, {119143509, 40324, 877},
    {120440895, 40763, 887}, {121752411, 41207, 896}, {123078209, 41655, 909},
    {124418441, 42109, 917}, {125773269, 42568, 925}, {127142849, 43031, 938},
    {128527345, 43500, 946}, {129926917, 43973, 959}, {131341727, 44452, 969},
    {132771945, 44936, 980},
};

static uint32_t square(uint32_t x)
{
    uint32_t sum = 0;
    for (unsigned i = 10; i < 17; i++)
        if (x >> i & 1) /* digit i times itself, and twice times the digits below it */
            sum += (1u << (2 * i - 19)) + ((x & ((1u << i) - 1)) >> (18 - i));
    return sum;
}

static int64_t interpolate(const struct segment *s, uint32_t m, int64_t bias, int32_t twice)
{
    uint32_t x = m & 0x1ffff;
    return s->c0 * INT64_C(4096) + bias + (int64_t)s->c1 * x + (int64_t)twice * s->c2 * square(x);
}

/* lg2.approx of a positive normal x. */
static float lg2(float x)
{
    if (x == 1.0f)
        return 0.0f;
    uint32_t m = csm_bits_of_float(x) & 0x7fffff;
    int64_t exponent = (int64_t)(csm_bits_of_float(x) >> 23) - 127;
    const struct segment *s = &lg2_table[m >> 17];
    int64_t v = (interpolate(s, m, 836 + (s->c1 & 1), -2) >> 2) + exponent * (INT64_C(1) << 36);
    double magnitude = (double)(v < 0 ? ~v : v) * 0x1p-36;
    float cut = (float)csm_double_of_bits(csm_bits_of_double(magnitude) & ~((UINT64_C(1) << 29) - 1));
    return v < 0 ? -cut : cut;
}

/* ex2.approx.ftz of x in (-1, 126], and of what lies below -1 as far as expf
 * needs it. */
static float ex2(float x)
{
    double scaled = fabs((double)x) * 0x1p23;
    if (x < -126.0f)
        return 0.0f;
    int64_t n = (int64_t)scaled;
    if (x < 0.0f && n > 0)
        n = ~n;
    uint32_t m = (uint32_t)n & 0x7fffff;
    const struct segment *s = &ex2_table[m >> 17];
    double fraction = (double)(interpolate(s, m, 2018, 1) >> 15) * 0x1p-23;
    return (float)(fraction * csm_double_of_bits((uint64_t)((n >> 23) + 1023) << 52));
}

float csm_cuda_fast_logf(float x)
{
    return lg2(x) * 0x1.62e43p-1f;
}

/* CUDA 13's device code for expf: 2^(x log2 e) with the whole part split off by a
 * multiply-add that rounds down. */
float csm_cuda_expf(float x)
{
    if (x < -150.0f)
        return 0.0f;
    float t = fmaf(x, 0x1.77313ap-8f, 0.5f);
    t = t > 0.0f ? t : 0.0f;
    double whole = floor((double)t * 252.0); /* below 2^23: one unit is the last digit */
    float r = fmaf(x, 0x1.715476p+0f, -(float)(whole - 126.0));
    r = fmaf(x, 0x1.4ae0cp-26f, r);
    return ex2(r) * csm_float_of_bits((uint32_t)(whole + 1.0) << 23);
}

/* CUDA 13's device code for logf. */
float csm_cuda_logf(float x)
{
    uint32_t bits = csm_bits_of_float(x);
    int32_t exponent = (int32_t)((bits - 0x3f2aaaabu) & 0xff800000u);
    float f = csm_float_of_bits(bits - (uint32_t)exponent) - 1.0f;
    float p = -0x1.0aa04ep-3f;
    p = fmaf(p, f, 0x1.2073ecp-3f);
    p = fmaf(p, f, -0x1.f19b98p-4f);
    p = fmaf(p, f, 0x1.1e52aap-3f);
    p = fmaf(p, f, -0x1.55b172p-3f);
    p = fmaf(p, f, 0x1.99da16p-3f);
    p = fmaf(p, f, -0x1.fffe44p-3f);
    p = fmaf(p, f, 0x1.5554fp-2f);
    p = fmaf(p, f, -0.5f);
    p = fmaf(f * p, f, f);
    return fmaf((float)exponent * 0x1p-23f, 0x1.62e43p-1f, p);
}
