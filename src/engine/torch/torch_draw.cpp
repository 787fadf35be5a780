/* SPDX-License-Identifier: Apache-2.0
 *
 * A draw as PyTorch makes it. transformers: its temperature and top-k warpers
 * and torch.multinomial, which for a single draw is: exponentials in the shape
 * and dtype of p, division, argmax. Sesame: sample_topk. */
#include <cmath>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>

#include "torch_engine.h"

namespace csm_torch {

static at::Generator seeded(const context &ctx, uint64_t seed)
{
    if (ctx.device.is_cpu())
        return at::make_generator<at::CPUGeneratorImpl>(seed);
    at::Generator generator = at::globalContext()
                                  .getAcceleratorHooksInterface(ctx.device.type())
                                  .getNewGenerator(ctx.device.index());
    generator.set_current_seed(seed);
    return generator;
}

at::Generator make_generator(const context &ctx, uint64_t seed, size_t n_calls, size_t n_each)
{
    at::Generator generator = seeded(ctx, seed);
    at::Tensor row =
        at::empty({1, static_cast<int64_t>(n_each)}, at::device(ctx.device).dtype(at::kFloat));
    for (size_t i = 0; i < n_calls; i++)
        row.exponential_(1, generator);
    return generator;
}

void draw(double temperature, size_t top_k, bool as_sesame, const at::Tensor &logits,
          const at::Tensor &noise, at::Tensor &code)
{
    at::Tensor scores = logits.view({1, -1});
    if (!as_sesame || temperature == 0)
        scores = scores.to(at::kFloat);
    if (temperature == 0) {
        at::argmax_out(code, scores, -1, /*keepdim=*/true);
        return;
    }
    if (temperature != 1.0)
        scores = scores / temperature;
    if (top_k != 0) {
        int64_t k = std::min(static_cast<int64_t>(top_k), scores.size(1));
        at::Tensor kth = std::get<0>(at::topk(scores, k)).slice(1, k - 1);
        at::Tensor is_out = scores < kth;
        scores = temperature != 1.0 ? scores.masked_fill_(is_out, -INFINITY)
                                    : scores.masked_fill(is_out, -INFINITY);
    }
    if (as_sesame)
        scores = at::log_softmax(scores, -1);
    at::argmax_out(code, at::softmax(scores, -1).div_(noise), -1, /*keepdim=*/true);
}

} // namespace csm_torch
