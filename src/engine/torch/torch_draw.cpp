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

race run_race(double temperature, size_t top_k, bool as_sesame, const at::Tensor &logits,
              const std::function<at::Tensor(const at::Tensor &)> &noise_like)
{
    at::Tensor scores = logits.view({1, -1});
    if (!as_sesame)
        scores = scores.to(at::kFloat);
    if (temperature != 1.0)
        scores = scores / temperature;
    if (top_k != 0) {
        int64_t k = std::min(static_cast<int64_t>(top_k), scores.size(1));
        at::Tensor kth = std::get<0>(at::topk(scores, k)).slice(1, k - 1);
        scores = scores.masked_fill(scores < kth, -INFINITY);
    }
    if (as_sesame)
        scores = at::log_softmax(scores, -1);
    race r;
    r.p = at::softmax(scores, -1);
    r.ratio = r.p / noise_like(r.p);
    r.winner = at::argmax(r.ratio, -1, /*keepdim=*/true);
    return r;
}

csm_drawn draw(const csm_draw &how, at::Generator &generator, const at::Tensor &logits)
{
    race r = run_race(how.temperature, how.top_k, how.as_sesame, logits, [&](const at::Tensor &p) {
        return at::empty_like(p).exponential_(1, generator);
    });
    /* One transfer: the code (exact as a double), its probability, the best two. */
    at::Tensor best = std::get<0>(at::topk(r.ratio, 2));
    at::Tensor told = at::cat({r.winner.to(at::kDouble), r.p.gather(-1, r.winner).to(at::kDouble),
                               best.to(at::kDouble)},
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
