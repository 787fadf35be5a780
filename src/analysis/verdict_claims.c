/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict_claims.c - what the files say of their settings. */
#include <string.h>

#include "analysis/verdict_case.h"
#include "base/numbers.h"

bool csm_case_says_prompt(const struct csm_case *c)
{
    return csm_case_claim_differs(c, "text", NULL) || csm_case_claim_differs(c, "speaker", NULL);
}

bool csm_rule_vocabulary(struct csm_case *c)
{
    if (c->a->vocab == 0 || c->b->vocab == 0 || c->a->vocab == c->b->vocab)
        return false;
    csm_case_decide(c, CSM_VERDICT_LOGITS, "model", 0.95);
    csm_print(c->text, "A code of A is one of %zu, of B one of %zu: two models. ", c->a->vocab,
              c->b->vocab);
    return true;
}

bool csm_rule_claims(struct csm_case *c)
{
    static const struct {
        const char *key, *cause, *words;
        csm_verdict verdict;
        const char *absent; /* what a file means that does not name it; NULL: nothing */
    } rules[] = {
        {"text", "prompt", "text", CSM_VERDICT_LOGITS, NULL},
        {"speaker", "prompt", "speaker", CSM_VERDICT_LOGITS, NULL},
        {"temperature", "temperature", "temperature", CSM_VERDICT_SAMPLER, NULL},
        {"depth_temperature", "temperature", "temperature of the depth decoder",
         CSM_VERDICT_SAMPLER, NULL},
        {"topk", "top_k", "top-k", CSM_VERDICT_SAMPLER, NULL},
        {"depth_topk", "top_k", "top-k of the depth decoder", CSM_VERDICT_SAMPLER, NULL},
        {"top_p", "top_p", "top-p", CSM_VERDICT_SAMPLER, "1"},
        {"depth_top_p", "top_p", "top-p of the depth decoder", CSM_VERDICT_SAMPLER, "1"},
        {"min_p", "min_p", "min-p", CSM_VERDICT_SAMPLER, "0"},
        {"depth_min_p", "min_p", "min-p of the depth decoder", CSM_VERDICT_SAMPLER, "0"},
        {"top_h", "cutoff", "top-h", CSM_VERDICT_SAMPLER, "0"},
        {"depth_top_h", "cutoff", "top-h of the depth decoder", CSM_VERDICT_SAMPLER, "0"},
        {"typical_p", "cutoff", "typical-p", CSM_VERDICT_SAMPLER, "0"},
        {"depth_typical_p", "cutoff", "typical-p of the depth decoder", CSM_VERDICT_SAMPLER, "0"},
        {"epsilon_cutoff", "cutoff", "epsilon cutoff", CSM_VERDICT_SAMPLER, "0"},
        {"depth_epsilon_cutoff", "cutoff", "epsilon cutoff of the depth decoder",
         CSM_VERDICT_SAMPLER, "0"},
        {"eta_cutoff", "cutoff", "eta cutoff", CSM_VERDICT_SAMPLER, "0"},
        {"depth_eta_cutoff", "cutoff", "eta cutoff of the depth decoder", CSM_VERDICT_SAMPLER, "0"},
        {"code_rules", "code_rules", "rules over codes", CSM_VERDICT_SAMPLER, "none"},
        {"seed", "seed", "seed", CSM_VERDICT_NOISE, NULL},
        {"stream", "stream", "random stream", CSM_VERDICT_NOISE, NULL},
        {"sampler", "sampler", "sampler", CSM_VERDICT_SAMPLER, NULL},
        {"mlx_version", "mlx_version", "version of MLX", CSM_VERDICT_SAMPLER, NULL},
        {"precision", "precision", "precision", CSM_VERDICT_LOGITS, NULL},
        {"dtype", "dtype", "dtype", CSM_VERDICT_SAMPLER, NULL},
        {"model", "model", "model", CSM_VERDICT_LOGITS, NULL},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (!csm_case_claim_differs(c, rules[i].key, rules[i].absent))
            continue;
        bool is_weights =
            strcmp(rules[i].key, "dtype") == 0 || strcmp(rules[i].key, "precision") == 0;
        bool quantized = is_weights && csm_case_says_quantized(c);
        csm_case_decide(c, quantized ? CSM_VERDICT_LOGITS : rules[i].verdict,
                        quantized ? "quantization" : rules[i].cause, 0.7);
        csm_print(c->text, "By the files' own word the %s differs: ",
                quantized ? "quantization" : rules[i].words);
        csm_case_quote(c, csm_case_claim(c->a, rules[i].key, rules[i].absent));
        fputs(" against ", c->text);
        csm_case_quote(c, csm_case_claim(c->b, rules[i].key, rules[i].absent));
        fputs(". ", c->text);
        return true;
    }
    return false;
}

void csm_case_name_bits(struct csm_case *c)
{
    static const struct {
        const char *key, *cause, *words;
    } rules[] = {
        {"library", "library", "PyTorch or oneDNN is another"},
        {"processor", "processor", "the processor's instructions, or their cap, are others"},
        {"device", "processor", "the device is another"},
        {"threads", "processor", "the number of threads is another"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (!csm_case_metadata_differs(c, rules[i].key))
            continue;
        if (strcmp(c->out->cause, "rounding") == 0)
            c->out->cause = rules[i].cause;
        csm_print(c->text, "By the files' own word %s: ", rules[i].words);
        csm_case_quote(c, csm_tokens_metadata(c->a, rules[i].key));
        fputs(" against ", c->text);
        csm_case_quote(c, csm_tokens_metadata(c->b, rules[i].key));
        fputs(". ", c->text);
    }
}
