/* SPDX-License-Identifier: Apache-2.0
 *
 * stream.c - the public face of the five generators. */
#include <stdlib.h>
#include <string.h>

#include "base/arithmetic.h"
#include "base/error.h"
#include "sampling/noise.h"

/* The threads that an H100 or H200 holds: 132 multiprocessors of 2048. */
static const uint64_t hopper_threads = 270336;

static const char *const names[CSM_STREAM_COUNT] = {
#define NAME(id, name) name,
    CSM_STREAM_MAP(NAME)
#undef NAME
};

const char *csm_stream_name(csm_stream_kind kind)
{
    return (unsigned)kind < CSM_STREAM_COUNT ? names[kind] : "?";
}

csm_stream_kind csm_stream_find(const char *name)
{
    unsigned kind = 0;
    while (kind < CSM_STREAM_COUNT && strcmp(names[kind], name) != 0)
        kind++;
    return (csm_stream_kind)kind;
}

csm_status csm_stream_check(const csm_stream_state *state, csm_error *err)
{
    if ((unsigned)state->kind >= CSM_STREAM_COUNT)
        return csm_fail(err, CSM_BAD_ARG, "stream: %d, expected one of csm_stream_kind",
                        (int)state->kind);
    if (state->kind != CSM_STREAM_TORCH_CUDA)
        return CSM_OK;
    if (state->position % 4 != 0)
        return csm_fail(err, CSM_BAD_ARG, "stream: position %llu, expected a multiple of 4",
                        (unsigned long long)state->position);
    if (state->cuda_threads != 0 && state->cuda_threads < TORCH_CUDA_BLOCK)
        return csm_fail(err, CSM_BAD_ARG,
                        "stream: %llu threads of the GPU, expected %d or more, a block's, or 0",
                        (unsigned long long)state->cuda_threads, TORCH_CUDA_BLOCK);
    return CSM_OK;
}

/* Put the generator of a state that was checked at a position. */
static void begin(csm_stream *stream, uint64_t position)
{
    uint64_t seed = stream->state.seed;
    switch (stream->state.kind) {
    case CSM_STREAM_TORCH_CPU:
        csm_torch_cpu_begin(&stream->torch_cpu, seed, position);
        break;
    case CSM_STREAM_TORCH_CPU_MKL:
        csm_torch_mkl_begin(&stream->torch_mkl, seed, position);
        break;
    case CSM_STREAM_TORCH_CUDA:
        csm_torch_cuda_begin(&stream->torch_cuda, seed);
        break;
    case CSM_STREAM_TORCH_INDUCTOR:
        csm_torch_inductor_begin(&stream->torch_inductor, seed, position);
        break;
    case CSM_STREAM_MLX:
    default:
        csm_mlx_begin(&stream->mlx, seed, position);
    }
    stream->state.position = position;
}

csm_status csm_stream_open(const csm_stream_state *state, csm_stream **out,
                             csm_error *err)
{
    csm_status st = csm_stream_check(state, err);
    if (st != CSM_OK)
        return st;
    csm_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "stream: %zu bytes", sizeof *stream);
    stream->state = *state;
    if (stream->state.cuda_threads == 0)
        stream->state.cuda_threads = hopper_threads;
    begin(stream, state->position);
    *out = stream;
    return CSM_OK;
}

void csm_stream_close(csm_stream *stream)
{
    if (stream == NULL)
        return;
    if (stream->state.kind == CSM_STREAM_TORCH_CPU)
        free(stream->torch_cpu.words);
    if (stream->state.kind == CSM_STREAM_TORCH_CPU_MKL)
        free(stream->torch_mkl.powers);
    free(stream);
}

csm_stream_state csm_stream_save(const csm_stream *stream)
{
    return stream->state;
}

/* The generator of those that walk from number to number. */
static struct mt19937 *twister_of(csm_stream *stream)
{
    switch (stream->state.kind) {
    case CSM_STREAM_TORCH_CPU:
        return &stream->torch_cpu.engine;
    case CSM_STREAM_TORCH_CPU_MKL:
        return &stream->torch_mkl.engine;
    case CSM_STREAM_TORCH_INDUCTOR:
        return &stream->torch_inductor.engine;
    default:
        return NULL;
    }
}

csm_status csm_stream_seek(csm_stream *stream, uint64_t position, csm_error *err)
{
    csm_stream_state there = stream->state;
    there.position = position;
    csm_status st = csm_stream_check(&there, err);
    if (st != CSM_OK)
        return st;
    struct mt19937 *twister = twister_of(stream);
    if (twister != NULL && position >= stream->state.position) {
        csm_mt19937_skip(twister, position - stream->state.position);
        stream->state.position = position;
    } else {
        begin(stream, position);
    }
    return CSM_OK;
}

