/* SPDX-License-Identifier: Apache-2.0
 *
 * native_case.h - what the tests of the native engine share: random tensors from
 * a fixed seed, an open engine, and comparison with sums in double. */
#ifndef NATIVE_CASE_H
#define NATIVE_CASE_H

#include "unit/cmocka_all.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/numbers.h"
#include "engine/engine.h"

static const struct csm_engine_ops *const ops = &csm_engine_native;

static uint64_t random_state = 81923;

static inline float random_float(void) /* about uniform in (-1, 1) */
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (float)((int32_t)(random_state >> 32)) * 0x1p-31f;
}

static inline float *random_floats(size_t n)
{
    float *x = malloc(n * sizeof *x + 1);
    for (size_t i = 0; i < n; i++)
        x[i] = random_float();
    return x;
}

static inline void *open_engine(csm_precision precision, int n_threads)
{
    void *ctx = NULL;
    csm_error err = {{0}};
    struct csm_engine_options options = {.precision = precision, .n_threads = n_threads};
    if (ops->open(&options, &ctx, &err) != CSM_OK)
        fail_msg("%s", err.text);
    return ctx;
}

/* Fails the test with the engine's message. */
#define OK(call)                                                                                   \
    do {                                                                                           \
        csm_error ok_err = {{0}};                                                                  \
        csm_error *err = &ok_err;                                                                  \
        if ((call) != CSM_OK)                                                                      \
            fail_msg("%s", ok_err.text);                                                           \
    } while (0)

static inline csm_tensor tensor_f32(const float *data, size_t a, size_t b, size_t c)
{
    csm_tensor t = {.name = "w", .dtype = CSM_DTYPE_F32, .rank = 1, .data = data};
    t.shape[0] = a;
    t.n_bytes = a * 4;
    if (b > 0) {
        t.shape[t.rank++] = b;
        t.n_bytes *= b;
    }
    if (c > 0) {
        t.shape[t.rank++] = c;
        t.n_bytes *= c;
    }
    return t;
}

static inline csm_weight *weight_f32(void *ctx, const float *data, size_t a, size_t b, size_t c)
{
    struct csm_weight_source source = {.tensor = tensor_f32(data, a, b, c)};
    csm_weight *w = NULL;
    OK(ops->weight_new(ctx, &source, &w, err));
    return w;
}

static inline csm_value *value_of(void *ctx, const float *data, size_t rows, size_t cols)
{
    csm_value *v = NULL;
    OK(ops->value_new(ctx, &v, err));
    OK(ops->write(ctx, data, rows, cols, v, err));
    return v;
}

static inline float *read_value(void *ctx, const csm_value *v, size_t rows, size_t cols)
{
    float *x = malloc(rows * cols * sizeof *x + 1);
    OK(ops->read(ctx, v, rows, cols, x, err));
    return x;
}

static inline void near_all(const float *x, const double *expected, size_t n, double tolerance)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs(x[i] - expected[i]) <= tolerance))
            fail_msg("[%zu] is %.9g, expected %.9g +- %g", i, (double)x[i], expected[i], tolerance);
}

static inline void equal_all(const float *x, const float *expected, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (csm_bits_of_float(x[i]) != csm_bits_of_float(expected[i]))
            fail_msg("[%zu] is %.9g, expected %.9g exactly", i, (double)x[i], (double)expected[i]);
}

#endif
