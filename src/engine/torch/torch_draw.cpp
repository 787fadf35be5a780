/* SPDX-License-Identifier: Apache-2.0
 *
 * A draw as PyTorch makes it. transformers: its temperature and top-k warpers
 * and torch.multinomial, of which the last three lines of a single draw are
 * spelled out, since the race also gives the margin. Sesame: sample_topk. */
#include <cmath>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>

#include "torch_engine.h"

namespace csm_torch {

at::Generator make_generator(const context &ctx, uint64_t seed)
{
    if (ctx.device.is_cpu())
        return at::make_generator<at::CPUGeneratorImpl>(seed);
    at::Generator generator = at::globalContext()
                                  .getAcceleratorHooksInterface(ctx.device.type())
                                  .getNewGenerator(ctx.device.index());
    generator.set_current_seed(seed);
    return generator;
}

csm_drawn draw(const csm_draw &how, at::Generator &generator, const at::Tensor &logits)
{
    at::Tensor scores = logits.view({1, -1});
    if (!how.as_sesame)
        scores = scores.to(at::kFloat);
    if (how.temperature != 1.0)
        scores = scores / how.temperature;
    if (how.top_k != 0) {
        int64_t k = std::min(static_cast<int64_t>(how.top_k), scores.size(1));
        at::Tensor kth = std::get<0>(at::topk(scores, k)).slice(1, k - 1);
        scores = scores.masked_fill(scores < kth, -INFINITY);
    }
    if (how.as_sesame)
        scores = at::log_softmax(scores, -1);
    at::Tensor p = at::softmax(scores, -1);
    at::Tensor q = at::empty_like(p).exponential_(1, generator);
    at::Tensor race = p / q;
    at::Tensor winner = at::argmax(race, -1, /*keepdim=*/true);

    /* One transfer: the code (exact as a double), its probability, the best two. */
    at::Tensor best = std::get<0>(at::topk(race, 2));
    at::Tensor told =
        at::cat({winner.to(at::kDouble), p.gather(-1, winner).to(at::kDouble), best.to(at::kDouble)},
                -1)
            .to(at::kCPU);
    const double *numbers = told.const_data_ptr<double>();
    csm_drawn drawn;
    drawn.code = static_cast<int32_t>(numbers[0]);
    drawn.prob = static_cast<float>(numbers[1]);
    drawn.margin = static_cast<float>(std::log(numbers[2]) - std::log(numbers[3]));
    return drawn;
}

} // namespace csm_torch
