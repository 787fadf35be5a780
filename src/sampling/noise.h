/* SPDX-License-Identifier: Apache-2.0
 *
 * noise.h - what a noise stream is inside: a generator that opens one *call*
 * over n elements, whose values are then asked for by index.
 *
 * A race needs the noise of the tokens that top-k left, 50 of 2051, and of
 * those alone; so a call prepares what is cheap (counters, raw words) and a
 * value is computed when it is asked for. */
#ifndef CSM_SAMPLING_NOISE_H
#define CSM_SAMPLING_NOISE_H

#include <csm/experimental.h>
#include <csm/sampling.h>

#include "sampling/mt19937.h"

/* PyTorch's CPU generator: two words of mt19937 an element. */
struct noise_torch_cpu {
    struct mt19937 engine;
    uint32_t *words; /* of the open call, not tempered yet */
    size_t capacity; /* of words, in elements */
};

/* The same generator under MKL: one word a call seeds MCG31. */
struct noise_torch_mkl {
    struct mt19937 engine;
    uint32_t first;   /* MCG31's state for element 0 of the open call */
    uint32_t *powers; /* the multiplier to the power i, modulo 2^31 - 1 */
    size_t n_powers;
};

/* Philox4x32-10 with ATen's launch geometry. */
struct noise_torch_cuda {
    uint32_t key[2];
    uint64_t offset;    /* of the open call, in the generator's units */
    uint64_t n_threads; /* of the open call's grid */
};

/* The compiler's Philox4x32-10; two words of mt19937 a call make the key. */
struct noise_torch_inductor {
    struct mt19937 engine;
    uint32_t key; /* of the open call */
};

/* threefry2x32 with the implicit global key. */
struct noise_mlx {
    uint32_t global[2];
    uint32_t key[2]; /* of the open call */
    size_t n;        /* its elements: the layout depends on it */
};

struct csm_stream {
    csm_stream_state state;
    const float *given; /* the open call's, or (is_given) the next one's; NULL: own ones */
    size_t n_given;
    bool is_given;
    union {
        struct noise_torch_cpu torch_cpu;
        struct noise_torch_mkl torch_mkl;
        struct noise_torch_cuda torch_cuda;
        struct noise_torch_inductor torch_inductor;
        struct noise_mlx mlx;
    };
};

/* Open the next call, over n elements, and move the stream past it.
 * CSM_NO_MEMORY: nothing has moved. */
csm_status csm_noise_open(csm_stream *stream, size_t n, csm_error *err);

/* The values of the next call over n elements of a torch stream, which somebody has already made
 * of the same stream, in the dtype of the race: [n], the caller's until that call is done. The
 * stream itself stays where it is. */
void csm_noise_give(csm_stream *stream, const float *noise, size_t n);

/* Element i of the open call of a torch stream: the exponential in dtype. */
float csm_noise_exponential(const csm_stream *stream, csm_dtype dtype, size_t i);

enum { TORCH_CUDA_BLOCK = 256 }; /* threads of a block in ATen's launch */

/* Is it a state that a stream can have? CSM_BAD_ARG says what is wrong. */
csm_status csm_stream_check(const csm_stream_state *state, csm_error *err);

/* Elements first..first+n-1. */
void csm_noise_fill(const csm_stream *stream, csm_dtype dtype, size_t first, size_t n, float *out);

/* False if none of those elements can be 0 in any dtype. */
bool csm_noise_may_vanish(const csm_stream *stream, size_t first, size_t n);

/* ---- the generators; begin puts one at a position, open opens a call ----- */

void csm_torch_cpu_begin(struct noise_torch_cpu *noise, uint64_t seed, uint64_t position);
csm_status csm_torch_cpu_open(struct noise_torch_cpu *noise, size_t n, uint64_t *position,
                          csm_error *err);
float csm_torch_cpu_value(const struct noise_torch_cpu *noise, csm_dtype dtype, size_t i);
void csm_torch_cpu_fill(const struct noise_torch_cpu *noise, csm_dtype dtype, size_t first, size_t n,
                    float *out);
bool csm_torch_cpu_may_vanish(const struct noise_torch_cpu *noise, size_t first, size_t n);

void csm_torch_mkl_begin(struct noise_torch_mkl *noise, uint64_t seed, uint64_t position);
csm_status csm_torch_mkl_open(struct noise_torch_mkl *noise, size_t n, uint64_t *position,
                          csm_error *err);
float csm_torch_mkl_value(const struct noise_torch_mkl *noise, csm_dtype dtype, size_t i);

void csm_torch_cuda_begin(struct noise_torch_cuda *noise, uint64_t seed);
void csm_torch_cuda_open(struct noise_torch_cuda *noise, size_t n, uint64_t max_threads,
                     uint64_t *position);
float csm_torch_cuda_value(const struct noise_torch_cuda *noise, csm_dtype dtype, size_t i);

void csm_torch_inductor_begin(struct noise_torch_inductor *noise, uint64_t seed, uint64_t position);
void csm_torch_inductor_open(struct noise_torch_inductor *noise, uint64_t *position);
float csm_torch_inductor_value(const struct noise_torch_inductor *noise, csm_dtype dtype, size_t i);

void csm_mlx_begin(struct noise_mlx *noise, uint64_t seed, uint64_t position);
void csm_mlx_open(struct noise_mlx *noise, size_t n, uint64_t *position);
uint32_t csm_mlx_word(const struct noise_mlx *noise, size_t i);
float csm_mlx_uniform_of(uint32_t word, csm_dtype dtype);

#endif
