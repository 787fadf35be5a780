/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels_check.c - built with CSM_CHECK_KERNELS only: the fastest table, each of
 * whose products is also computed by the portable one. The first bit that differs
 * ends the process with a message: this build is for finding a wrong kernel with a
 * real model, not for use. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/native/kernels.h"

static const struct kernels *fast(void)
{
    return csm_kernels_fast(0);
}

static float *room(size_t n)
{
    float *x = malloc(n * sizeof *x + 1);
    if (x == NULL)
        abort();
    return x;
}

static void compare(const char *what, const float *got, const float *expected, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(got + i, expected + i, sizeof *got) != 0 &&
            !(got[i] != got[i] && expected[i] != expected[i])) {
            fprintf(stderr, "csm: kernel %s of %s: [%zu] is %.9g, expected %.9g\n", what,
                    fast()->name, i, (double)got[i], (double)expected[i]);
            abort();
        }
}

#define DEFINE_DOTS(name, type)                                                                    \
    static void name(const type *w, size_t by, size_t n_rows, size_t cols, const float *x, size_t ldx,        \
                     size_t n_x, float *y, size_t ldy)                                             \
    {                                                                                              \
        float *expected = room(n_x * n_rows);                                                      \
        csm_kernels_generic.name(w, by, n_rows, cols, x, ldx, n_x, expected, n_rows);                  \
        fast()->name(w, by, n_rows, cols, x, ldx, n_x, y, ldy);                                        \
        for (size_t t = 0; t < n_x; t++)                                                           \
            compare(#name, y + t * ldy, expected + t * n_rows, n_rows);                            \
        free(expected);                                                                            \
    }
DEFINE_DOTS(dots_f32, float)
DEFINE_DOTS(dots_bf16, uint16_t)
DEFINE_DOTS(dots_f16, uint16_t)

static bool wants_tiles(const struct affine_tiles *w, size_t n_x)
{
    return fast()->wants_tiles != NULL && fast()->wants_tiles(w, n_x);
}

static void tile_digits(const int8_t *planes, size_t group, size_t row, int8_t *tiles)
{
    fast()->tile_digits(planes, group, row, tiles);
}

/* Tiles' digits as rows, which the portable table reads. */
static int8_t *rows_of_tiles(const struct digits *x, size_t n_groups, size_t group, size_t n_x)
{
    const size_t width = group < CSM_DIGIT_COLUMNS ? group : CSM_DIGIT_COLUMNS;
    const size_t cols = n_groups * group;
    int8_t *rows = (int8_t *)room(n_x * cols * CSM_PLANES / sizeof(float) + 1);
    for (size_t i = 0; i < n_x * cols * CSM_PLANES; i++) {
        const size_t t = i / CSM_PLANES / cols, at = i % (cols * CSM_PLANES);
        const size_t plane = at / 8 % CSM_PLANES, c = at / (8 * CSM_PLANES) * 8 + at % 8;
        rows[i] = x->planes[csm_digit_tile(n_groups, group, t, c / group) +
                            (c % group / width * CSM_PLANES + plane) * CSM_DIGIT_ROWS * width +
                            t % CSM_DIGIT_ROWS * width + c % width];
    }
    return rows;
}

static void dots_affine(const struct affine_tiles *w, size_t tile, size_t n_rows,
                        const struct digits *x, size_t n_x, float *y, size_t ldy)
{
    float *expected = room(n_x * n_rows);
    struct digits in_rows = *x;
    int8_t *rows = NULL;
    if (x->in_tiles)
        in_rows.planes = rows = rows_of_tiles(x, w->n_groups, (size_t)w->group, n_x);
    csm_kernels_generic.dots_affine(w, tile, n_rows, &in_rows, n_x, expected, n_rows);
    free(rows);
    fast()->dots_affine(w, tile, n_rows, x, n_x, y, ldy);
    for (size_t t = 0; t < n_x; t++)
        compare("dots_affine", y + t * ldy, expected + t * n_rows, n_rows);
    free(expected);
}

static void dots_e4m3(const struct e4m3_tiles *w, size_t tile, size_t n_rows, const float *x,
                      size_t ldx, size_t n_x, float *y, size_t ldy)
{
    float *expected = room(n_x * n_rows);
    csm_kernels_generic.dots_e4m3(w, tile, n_rows, x, ldx, n_x, expected, n_rows);
    fast()->dots_e4m3(w, tile, n_rows, x, ldx, n_x, y, ldy);
    for (size_t t = 0; t < n_x; t++)
        compare("dots_e4m3", y + t * ldy, expected + t * n_rows, n_rows);
    free(expected);
}

static void dots_tiles(const struct column_tiles *w, size_t tile, size_t n_rows, const float *start,
                       const float *x, size_t ldx, size_t n_x, float *y, size_t ldy)
{
    float *expected = room(n_x * n_rows);
    csm_kernels_generic.dots_tiles(w, tile, n_rows, start, x, ldx, n_x, expected, n_rows);
    fast()->dots_tiles(w, tile, n_rows, start, x, ldx, n_x, y, ldy);
    for (size_t t = 0; t < n_x; t++)
        compare("dots_tiles", y + t * ldy, expected + t * n_rows, n_rows);
    free(expected);
}

static void dots_mixed(const struct column_tiles *w, size_t tile, size_t n_rows, const float *start,
                       const float *x, size_t ldx, size_t n_x, size_t n_out, float *y, size_t ldy)
{
    float *expected = room(n_x * n_out * n_rows);
    csm_kernels_generic.dots_mixed(w, tile, n_rows, start, x, ldx, n_x, n_out, expected, n_rows);
    fast()->dots_mixed(w, tile, n_rows, start, x, ldx, n_x, n_out, y, ldy);
    for (size_t t = 0; t < n_x * n_out; t++)
        compare("dots_mixed", y + t * ldy, expected + t * n_rows, n_rows);
    free(expected);
}

static void mix(const float *x, size_t n, float *mixed)
{
    float *expected = room(CSM_MIXED * n);
    csm_kernels_generic.mix(x, n, expected);
    fast()->mix(x, n, mixed);
    compare("mix", mixed, expected, CSM_MIXED * n);
    free(expected);
}

static void to_digits(const float *x, size_t n_groups, size_t group, int8_t *planes, float *steps,
                      float *sums)
{
    float *expected = room(2 * n_groups);
    csm_kernels_generic.to_digits(x, n_groups, group, planes, expected, expected + n_groups);
    fast()->to_digits(x, n_groups, group, planes, steps, sums);
    compare("to_digits", steps, expected, n_groups);
    compare("to_digits", sums, expected + n_groups, n_groups);
    free(expected);
}

static void norm_rms(const float *x, const float *scale, size_t n, float eps, float *out)
{
    float *expected = room(n);
    csm_kernels_generic.norm_rms(x, scale, n, eps, expected);
    fast()->norm_rms(x, scale, n, eps, out);
    compare("norm_rms", out, expected, n);
    free(expected);
}

static void norm_layer(const float *x, const float *scale, const float *bias, size_t n, float eps,
                       float *out)
{
    float *expected = room(n);
    csm_kernels_generic.norm_layer(x, scale, bias, n, eps, expected);
    fast()->norm_layer(x, scale, bias, n, eps, out);
    compare("norm_layer", out, expected, n);
    free(expected);
}

static void attend(const float *q, size_t n, const struct kv_view *kv, size_t first, size_t end,
                   float scale, float *scores, float *out)
{
    float *expected = room(n * kv->head_dim);
    csm_kernels_generic.attend(q, n, kv, first, end, scale, scores, expected);
    fast()->attend(q, n, kv, first, end, scale, scores, out);
    compare("attend", out, expected, n * kv->head_dim);
    free(expected);
}

static void silu_times(float *gate, const float *up, size_t n)
{
    float *expected = room(n);
    memcpy(expected, gate, n * sizeof *gate);
    csm_kernels_generic.silu_times(expected, up, n);
    fast()->silu_times(gate, up, n);
    compare("silu_times", gate, expected, n);
    free(expected);
}

static void gelu(float *x, size_t n)
{
    float *expected = room(n);
    memcpy(expected, x, n * sizeof *x);
    csm_kernels_generic.gelu(expected, n);
    fast()->gelu(x, n);
    compare("gelu", x, expected, n);
    free(expected);
}

static void elu(const float *x, size_t n, float *out)
{
    float *expected = room(n);
    csm_kernels_generic.elu(x, n, expected);
    fast()->elu(x, n, out);
    compare("elu", out, expected, n);
    free(expected);
}

static uint64_t touch(const void *bytes, size_t n)
{
    return fast()->touch(bytes, n);
}

const struct kernels csm_kernels_check = {
    .name = "checked",
    .dots_f32 = dots_f32,
    .dots_bf16 = dots_bf16,
    .dots_f16 = dots_f16,
    .dots_affine = dots_affine,
    .dots_e4m3 = dots_e4m3,
    .dots_tiles = dots_tiles,
    .dots_mixed = dots_mixed,
    .mix = mix,
    .to_digits = to_digits,
    .wants_tiles = wants_tiles,
    .tile_digits = tile_digits,
    .norm_rms = norm_rms,
    .norm_layer = norm_layer,
    .attend = attend,
    .silu_times = silu_times,
    .gelu = gelu,
    .elu = elu,
    .touch = touch,
};
