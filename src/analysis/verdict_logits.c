/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict_logits.c - logits on both sides: another model, or rounding of one; hidden
 * states, which name the layer. */
#include <math.h>
#include <string.h>

#include "analysis/verdict_case.h"
#include "base/numbers.h"

bool csm_case_logits_differ(const struct csm_logit_difference *l)
{
    return l->is_known && (20 * l->n_beyond > l->n_rows || l->relative_last > 2 * l->limit);
}

/* Name the fault from hidden states. */
static bool name_by_hidden(struct csm_case *c)
{
    const struct csm_hidden_difference *h = &c->hidden;
    if (!h->is_known || (h->first == NULL && !h->is_gradual))
        return false;
    if (h->is_gradual && !(h->first != NULL && h->relative > 0.5)) {
        csm_case_decide(c, CSM_VERDICT_LOGITS,
                        csm_case_says_quantized(c) ? "quantization" : "precision", 0.9);
        csm_print(c->text,
                "Hidden states differ from the first tensor on and by little more from layer to "
                "layer: %s, not one faulty layer. ",
                csm_case_says_quantized(c)
                    ? "quantized weights (4-bit or 8-bit against full)"
                    : "weights or arithmetic of another precision, such as 4-bit");
        return true;
    }
    c->out->first_layer = h->first;
    fputs("The first tensor that differs is ", c->text);
    csm_case_quote(c, h->first);
    csm_print(c->text, " (by %.2g of its size; before it %.1g)", h->relative, h->before);
    bool is_layer0 = strstr(h->first, "layer0") != NULL;
    bool is_embedding = strcmp(h->first, "inputs_embeds") == 0;
    if (strstr(h->first, "layer") != NULL && h->is_first_pass_equal) {
        csm_case_decide(c, CSM_VERDICT_LOGITS, "cache", 0.9);
        csm_print(c->text,
                  ", from its row %zu on; %s agrees: positions of the steps after that, or the keys "
                  "and values that are kept for them (cache, mask, window). ",
                  h->first_row, h->is_of_depth ? "the first frame" : "the prompt");
    } else if (is_layer0 && h->is_first_position_equal) {
        csm_case_decide(c, CSM_VERDICT_LOGITS, "rotation", 0.9);
        fputs(", and there position 0 agrees, which no rotation moves: the rotary embedding "
              "(interleaved pairs against halves, its base or scaling), or q and k of this "
              "layer. ",
              c->text);
    } else if (strcmp(h->first, "logits") == 0) {
        csm_case_decide(c, CSM_VERDICT_LOGITS, "head", 0.9);
        fputs(": the heads, or which codebook's head is taken (codebook off by one). ", c->text);
    } else if (strcmp(h->first, "depth.proj") == 0 && h->is_first_position_equal) {
        csm_case_decide(c, CSM_VERDICT_LOGITS, "codebook", 0.9);
        fputs(", and its position 0 agrees: the embedding of the code before, most likely its "
              "codebook's offset (codebook off by one). ",
              c->text);
    } else if (is_embedding && h->is_first_pass_equal) {
        csm_case_decide(c, CSM_VERDICT_LOGITS, "codebook", 0.9);
        fputs(", and the prompt agrees: the embedding of codes drawn, most likely the codebooks' "
              "offsets (codebook off by one). ",
              c->text);
    } else if (is_embedding && h->is_first_position_equal) {
        csm_case_decide(c, CSM_VERDICT_LOGITS, "prompt", 0.9);
        csm_print(c->text,
                  ", from position %zu of the prompt on, and those before it agree: other ids or other "
                  "context (text, speaker, tokenizer). ",
                  h->first_row);
    } else if (is_embedding && (csm_case_says_quantized(c) || h->relative < 0.3)) {
        csm_case_decide(c, CSM_VERDICT_LOGITS, "quantization",
                        csm_case_says_quantized(c) ? 0.95 : 0.7);
        fputs(": the embedding tables are near one another and not equal, as quantized ones are "
              "(4-bit or 8-bit against full). ",
              c->text);
    } else if (is_embedding) {
        csm_case_decide(c, CSM_VERDICT_LOGITS, "prompt", 0.9);
        fputs(": another prompt (text, speaker, tokenizer, context), or the embedding tables. ",
              c->text);
    } else {
        csm_case_decide(c, CSM_VERDICT_LOGITS, "layer", 0.9);
        fputs(": a weight or an operation of this layer. ", c->text);
    }
    return true;
}

