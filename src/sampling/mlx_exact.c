/* SPDX-License-Identifier: Apache-2.0
 *
 * mlx_exact.c - PyTorch's tokens for MLX's logits: the one-shot call, and the
 * switch that generators over MLX look at. */
#include <stdatomic.h>
#include <stdio.h>

#include "base/error.h"

#include <csm/experimental.h>

csm_status csm_mlx_sample_exact(const float *logits, size_t rows, size_t vocab, size_t top_k,
                                double temperature, uint64_t seed, int32_t *tokens, csm_error *err)
{
    if (top_k == 0 || top_k > vocab)
        return csm_fail(err, CSM_BAD_ARG, "top-k: %zu, expected 1 to %zu", top_k, vocab);
    csm_sampler_options config = csm_sampler_defaults();
    config.sampler = CSM_SAMPLER_SESAME;
    config.seed = seed;
    config.temperature = temperature;
    config.top_k = top_k;
    csm_sampler *sampler;
    csm_status st = csm_sampler_open(&config, &sampler, err);
    if (st != CSM_OK)
        return st;
    st = csm_sampler_draw(sampler, logits, rows, vocab, tokens, NULL, NULL, err);
    csm_sampler_close(sampler);
    return st;
}

/* The one state of the process: it is what the switch is for. */
static atomic_bool is_exact;

bool csm_patch_mlx_sampling(bool enable, bool verbose)
{
    bool before = atomic_exchange(&is_exact, enable);
    if (verbose)
        fprintf(stderr, "csm: MLX generators that have not chosen a strategy draw with %s sampler\n",
                enable ? "PyTorch's exact" : "MLX's own");
    return before;
}

bool csm_exact_sampling_enabled(void)
{
    return atomic_load(&is_exact);
}
