/* SPDX-License-Identifier: Apache-2.0 */
#include "choices.h"

#include <stdio.h>
#include <string.h>

bool choose_dtype(const char *name, csm_dtype *dtype)
{
    if (strcmp(name, "f32") == 0)
        *dtype = CSM_DTYPE_F32;
    else if (strcmp(name, "bf16") == 0)
        *dtype = CSM_DTYPE_BF16;
    else if (strcmp(name, "f16") == 0)
        *dtype = CSM_DTYPE_F16;
    else {
        fprintf(stderr, "csm: --dtype: '%s', expected f32, bf16 or f16\n", name);
        return false;
    }
    return true;
}

bool choose_sampler(const char *name, csm_sampler_kind *sampler)
{
    *sampler = csm_sampler_find(name);
    if (*sampler == CSM_SAMPLER_COUNT)
        fprintf(stderr,
                "csm: --sampler: '%s', expected transformers, sesame, csm-mlx or mlx-categorical\n",
                name);
    return *sampler != CSM_SAMPLER_COUNT;
}

bool choose_stream(const char *name, csm_stream_kind *stream)
{
    *stream = csm_stream_find(name);
    if (*stream == CSM_STREAM_COUNT)
        fprintf(stderr,
                "csm: --stream: '%s', expected " CSM_STREAM_NAMES "\n", name);
    return *stream != CSM_STREAM_COUNT;
}

bool choose_named_strategy(const char *name, csm_strategy *out)
{
    if (name == NULL)
        return true;
    for (int s = CSM_STRATEGY_AUTO; s <= CSM_STRATEGY_HYBRID; s++)
        if (strcmp(csm_strategy_name((csm_strategy)s), name) == 0) {
            *out = (csm_strategy)s;
            return true;
        }
    fprintf(stderr, "csm: --strategy: '%s', expected auto, pure, exact or hybrid\n", name);
    return false;
}

bool choose_precision(const char *name, csm_precision *out)
{
    *out = CSM_PRECISION_STORED;
    if (name == NULL)
        return true;
    for (int p = CSM_PRECISION_F32; p <= CSM_PRECISION_Q4; p++)
        if (strcmp(csm_precision_name((csm_precision)p), name) == 0) {
            *out = (csm_precision)p;
            return true;
        }
    fprintf(stderr, "csm: --dtype: '%s', expected f32, bf16, f16, q8 or q4\n", name);
    return false;
}

bool choose_cuda_threads(size_t asked, csm_stream_kind stream, uint64_t *threads)
{
    *threads = asked;
    if (asked == 0 || stream == CSM_STREAM_TORCH_CUDA)
        return true;
    fprintf(stderr, "csm: --cuda-threads with --stream %s: it is torch-cuda's\n",
            csm_stream_name(stream));
    return false;
}

void tell_of_gpu(csm_stream_kind stream, uint64_t threads, size_t n)
{
    enum { HOPPER_THREADS = 132 * 2048 };
    if (stream == CSM_STREAM_TORCH_CUDA && threads == 0 && n > HOPPER_THREADS)
        fprintf(stderr,
                "csm: --stream torch-cuda: of %zu numbers in a call those after %d depend on the GPU: "
                "these are an H100's; --cuda-threads N for another (an A100: 221184)\n",
                n, HOPPER_THREADS);
}
