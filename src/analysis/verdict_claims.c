/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict_claims.c - what the files say of their settings. */
#include <string.h>

#include "analysis/verdict_case.h"
#include "base/numbers.h"

bool csm_rule_claims(struct csm_case *c)
{
    static const struct {
        const char *key, *cause, *words;
        csm_verdict verdict;
    } rules[] = {
        {"text", "prompt", "text", CSM_VERDICT_LOGITS},
        {"speaker", "prompt", "speaker", CSM_VERDICT_LOGITS},
        {"temperature", "temperature", "temperature", CSM_VERDICT_SAMPLER},
        {"depth_temperature", "temperature", "temperature of the depth decoder",
         CSM_VERDICT_SAMPLER},
        {"topk", "top_k", "top-k", CSM_VERDICT_SAMPLER},
        {"depth_topk", "top_k", "top-k of the depth decoder", CSM_VERDICT_SAMPLER},
        {"seed", "seed", "seed", CSM_VERDICT_NOISE},
        {"stream", "stream", "random stream", CSM_VERDICT_NOISE},
        {"sampler", "sampler", "sampler", CSM_VERDICT_SAMPLER},
        {"mlx_version", "mlx_version", "version of MLX", CSM_VERDICT_SAMPLER},
        {"precision", "precision", "precision", CSM_VERDICT_LOGITS},
        {"dtype", "dtype", "dtype", CSM_VERDICT_SAMPLER},
        {"model", "model", "model", CSM_VERDICT_LOGITS},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (!csm_case_setting_differs(c, rules[i].key))
            continue;
        bool is_weights =
            strcmp(rules[i].key, "dtype") == 0 || strcmp(rules[i].key, "precision") == 0;
        bool quantized = is_weights && csm_case_says_quantized(c);
        csm_case_decide(c, quantized ? CSM_VERDICT_LOGITS : rules[i].verdict,
                        quantized ? "quantization" : rules[i].cause, 0.7);
        csm_print(c->text, "By the files' own word the %s differs: ",
                quantized ? "quantization" : rules[i].words);
        csm_case_quote(c, csm_tokens_metadata(c->a, rules[i].key));
        fputs(" against ", c->text);
        csm_case_quote(c, csm_tokens_metadata(c->b, rules[i].key));
        fputs(". ", c->text);
        return true;
    }
    return false;
}