csm_status csm_stream_follow(csm_stream *stream, const csm_stream *other, csm_error *err)
{
    if (stream->state.kind != other->state.kind)
        return csm_fail(err, CSM_BAD_ARG, "stream: %s cannot follow %s",
                        csm_stream_name(stream->state.kind), csm_stream_name(other->state.kind));
    /* The generators, without what belongs to an open call. */
    switch (stream->state.kind) {
    case CSM_STREAM_TORCH_CPU:
        stream->torch_cpu.engine = other->torch_cpu.engine;
        break;
    case CSM_STREAM_TORCH_CPU_MKL:
        stream->torch_mkl.engine = other->torch_mkl.engine;
        break;
    case CSM_STREAM_TORCH_CUDA:
        stream->torch_cuda = other->torch_cuda;
        break;
    case CSM_STREAM_TORCH_INDUCTOR:
        stream->torch_inductor.engine = other->torch_inductor.engine;
        break;
    case CSM_STREAM_MLX:
    default:
        stream->mlx = other->mlx;
    }
    stream->state = other->state;
    return CSM_OK;
}

void csm_noise_give(csm_stream *stream, const float *noise, size_t n)
{
    stream->given = noise;
    stream->n_given = n;
    stream->is_given = true;
}

csm_status csm_noise_open(csm_stream *stream, size_t n, csm_error *err)
{
    const bool is_given = stream->is_given && stream->n_given == n;
    stream->is_given = false;
    if (is_given)
        return CSM_OK;
    stream->given = NULL;
    uint64_t *position = &stream->state.position;
    switch (stream->state.kind) {
    case CSM_STREAM_TORCH_CPU:
        return csm_torch_cpu_open(&stream->torch_cpu, n, position, err);
    case CSM_STREAM_TORCH_CPU_MKL:
        return csm_torch_mkl_open(&stream->torch_mkl, n, position, err);
    case CSM_STREAM_TORCH_CUDA:
        csm_torch_cuda_open(&stream->torch_cuda, n, stream->state.cuda_threads, position);
        break;
    case CSM_STREAM_TORCH_INDUCTOR:
        csm_torch_inductor_open(&stream->torch_inductor, position);
        break;
    case CSM_STREAM_MLX:
    default:
        csm_mlx_open(&stream->mlx, n, position);
    }
    return CSM_OK;
}

float csm_noise_exponential(const csm_stream *stream, csm_dtype dtype, size_t i)
{
    if (stream->given != NULL)
        return stream->given[i];
    switch (stream->state.kind) {
    case CSM_STREAM_TORCH_CPU:
        return csm_torch_cpu_value(&stream->torch_cpu, dtype, i);
    case CSM_STREAM_TORCH_CPU_MKL:
        return csm_torch_mkl_value(&stream->torch_mkl, dtype, i);
    case CSM_STREAM_TORCH_INDUCTOR:
        return csm_torch_inductor_value(&stream->torch_inductor, dtype, i);
    default:
        return csm_torch_cuda_value(&stream->torch_cuda, dtype, i);
    }
}

void csm_noise_fill(const csm_stream *stream, csm_dtype dtype, size_t first, size_t n, float *out)
{
    if (stream->given == NULL && stream->state.kind == CSM_STREAM_TORCH_CPU)
        csm_torch_cpu_fill(&stream->torch_cpu, dtype, first, n, out);
    else
        for (size_t i = 0; i < n; i++)
            out[i] = csm_noise_exponential(stream, dtype, first + i);
}

bool csm_noise_may_vanish(const csm_stream *stream, size_t first, size_t n)
{
    if (stream->given != NULL) {
        int n_zeros = 0;
        for (size_t i = first; i < first + n; i++)
            n_zeros += stream->given[i] == 0.0f;
        return n_zeros > 0;
    }
    switch (stream->state.kind) {
    case CSM_STREAM_TORCH_CPU:
        return csm_torch_cpu_may_vanish(&stream->torch_cpu, first, n);
    case CSM_STREAM_TORCH_CPU_MKL:
        return true; /* down to FLT_MIN */
    default:
        return false; /* ATen keeps CUDA's at 2^-24 or more, the compiler its own */
    }
}

static csm_status fill(csm_stream *stream, csm_dtype dtype, size_t rows, size_t cols, float *noise,
                       csm_error *err)
{
    if (dtype != CSM_DTYPE_F32 && dtype != CSM_DTYPE_BF16 && dtype != CSM_DTYPE_F16)
        return csm_fail(err, CSM_BAD_ARG, "noise: dtype %s, expected F32, BF16 or F16",
                        csm_dtype_name(dtype));
    if (rows == 0 || cols == 0 || rows > SIZE_MAX / cols)
        return csm_fail(err, CSM_BAD_ARG, "noise: shape [%zu, %zu], expected at least one element",
                        rows, cols);
    size_t n = rows * cols;
    csm_status st = csm_noise_open(stream, n, err);
    if (st != CSM_OK)
        return st;
    if (stream->state.kind == CSM_STREAM_MLX)
        for (size_t i = 0; i < n; i++)
            noise[i] = csm_mlx_uniform_of(csm_mlx_word(&stream->mlx, i), dtype);
    else
        csm_noise_fill(stream, dtype, 0, n, noise);
    return CSM_OK;
}

csm_status csm_stream_fill(csm_stream *stream, csm_dtype dtype, size_t rows, size_t cols,
                           float *noise, csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin();
    const csm_status st = fill(stream, dtype, rows, cols, noise, err);
    csm_arithmetic_end(&host);
    return st;
}