static void name_by_logits(struct csm_case *c)
{
    const struct csm_logit_difference *l = &c->logits;
    size_t columns = c->a->n_codebooks, frame = l->first_beyond / columns;
    size_t codebook = l->first_beyond % columns;
    if (csm_case_metadata_differs(c, "text") || csm_case_metadata_differs(c, "speaker")) {
        csm_case_decide(c, CSM_VERDICT_LOGITS, "prompt", 0.95);
        fputs("The files tell of different texts or speakers. ", c->text);
    } else if (csm_case_says_quantized(c)) {
        csm_case_decide(c, CSM_VERDICT_LOGITS, "quantization", 0.9);
        const char *a = csm_case_precision(c->a), *b = csm_case_precision(c->b);
        fputs("The weights are ", c->text);
        csm_case_quote(c, a != NULL ? a : "of unknown precision");
        fputs(" in A and ", c->text);
        csm_case_quote(c, b != NULL ? b : "of unknown precision");
        fputs(" in B, and quantization gives such a difference. ", c->text);
    } else if (frame == 0 && codebook == 1 && l->correlation < 0.5) {
        csm_case_decide(c, CSM_VERDICT_LOGITS, "codebook", 0.7);
        fputs("The backbone agrees, and the depth decoder's first logits have nothing in common: "
              "most likely a codebook off by one, in the code's embedding or in the choice of the "
              "head. ",
              c->text);
    } else if (codebook == 1 && frame == 0) {
        csm_case_decide(c, CSM_VERDICT_LOGITS, "depth", 0.8);
        fputs("The backbone agrees: the fault is in the depth decoder (a layer, its rotation, a "
              "codebook off by one). ",
              c->text);
    } else if (frame == 1 && codebook == 0) {
        csm_case_decide(c, CSM_VERDICT_LOGITS, "codebook", 0.6);
        fputs("The whole first frame agrees: the fault is in how codes go back to the backbone "
              "(their embedding, most likely a codebook off by one), or in its positions or "
              "cache. ",
              c->text);
    } else if (frame == 0 && codebook == 0) {
        csm_case_decide(c, CSM_VERDICT_LOGITS, "backbone", 0.7);
        csm_print(c->text, "They differ from the first row on: the prompt or the backbone (%s). ",
                l->relative_first > 0.5
                    ? "by so much that rotation, layout of the weights or the prompt come to mind"
                    : "a perturbed layer, or weights of lower precision such as 4-bit");
    } else {
        csm_case_decide(c, CSM_VERDICT_LOGITS, "unknown", 0.6);
        csm_print(c->text, "They part at frame %zu, codebook %zu, and agree before. ", frame,
                codebook);
    }
    fputs("Hidden states on both sides would name the layer. ", c->text);
}

bool csm_rule_logits(struct csm_case *c)
{
    const struct csm_logit_difference *l = &c->logits;
    if (!csm_case_logits_differ(l))
        return false;
    csm_print(c->text,
            "The logits differ by %.2g of their spread (at most %.3g), where rounding explains "
            "%.1g: the models compute different things. ",
            fmax(l->relative, l->relative_last), l->largest, l->limit);
    if (!name_by_hidden(c))
        name_by_logits(c);
    return true;
}

/* Whether races as many as there were are expected to hold one that logits turn which differ by
 * `reach`. Of two rivals the lead is spread over a unit or more, so that one in 1 / reach is
 * that close. */
static bool may_have_turned(const struct csm_case *c, double reach)
{
    return reach * ((double)c->until + 1) > 0.05;
}

bool csm_rule_close_race(struct csm_case *c)
{
    const csm_divergence *d = &c->out->first;
    const struct csm_logit_difference *l = &c->logits;
    if (!l->is_known || l->largest == 0)
        return false;
    const double reach = 2.5 * l->largest / csm_case_temperature(c->a, d->codebook);
    /* of the side that went on, where the other ended: its last draw is in no file */
    const bool is_ending = csm_case_is_ending(c);
    const double margin = is_ending && isnan(d->margin_a) ? d->margin_b : d->margin_a;
    /* Each code has to come out of its own logits, or to be no farther from it than they are off. */
    const bool is_replayed = c->race[0].is_known && c->race[1].is_known;
    if (is_replayed ? !(fmax(c->race[0].behind, c->race[1].behind) <= reach)
        : isnan(margin) ? !may_have_turned(c, reach)
                        : !(margin <= reach))
        return false;
    csm_case_decide(c, CSM_VERDICT_ROUNDING, "rounding",
                    is_replayed      ? 0.99
                    : isnan(margin) ? 0.6
                                    : 0.9);
    csm_print(c->text, "Logits agree to %.2g of their spread (at most %.3g), which is rounding",
            l->relative, l->largest);
    if (!isnan(margin))
        csm_print(c->text, ", and this draw was won by a margin of only %.3g", margin);
    if (!isnan(d->shift))
        csm_print(c->text, "; the logits moved the race by %.3g", d->shift);
    fputs(". ", c->text);
    if (is_replayed)
        fputs("Drawn again under the same settings, each side's code comes out of its own logits. ",
              c->text);
    return true;
}

/* The noise is not known, but codes under their logits show the temperature. */
bool csm_rule_likelihood(struct csm_case *c)
{
    const csm_stream_stats *stats = c->analysis->stats;
    for (size_t part = 0; part < 2; part++) {
        const csm_sampler_fit *a = &stats[0].fit[part], *b = &stats[1].fit[part];
        if (!a->has_fit || !b->has_fit)
            continue;
        double error = sqrt(a->error * a->error + b->error * b->error);
        if (fabs(a->temperature - b->temperature) > 4 * error) {
            csm_case_decide(c, CSM_VERDICT_SAMPLER, "temperature", 0.9);
            csm_print(c->text,
                    "Given their logits, A's codes are most probable at temperature %.3f "
                    "(+-%.3f), B's at %.3f (+-%.3f). ",
                    a->temperature, a->error, b->temperature, b->error);
            return true;
        }
    }
    return false;
}
