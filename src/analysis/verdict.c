/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict.c - from evidence to a verdict, the strongest evidence first:
 * logits and noise drawn again, hidden states, margins and probabilities,
 * what the files say of themselves, codes alone. */
#include "analysis/verdict.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "analysis/logit_compare.h"
#include "analysis/replay.h"
#include "analysis/stream_stats.h"
#include "base/error.h"

const char *csm_verdict_name(csm_verdict verdict)
{
    static const char *const names[] = {"same", "rounding", "noise", "logits", "sampler"};
    return (size_t)verdict < sizeof names / sizeof *names ? names[verdict] : "?";
}

struct case_file {
    const csm_tokens *a, *b;
    csm_analysis *analysis;
    csm_comparison *out;
    size_t until; /* the draw of the first divergence; draws compared without one */
    bool has_settings, has_seed[2];
    struct csm_settings claimed[2];
    struct csm_explanation explained[2];
    bool has_replay[2];
    struct csm_noise_step step[2];
    struct csm_logit_difference logits;
    struct csm_hidden_difference hidden;
    bool has_other_grain; /* one side's probabilities are bf16 numbers, the other's are not */
    FILE *text; /* the explanation */
};

static void decide(struct case_file *c, csm_verdict verdict, const char *cause, double confidence)
{
    c->out->verdict = verdict;
    c->out->cause = cause;
    c->out->confidence = confidence;
}

/* ---- the first divergence ------------------------------------------------------ */

static double per_draw(const float *values, const csm_tokens *t, size_t frame, size_t codebook)
{
    return values != NULL && frame < t->n_frames ? (double)values[frame * t->n_codebooks + codebook]
                                                 : NAN;
}

static bool has_ended_early(const struct case_file *c)
{
    const csm_tokens *shorter = c->a->n_frames < c->b->n_frames ? c->a : c->b;
    const csm_stream_stats *stats = &c->analysis->stats[shorter == c->b];
    return c->a->n_frames != c->b->n_frames && stats->ended != CSM_ENDED_BY_LIMIT;
}

/* The logits of the two candidates; NaN where there are none. */
static double lead(const csm_tokens *t, const csm_divergence *d, float *row)
{
    if (d->code_a < 0 || d->code_b < 0 || (size_t)d->code_a >= t->vocab ||
        (size_t)d->code_b >= t->vocab || row == NULL ||
        !csm_tokens_logits(t, d->frame, d->codebook, row))
        return NAN;
    return (double)row[d->code_a] - row[d->code_b];
}

static double temperature_at(const csm_tokens *t, size_t codebook)
{
    double first = csm_tokens_number(t, "temperature", 0.9);
    double value = codebook == 0 ? first : csm_tokens_number(t, "depth_temperature", first);
    return value > 0 ? value : 1;
}

static void find_divergence(struct case_file *c)
{
    const csm_tokens *a = c->a, *b = c->b;
    csm_divergence *d = &c->out->first;
    *d = (csm_divergence){.margin_a = NAN, .margin_b = NAN, .prob_a = NAN, .prob_b = NAN,
                          .lead_a = NAN, .lead_b = NAN, .shift = NAN};
    size_t columns = c->out->n_codebooks;
    for (size_t f = 0; f < c->out->n_frames && !d->exists; f++)
        for (size_t k = 0; k < columns && !d->exists; k++)
            if (a->codes[f * a->n_codebooks + k] != b->codes[f * b->n_codebooks + k]) {
                *d = (csm_divergence){.exists = true, .frame = f, .codebook = k};
                d->code_a = a->codes[f * a->n_codebooks + k];
                d->code_b = b->codes[f * b->n_codebooks + k];
            }
    if (!d->exists && has_ended_early(c)) { /* one drew the frame that ends speech */
        size_t f = c->out->n_frames;
        *d = (csm_divergence){.exists = true, .frame = f};
        d->code_a = f < a->n_frames ? a->codes[f * a->n_codebooks] : -1;
        d->code_b = f < b->n_frames ? b->codes[f * b->n_codebooks] : -1;
    }
    c->until = d->exists ? d->frame * columns + d->codebook : c->out->n_frames * columns;
    d->n_equal = c->until;
    d->margin_a = per_draw(a->margins, a, d->frame, d->codebook);
    d->margin_b = per_draw(b->margins, b, d->frame, d->codebook);
    d->prob_a = per_draw(a->probs, a, d->frame, d->codebook);
    d->prob_b = per_draw(b->probs, b, d->frame, d->codebook);
    size_t vocab = a->vocab > b->vocab ? a->vocab : b->vocab;
    float *row = malloc(vocab * sizeof *row + 1);
    d->lead_a = d->exists ? lead(a, d, row) : NAN;
    d->lead_b = d->exists ? lead(b, d, row) : NAN;
    d->shift = fabs(d->lead_a - d->lead_b) / temperature_at(a, d->codebook);
    free(row);
}

/* ---- words ---------------------------------------------------------------------- */

static const char *part_name(size_t codebook)
{
    return codebook == 0 ? "the backbone's draw" : "a draw of the depth decoder";
}

static void tell_place(struct case_file *c)
{
    const csm_divergence *d = &c->out->first;
    if (d->code_a < 0 || d->code_b < 0)
        fprintf(c->text, "Equal for %zu frames, then %s ended its speech and %s went on. ",
                d->frame, d->code_a < 0 ? "A" : "B", d->code_a < 0 ? "B" : "A");
    else
        fprintf(c->text,
                "First difference at frame %zu, codebook %zu (%s), after %zu equal draws: "
                "A has %" PRId32 ", B has %" PRId32 ". ",
                d->frame, d->codebook, part_name(d->codebook), d->n_equal, d->code_a, d->code_b);
}

static const char *metadata_or(const csm_tokens *t, const char *key, const char *missing)
{
    const char *value = csm_tokens_metadata(t, key);
    return value != NULL ? value : missing;
}

static bool metadata_differs(const struct case_file *c, const char *key)
{
    const char *a = csm_tokens_metadata(c->a, key), *b = csm_tokens_metadata(c->b, key);
    return a != NULL && b != NULL && strcmp(a, b) != 0;
}

/* The weights' form, where a file tells it: "q4" of precision, or of dtype. */
static const char *precision_of(const csm_tokens *t)
{
    const char *precision = csm_tokens_metadata(t, "precision");
    return precision != NULL ? precision : csm_tokens_metadata(t, "dtype");
}

static bool is_quantized(const char *precision)
{
    return precision != NULL && (precision[0] == 'q' || strstr(precision, "bit") != NULL ||
                                 strncmp(precision, "int", 3) == 0);
}

static bool says_quantized(const struct case_file *c)
{
    const char *a = precision_of(c->a), *b = precision_of(c->b);
    return is_quantized(a) != is_quantized(b) ||
           (is_quantized(a) && is_quantized(b) && strcmp(a, b) != 0);
}

/* ---- drawn again ------------------------------------------------------------------ */

static csm_status replay_both(struct case_file *c, const csm_analyze_options *options,
                              csm_error *err)
{
    const csm_tokens *sides[2] = {c->a, c->b};
    c->has_settings = true;
    for (size_t i = 0; i < 2; i++)
        c->has_settings &= csm_settings_claimed(sides[i], &c->claimed[i], &c->has_seed[i]);
    if (!c->out->first.exists || options->without_replay || !c->has_settings)
        return CSM_OK;
    csm_status status = CSM_OK;
    for (size_t i = 0; i < 2 && status == CSM_OK; i++) {
        const csm_tokens *own = sides[i], *other = sides[1 - i];
        struct csm_replay replay = {.codes = own, .logits = own};
        replay.n_draws = own->n_frames * own->n_codebooks;
        if (own->logits.data == NULL) {
            /* while histories are equal, the other's logits stand for its own */
            if (other->logits.data == NULL || own->n_codebooks != other->n_codebooks)
                continue;
            replay.logits = other;
            replay.n_draws = c->until + (c->out->first.frame < own->n_frames);
        }
        if (replay.n_draws == 0)
            continue;
        const struct csm_settings *hint =
            i == 1 && c->explained[0].is_explained ? &c->explained[0].settings : NULL;
        c->has_replay[i] = true;
        status = csm_replay_explain(&replay, &c->claimed[i], c->has_seed[i],
                                    replay.logits == own, hint, &c->explained[i], err);
    }
    return status;
}

static bool same_warp(const struct csm_settings *a, const struct csm_settings *b)
{
    return a->temperature[0] == b->temperature[0] && a->temperature[1] == b->temperature[1] &&
           a->top_k[0] == b->top_k[0] && a->top_k[1] == b->top_k[1];
}

static bool same_arithmetic(const struct csm_settings *a, const struct csm_settings *b)
{
    return a->sampler == b->sampler && a->dtype == b->dtype &&
           strcmp(a->mlx_version, b->mlx_version) == 0;
}

static bool same_noise(const struct csm_settings *a, const struct csm_settings *b)
{
    return a->stream == b->stream && a->seed == b->seed && a->ahead == b->ahead &&
           a->ahead_elements == b->ahead_elements && a->slip_at == b->slip_at;
}

/* True if b's codes come out under a's settings too: then a difference of settings
 * is one on paper only. */
static bool is_same_in_effect(struct case_file *c)
{
    if (c->b->logits.data == NULL)
        return false;
    struct csm_replay replay = {.codes = c->b, .logits = c->b};
    replay.n_draws = c->b->n_frames * c->b->n_codebooks;
    struct csm_replay_result result;
    csm_status status = csm_replay_run(&replay, &c->explained[0].settings, 0, &result, NULL);
    return status == CSM_OK && result.n != 0 && result.n_hits == result.n;
}

static void tell_offset(FILE *to, const struct csm_settings *s, const char *who)
{
    if (s->slip_at != 0)
        fprintf(to, "%s's stream slips by %ld draw%s at draw %zu and agrees again with that offset. ",
                who, s->ahead, s->ahead == 1 ? "" : "s", s->slip_at);
    else if (s->ahead_elements != 0)
        fprintf(to, "%s's stream is %ld number%s ahead from the start. ", who, s->ahead_elements,
                s->ahead_elements == 1 ? "" : "s");
    else if (s->ahead != 0)
        fprintf(to, "%s's stream is %ld draw%s %s from the start; with that offset it agrees. ",
                who, labs(s->ahead), labs(s->ahead) == 1 ? "" : "s",
                s->ahead > 0 ? "ahead" : "behind");
}

/* Both streams' settings are found: what differs between them is the cause. */
static bool decide_by_settings(struct case_file *c)
{
    const struct csm_explanation *ea = &c->explained[0], *eb = &c->explained[1];
    if (!ea->is_explained || !eb->is_explained)
        return false;
    const struct csm_settings *a = &ea->settings, *b = &eb->settings;
    bool warp = same_warp(a, b), arithmetic = same_arithmetic(a, b), noise = same_noise(a, b);
    bool is_mlx = (a->stream == CSM_STREAM_MLX) != (b->stream == CSM_STREAM_MLX);
    if (is_mlx) /* an mlx stream has an mlx sampler: the stream is the cause */
        arithmetic = true;
    if ((warp && arithmetic && noise) || is_same_in_effect(c))
        return false;
    fprintf(c->text, "Drawn again from the captured logits, %zu of %zu draws of A and %zu of %zu "
                     "of B come out. ",
            ea->result.n_hits, ea->result.n, eb->result.n_hits, eb->result.n);
    size_t part = a->temperature[0] != b->temperature[0] || a->top_k[0] != b->top_k[0] ? 0 : 1;
    double confidence = ea->result.n_hits == ea->result.n && eb->result.n_hits == eb->result.n &&
                                eb->result.n >= 16
                            ? 0.99
                            : 0.9;
    if (ea->is_greedy != eb->is_greedy) {
        decide(c, CSM_VERDICT_SAMPLER, "greedy", confidence);
        fprintf(c->text, "%s takes the most probable code each time, %s draws. ",
                ea->is_greedy ? "A" : "B", ea->is_greedy ? "B" : "A");
    } else if (a->temperature[part] != b->temperature[part]) {
        decide(c, CSM_VERDICT_SAMPLER, "temperature", confidence);
        fprintf(c->text, "A was drawn at temperature %g, B at temperature %g. ",
                a->temperature[part], b->temperature[part]);
        if (a->top_k[part] != b->top_k[part])
            fprintf(c->text, "Top-k differs too: %zu against %zu. ", a->top_k[part],
                    b->top_k[part]);
    } else if (!warp) {
        decide(c, CSM_VERDICT_SAMPLER, "top_k", confidence);
        fprintf(c->text, "A was drawn with top-k %zu, B with top-k %zu. ", a->top_k[part],
                b->top_k[part]);
    } else if (!arithmetic && a->dtype != b->dtype) {
        decide(c, CSM_VERDICT_SAMPLER, "dtype", confidence);
        fprintf(c->text, "A's softmax and race were computed in %s, as %s does; B's in %s, as %s "
                         "(dtype). ",
                csm_dtype_name(a->dtype), csm_sampler_name(a->sampler), csm_dtype_name(b->dtype),
                csm_sampler_name(b->sampler));
    } else if (!arithmetic && a->sampler != b->sampler) {
        decide(c, CSM_VERDICT_SAMPLER, "sampler", confidence);
        fprintf(c->text, "A has the arithmetic of %s, B that of %s (the order of steps). ",
                csm_sampler_name(a->sampler), csm_sampler_name(b->sampler));
    } else if (!arithmetic) {
        decide(c, CSM_VERDICT_SAMPLER, "mlx_version", confidence);
        fprintf(c->text, "A is drawn as MLX %s does, B as MLX %s. ",
                a->mlx_version[0] != '\0' ? a->mlx_version : "of the newest known version",
                b->mlx_version[0] != '\0' ? b->mlx_version : "of the newest known version");
    } else if (a->stream != b->stream) {
        decide(c, CSM_VERDICT_NOISE, "stream", confidence);
        fprintf(c->text, "A's noise comes from %s, B's from %s. ", csm_stream_name(a->stream),
                csm_stream_name(b->stream));
    } else if (a->seed != b->seed) {
        decide(c, CSM_VERDICT_NOISE, "seed", confidence);
        fprintf(c->text, "A has seed %" PRIu64 ", B has seed %" PRIu64 ". ", a->seed, b->seed);
    } else {
        decide(c, CSM_VERDICT_NOISE, "stream_offset", confidence);
        tell_offset(c->text, a, "A");
        tell_offset(c->text, b, "B");
    }
    if (c->out->verdict == CSM_VERDICT_SAMPLER && a->seed != b->seed)
        fprintf(c->text, "Seeds differ too: %" PRIu64 " against %" PRIu64 ". ", a->seed, b->seed);
    bool is_claimed = same_warp(a, &c->claimed[0]) && same_warp(b, &c->claimed[1]) &&
                      same_arithmetic(a, &c->claimed[0]) && same_arithmetic(b, &c->claimed[1]) &&
                      same_noise(a, &c->claimed[0]) && same_noise(b, &c->claimed[1]);
    fputs(is_claimed ? "The files' metadata says the same. "
                     : "The files' metadata says otherwise. ",
          c->text);
    return true;
}

/* ---- logits -------------------------------------------------------------------------- */

static bool do_logits_differ(const struct csm_logit_difference *l)
{
    return l->is_known && (20 * l->n_beyond > l->n_rows || l->relative_last > 2 * l->limit);
}

/* Name the fault from hidden states. */
static bool name_by_hidden(struct case_file *c)
{
    const struct csm_hidden_difference *h = &c->hidden;
    if (!h->is_known || (h->first == NULL && !h->is_gradual))
        return false;
    if (h->is_gradual && !(h->first != NULL && h->relative > 0.5)) {
        decide(c, CSM_VERDICT_LOGITS, says_quantized(c) ? "quantization" : "precision", 0.9);
        fprintf(c->text,
                "Hidden states differ from the first tensor on and by little more from layer to "
                "layer: %s, not one faulty layer. ",
                says_quantized(c) ? "quantized weights (4-bit or 8-bit against full)"
                                  : "weights or arithmetic of another precision, such as 4-bit");
        return true;
    }
    c->out->first_layer = h->first;
    fprintf(c->text, "The first tensor that differs is %s (by %.2g of its size; before it %.1g)",
            h->first, h->relative, h->before);
    bool is_layer0 = strstr(h->first, "layer0") != NULL;
    bool is_embedding = strcmp(h->first, "inputs_embeds") == 0;
    if (is_layer0 && h->is_first_position_equal) {
        decide(c, CSM_VERDICT_LOGITS, "rotation", 0.9);
        fputs(", and there position 0 agrees, which no rotation moves: the rotary embedding "
              "(interleaved pairs against halves, its base or scaling), or q and k of this "
              "layer. ",
              c->text);
    } else if (strcmp(h->first, "logits") == 0) {
        decide(c, CSM_VERDICT_LOGITS, "head", 0.9);
        fputs(": the heads, or which codebook's head is taken (codebook off by one). ", c->text);
    } else if (strcmp(h->first, "depth.proj") == 0 && h->is_first_position_equal) {
        decide(c, CSM_VERDICT_LOGITS, "codebook", 0.9);
        fputs(", and its position 0 agrees: the embedding of the code before, most likely its "
              "codebook's offset (codebook off by one). ",
              c->text);
    } else if (is_embedding && h->is_prompt_equal) {
        decide(c, CSM_VERDICT_LOGITS, "codebook", 0.9);
        fputs(", and the prompt agrees: the embedding of codes drawn, most likely the codebooks' "
              "offsets (codebook off by one). ",
              c->text);
    } else if (is_embedding && (says_quantized(c) || h->relative < 0.3)) {
        decide(c, CSM_VERDICT_LOGITS, "quantization", says_quantized(c) ? 0.95 : 0.7);
        fputs(": the embedding tables are near one another and not equal, as quantized ones are "
              "(4-bit or 8-bit against full). ",
              c->text);
    } else if (is_embedding) {
        decide(c, CSM_VERDICT_LOGITS, "prompt", 0.9);
        fputs(": another prompt (text, speaker, tokenizer, context), or the embedding tables. ",
              c->text);
    } else {
        decide(c, CSM_VERDICT_LOGITS, "layer", 0.9);
        fputs(": a weight or an operation of this layer. ", c->text);
    }
    return true;
}

static void name_by_logits(struct case_file *c)
{
    const struct csm_logit_difference *l = &c->logits;
    size_t columns = c->a->n_codebooks, frame = l->first_beyond / columns;
    size_t codebook = l->first_beyond % columns;
    if (metadata_differs(c, "text") || metadata_differs(c, "speaker")) {
        decide(c, CSM_VERDICT_LOGITS, "prompt", 0.95);
        fputs("The files tell of different texts or speakers. ", c->text);
    } else if (says_quantized(c)) {
        decide(c, CSM_VERDICT_LOGITS, "quantization", 0.9);
        fprintf(c->text, "The weights are %s in A and %s in B, and quantization gives such a "
                         "difference. ",
                precision_of(c->a) != NULL ? precision_of(c->a) : "of unknown precision",
                precision_of(c->b) != NULL ? precision_of(c->b) : "of unknown precision");
    } else if (frame == 0 && codebook == 1 && l->correlation < 0.5) {
        decide(c, CSM_VERDICT_LOGITS, "codebook", 0.7);
        fputs("The backbone agrees, and the depth decoder's first logits have nothing in common: "
              "most likely a codebook off by one, in the code's embedding or in the choice of the "
              "head. ",
              c->text);
    } else if (codebook == 1 && frame == 0) {
        decide(c, CSM_VERDICT_LOGITS, "depth", 0.8);
        fputs("The backbone agrees: the fault is in the depth decoder (a layer, its rotation, a "
              "codebook off by one). ",
              c->text);
    } else if (frame == 1 && codebook == 0) {
        decide(c, CSM_VERDICT_LOGITS, "codebook", 0.6);
        fputs("The whole first frame agrees: the fault is in how codes go back to the backbone "
              "(their embedding, most likely a codebook off by one), or in its positions or "
              "cache. ",
              c->text);
    } else if (frame == 0 && codebook == 0) {
        decide(c, CSM_VERDICT_LOGITS, "backbone", 0.7);
        fprintf(c->text, "They differ from the first row on: the prompt or the backbone (%s). ",
                l->relative_first > 0.5
                    ? "by so much that rotation, layout of the weights or the prompt come to mind"
                    : "a perturbed layer, or weights of lower precision such as 4-bit");
    } else {
        decide(c, CSM_VERDICT_LOGITS, "unknown", 0.6);
        fprintf(c->text, "They part at frame %zu, codebook %zu, and agree before. ", frame,
                codebook);
    }
    fputs("Hidden states on both sides would name the layer. ", c->text);
}

static bool decide_by_logits(struct case_file *c)
{
    const struct csm_logit_difference *l = &c->logits;
    if (!do_logits_differ(l))
        return false;
    fprintf(c->text,
            "The logits differ by %.2g of their spread (at most %.3g), where rounding explains "
            "%.1g: the models compute different things. ",
            fmax(l->relative, l->relative_last), l->largest, l->limit);
    if (!name_by_hidden(c))
        name_by_logits(c);
    return true;
}

/* The noise is not known, but codes under their logits show the temperature. */
static bool decide_by_fit(struct case_file *c)
{
    const csm_stream_stats *stats = c->analysis->stats;
    for (size_t part = 0; part < 2; part++) {
        const csm_sampler_fit *a = &stats[0].fit[part], *b = &stats[1].fit[part];
        if (!a->has_fit || !b->has_fit)
            continue;
        double error = sqrt(a->error * a->error + b->error * b->error);
        if (fabs(a->temperature - b->temperature) > 4 * error) {
            decide(c, CSM_VERDICT_SAMPLER, "temperature", 0.9);
            fprintf(c->text,
                    "Given their logits, A's codes are most probable at temperature %.3f "
                    "(+-%.3f), B's at %.3f (+-%.3f). ",
                    a->temperature, a->error, b->temperature, b->error);
            return true;
        }
    }
    return false;
}

/* ---- noise, without logits ------------------------------------------------------------ */

static csm_status find_steps(struct case_file *c, const csm_analyze_options *options,
                             csm_error *err)
{
    const csm_tokens *sides[2] = {c->a, c->b};
    csm_status status = CSM_OK;
    for (size_t i = 0; i < 2 && status == CSM_OK && c->has_settings; i++)
        if (sides[i]->logits.data == NULL && !options->without_replay && c->out->first.exists)
            status = csm_noise_step_find(sides[i], c->analysis->stats[i].vocab, &c->claimed[i],
                                         c->has_seed[i], &c->step[i], err);
    return status;
}

static bool decide_by_steps(struct case_file *c)
{
    const struct csm_noise_step *a = &c->step[0], *b = &c->step[1];
    if (!a->is_known || !b->is_known)
        return false;
    /* one of them is known to be in step, else nothing is known of the vocabulary */
    bool a_known = a->is_in_step || a->is_elsewhere, b_known = b->is_in_step || b->is_elsewhere;
    if (!a_known && !b_known)
        return false;
    if (a->seed == b->seed && a->ahead == b->ahead && a->stream == b->stream && a_known && b_known)
        return false;
    for (size_t i = 0; i < 2; i++) {
        const struct csm_noise_step *s = &c->step[i];
        const char *who = i == 0 ? "A" : "B";
        if (s->is_in_step)
            fprintf(c->text, "%s's codes lie where the noise of %s, seed %" PRIu64 ", is small: "
                             "they were drawn with it. ",
                    who, csm_stream_name(s->stream), s->seed);
        else if (s->is_elsewhere && s->ahead != 0)
            fprintf(c->text, "%s's stream is %ld draw%s ahead; with that offset it agrees. ", who,
                    s->ahead, s->ahead == 1 ? "" : "s");
        else if (s->is_elsewhere)
            fprintf(c->text, "%s was drawn with %s, seed %" PRIu64 ", not as its metadata says. ",
                    who, csm_stream_name(s->stream), s->seed);
        else
            fprintf(c->text, "%s's codes were not drawn with the noise that its metadata names. ",
                    who);
    }
    decide(c, CSM_VERDICT_NOISE,
           !a_known || !b_known    ? "unknown"
           : a->stream != b->stream ? "stream"
           : a->seed != b->seed     ? "seed"
                                    : "stream_offset",
           a_known && b_known ? 0.95 : 0.85);
    return true;
}

/* ---- rounding --------------------------------------------------------------------------- */

/* The coarser arithmetic of both, by the files' word; bf16 if nobody says. */
static enum csm_grain claimed_grain(const struct case_file *c)
{
    enum csm_grain grain = CSM_GRAIN_F32;
    const csm_tokens *sides[2] = {c->a, c->b};
    for (size_t i = 0; i < 2; i++) {
        const char *name = precision_of(sides[i]);
        if (name == NULL || strncasecmp(name, "bf", 2) == 0 || is_quantized(name) ||
            strcmp(name, "stored") == 0)
            return CSM_GRAIN_BF16;
        if (strcasecmp(name, "f16") == 0 || strcasecmp(name, "float16") == 0)
            grain = CSM_GRAIN_F16;
    }
    return grain;
}

/* By how much rounding of that grain moves a race: five standard deviations. */
static double race_limit(enum csm_grain grain)
{
    return grain == CSM_GRAIN_BF16 ? 0.5 : grain == CSM_GRAIN_F16 ? 0.08 : 0.005;
}

static bool decide_rounding_by_logits(struct case_file *c)
{
    const csm_divergence *d = &c->out->first;
    const struct csm_logit_difference *l = &c->logits;
    if (!l->is_known || l->largest == 0)
        return false;
    double temperature = temperature_at(c->a, d->codebook);
    bool is_small = isnan(d->margin_a) || d->margin_a <= 2.5 * l->largest / temperature;
    bool is_replayed = c->explained[0].is_explained && c->explained[1].is_explained;
    if (!is_small && !is_replayed)
        return false;
    decide(c, CSM_VERDICT_ROUNDING, "rounding", is_replayed ? 0.99 : 0.9);
    fprintf(c->text, "Logits agree to %.2g of their spread (at most %.3g), which is rounding",
            l->relative, l->largest);
    if (!isnan(d->margin_a))
        fprintf(c->text, ", and this draw was won by a margin of only %.3g", d->margin_a);
    if (!isnan(d->shift))
        fprintf(c->text, "; the logits moved the race by %.3g", d->shift);
    fputs(". ", c->text);
    if (is_replayed)
        fputs("Both streams come out of their own logits under the same settings. ", c->text);
    return true;
}

/* ---- margins and probabilities ------------------------------------------------------- */

struct pairs { /* of the draws before the divergence */
    size_t n_margins, n_probs;
    double margin_median;   /* |difference| */
    double prob_median;     /* |difference of logarithms| */
    double prob_sign;       /* share of the more frequent sign */
    double prob_correlation; /* of log p in a, and its difference to b */
};

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static csm_status compare_pairs(const struct case_file *c, struct pairs *out, csm_error *err)
{
    memset(out, 0, sizeof *out);
    const csm_tokens *a = c->a, *b = c->b;
    size_t columns = c->out->n_codebooks;
    double *values = malloc((c->until + 1) * sizeof *values);
    if (values == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "comparison: out of memory");
    for (size_t i = 0; i < c->until && a->margins != NULL && b->margins != NULL; i++) {
        double x = per_draw(a->margins, a, i / columns, i % columns);
        double y = per_draw(b->margins, b, i / columns, i % columns);
        if (isfinite(x) && isfinite(y))
            values[out->n_margins++] = fabs(x - y);
    }
    if (out->n_margins != 0) {
        qsort(values, out->n_margins, sizeof *values, ascending);
        out->margin_median = values[out->n_margins / 2];
    }
    double sx = 0, sy = 0, sxx = 0, syy = 0, sxy = 0;
    size_t n = 0, n_up = 0, n_down = 0;
    for (size_t i = 0; i < c->until && a->probs != NULL && b->probs != NULL; i++) {
        double p = per_draw(a->probs, a, i / columns, i % columns);
        double q = per_draw(b->probs, b, i / columns, i % columns);
        if (!(p > 0) || !(q > 0) || p > 2 || q > 2)
            continue;
        double x = log(p), y = log(q) - log(p);
        values[n++] = fabs(y);
        n_up += y > 0;
        n_down += y < 0;
        sx += x;
        sy += y;
        sxx += x * x;
        syy += y * y;
        sxy += x * y;
    }
    out->n_probs = n;
    if (n != 0) {
        qsort(values, n, sizeof *values, ascending);
        out->prob_median = values[n / 2];
        out->prob_sign = (double)(n_up > n_down ? n_up : n_down) / (double)n;
        double count = (double)n, vx = sxx - sx * sx / count, vy = syy - sy * sy / count;
        out->prob_correlation = vx > 0 && vy > 0 ? (sxy - sx * sy / count) / sqrt(vx * vy) : 0;
    }
    free(values);
    return CSM_OK;
}

static bool decide_by_claims(struct case_file *c);

static bool decide_by_margins(struct case_file *c, const struct pairs *p)
{
    const csm_divergence *d = &c->out->first;
    enum csm_grain grain = claimed_grain(c);
    double limit = race_limit(grain);
    double needed = d->margin_a + d->margin_b; /* what lets B win by its margin where A did */
    double margin_one = !isnan(needed) ? NAN : isnan(d->margin_a) ? d->margin_b : d->margin_a;
    enum { FEW = 4 };
    if (isnan(needed) && isnan(margin_one) && p->n_margins == 0 && p->n_probs < FEW)
        return false;
    if (p->n_margins >= FEW)
        fprintf(c->text, "Margins of the %zu draws before differ by %.2g (median). ", p->n_margins,
                p->margin_median);

    if (c->has_other_grain) {
        decide(c, CSM_VERDICT_SAMPLER, "dtype", 0.9);
        fputs("The probabilities of one side are bf16 numbers, of the other float32: the softmax "
              "has another dtype. ",
              c->text);
        return true;
    }
    if (p->n_margins >= FEW && p->margin_median > limit / 3) {
        /* the races before were other races, though the same codes won */
        if (p->n_probs >= FEW && p->prob_median <= limit / 5) {
            decide(c, CSM_VERDICT_NOISE,
                   metadata_differs(c, "seed")     ? "seed"
                   : metadata_differs(c, "stream") ? "stream"
                                                   : "stream_offset",
                   0.85);
            fputs("The probabilities agree: same logits, other noise. ", c->text);
            return true;
        }
        if (decide_by_claims(c))
            return true;
        if (p->n_probs >= 16 && p->prob_correlation > 0.6) {
            decide(c, CSM_VERDICT_SAMPLER, "temperature", 0.7);
            fputs("Probable codes are more probable in B and rare ones rarer: another "
                  "temperature. ",
                  c->text);
            return true;
        }
        if (p->n_probs >= 16 && p->prob_correlation < -0.6) {
            decide(c, CSM_VERDICT_SAMPLER, "temperature", 0.7);
            fputs("Probable codes are less probable in B and rare ones less rare: another "
                  "temperature. ",
                  c->text);
            return true;
        }
        decide(c, CSM_VERDICT_LOGITS, says_quantized(c) ? "quantization" : "unknown", 0.7);
        fputs("The races before were others although the same codes won them: the logits differ "
              "by more than rounding. ",
              c->text);
        return true;
    }
    if (p->n_margins >= FEW && p->n_probs >= 16 && p->prob_sign >= 0.9 &&
        p->margin_median <= 1e-3 && p->prob_median > 5e-4) {
        decide(c, CSM_VERDICT_SAMPLER, "top_k", 0.85);
        fputs("The margins agree while all probabilities are shifted one way: another top-k. ",
              c->text);
        return true;
    }
    bool is_close = needed <= limit || margin_one <= limit / 2;
    if (is_close && says_quantized(c)) {
        decide(c, CSM_VERDICT_LOGITS, "quantization", 0.8);
        fputs("A close race, and by the files' own word the weights are quantized differently: "
              "that moves logits by more than rounding. ",
              c->text);
        return true;
    }
    if (is_close) {
        decide(c, CSM_VERDICT_ROUNDING, "rounding", p->n_margins >= FEW ? 0.9 : 0.7);
        fprintf(c->text, "This draw was won by %.3g in %s", isnan(needed) ? margin_one : d->margin_a,
                isnan(needed) && isnan(d->margin_a) ? "B" : "A");
        if (!isnan(needed))
            fprintf(c->text, " and by %.3g in B", d->margin_b);
        fputs(": a race so close turns on rounding. ", c->text);
        return true;
    }
    if (decide_by_claims(c))
        return true;
    if (isnan(needed) || p->n_margins < FEW)
        return false;
    decide(c, CSM_VERDICT_NOISE, "stream_offset", 0.5);
    fprintf(c->text,
            "Up to here the races agree, and then one with margins %.3g and %.3g turns: the "
            "stream slips, or a mask differs (top-k). Logits on both sides would tell. ",
            d->margin_a, d->margin_b);
    return true;
}

/* ---- what the files say -------------------------------------------------------------- */

/* Numbers written in two ways are one. */
static bool setting_differs(const struct case_file *c, const char *key)
{
    if (!metadata_differs(c, key))
        return false;
    double a = csm_tokens_number(c->a, key, NAN), b = csm_tokens_number(c->b, key, NAN);
    return isnan(a) || isnan(b) || a != b;
}

static bool decide_by_claims(struct case_file *c)
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
        if (!setting_differs(c, rules[i].key))
            continue;
        bool is_weights = strcmp(rules[i].key, "dtype") == 0 ||
                          strcmp(rules[i].key, "precision") == 0;
        bool quantized = is_weights && says_quantized(c);
        decide(c, quantized ? CSM_VERDICT_LOGITS : rules[i].verdict,
               quantized ? "quantization" : rules[i].cause, 0.7);
        fprintf(c->text, "By the files' own word the %s differs: %.60s against %.60s. ",
                quantized ? "quantization" : rules[i].words,
                metadata_or(c->a, rules[i].key, ""), metadata_or(c->b, rules[i].key, ""));
        return true;
    }
    return false;
}

/* ---- codes alone ------------------------------------------------------------------------ */

static void decide_by_codes(struct case_file *c)
{
    const csm_comparison *out = c->out;
    const csm_divergence *d = &out->first;
    /* Chance that streams out of step agree so long: agreement after the divergence. */
    size_t columns = out->n_codebooks, n = 0, n_equal = 0;
    for (size_t f = d->frame + 1; f < out->n_frames; f++)
        for (size_t k = 0; k < columns; k++) {
            n++;
            n_equal += c->a->codes[f * c->a->n_codebooks + k] ==
                       c->b->codes[f * c->b->n_codebooks + k];
        }
    double chance = ((double)n_equal + 1) / ((double)n + 4);
    bool was_in_step = (double)d->n_equal * log(chance) < log(1e-3);
    const struct csm_noise_step *a = &c->step[0], *b = &c->step[1];
    bool is_same_noise = a->is_in_step && b->is_in_step && a->seed == b->seed &&
                         a->stream == b->stream;
    if (is_same_noise && !was_in_step) {
        decide(c, CSM_VERDICT_LOGITS, "unknown", 0.7);
        fprintf(c->text,
                "Both were drawn with the noise that they name (%s, seed %" PRIu64 "), and part "
                "after %zu draws: the logits or the sampler's settings differ. ",
                csm_stream_name(a->stream), a->seed, d->n_equal);
        fputs("Save logits on both sides (--save-logits) for a firm verdict. ", c->text);
        return;
    }
    if (was_in_step && d->n_equal >= 100) {
        decide(c, CSM_VERDICT_ROUNDING, "rounding", 0.5);
        fprintf(c->text,
                "Streams out of step would not agree for %zu draws, so noise and sampler are the "
                "same, and logits that far off part earlier: most likely rounding. ",
                d->n_equal);
    } else if (was_in_step) {
        decide(c, CSM_VERDICT_LOGITS, "unknown", 0.4);
        fprintf(c->text,
                "Streams out of step would not agree for %zu draws: the noise is the same, and the "
                "logits or the sampler differ. ",
                d->n_equal);
    } else if (out->is_alike) {
        decide(c, CSM_VERDICT_NOISE, "unknown", 0.5);
        fprintf(c->text,
                "The codes agree no longer than by chance, and their distributions are alike (p = "
                "%.3g): most likely another seed, or streams out of step. ",
                out->all.p_value);
    } else {
        decide(c, CSM_VERDICT_LOGITS, "unknown", 0.5);
        fprintf(c->text,
                "The codes agree no longer than by chance, and their distributions differ (p = "
                "%.3g): the models or the sampler's settings differ. ",
                out->all.p_value);
    }
    fputs("Codes alone tell no more; save margins and logits (--save-logits) for a firm verdict. ",
          c->text);
}

static bool decide_by_shift(struct case_file *c)
{
    struct csm_code_shift s = csm_code_shift_find(c->a, c->b);
    if (!s.is_shifted || c->out->all.agreement > 0.5)
        return false;
    if (s.codebooks != 0) {
        decide(c, CSM_VERDICT_LOGITS, "codebook", 0.99);
        fprintf(c->text, "Codebook off by %d: B's codebook k holds what A's codebook k%+d does. ",
                abs(s.codebooks), -s.codebooks);
    } else if (s.frames != 0) {
        decide(c, CSM_VERDICT_LOGITS, "frame_offset", 0.99);
        fprintf(c->text, "Frames off by %d: B's frame f holds what A's frame f%+d does. ",
                abs(s.frames), -s.frames);
    } else {
        decide(c, CSM_VERDICT_LOGITS, "code_offset", 0.99);
        fprintf(c->text, "Each code of B is A's %+d. ", s.codes);
    }
    fprintf(c->text, "%.0f %% of the codes agree so. ", 100 * s.agreement);
    return true;
}

/* True if exactly one side's probabilities all end where bf16 does. */
static bool have_other_grain(const csm_tokens *a, const csm_tokens *b)
{
    const csm_tokens *sides[2] = {a, b};
    bool is_bf16[2];
    for (size_t i = 0; i < 2; i++) {
        size_t n = sides[i]->n_frames * sides[i]->n_codebooks;
        is_bf16[i] = true;
        if (sides[i]->probs == NULL || n < 8)
            return false;
        for (size_t j = 0; j < n && is_bf16[i]; j++) {
            uint32_t bits;
            memcpy(&bits, &sides[i]->probs[j], sizeof bits);
            is_bf16[i] = (bits & 0xffff) == 0;
        }
    }
    return is_bf16[0] != is_bf16[1];
}

/* ---- the whole ---------------------------------------------------------------------------- */

static csm_status deliberate(struct case_file *c, csm_error *err)
{
    if (!c->out->first.exists) {
        decide(c, CSM_VERDICT_SAME, "none", 1);
        fprintf(c->text, "All %zu codes of %zu frames are equal. ",
                c->out->n_frames * c->out->n_codebooks, c->out->n_frames);
        if (c->a->n_frames != c->b->n_frames)
            fprintf(c->text, "%s was cut by its length limit there. ",
                    c->a->n_frames < c->b->n_frames ? "A" : "B");
        if (do_logits_differ(&c->logits))
            fprintf(c->text, "The logits differ by %.2g of their spread all the same. ",
                    c->logits.relative);
        return CSM_OK;
    }
    tell_place(c);
    if (decide_by_shift(c) || decide_by_logits(c) || decide_by_settings(c) ||
        decide_rounding_by_logits(c))
        return CSM_OK;
    if (c->logits.is_known && decide_by_fit(c))
        return CSM_OK;
    struct pairs pairs;
    csm_status status = compare_pairs(c, &pairs, err);
    if (status != CSM_OK)
        return status;
    if (c->logits.is_known)
        fputs("The logits agree. ", c->text);
    c->has_other_grain = have_other_grain(c->a, c->b);
    /* settings that differ by the files' word count for more than noise that does too */
    bool says_sampler = setting_differs(c, "temperature") || setting_differs(c, "topk") ||
                        setting_differs(c, "depth_temperature") || setting_differs(c, "depth_topk");
    if (!says_sampler && decide_by_steps(c))
        return CSM_OK;
    if (decide_by_margins(c, &pairs) || decide_by_claims(c))
        return CSM_OK;
    if (c->logits.is_known) {
        bool is_one = c->explained[0].is_explained != c->explained[1].is_explained;
        decide(c, CSM_VERDICT_NOISE, is_one ? "seed" : "unknown", is_one ? 0.8 : 0.6);
        if (is_one)
            fprintf(c->text,
                    "Drawn again from their logits, %s's codes come out and %s's do not, under "
                    "no setting, offset or seed tried: drawn with another seed. ",
                    c->explained[0].is_explained ? "A" : "B",
                    c->explained[0].is_explained ? "B" : "A");
        else
            fputs("The draws come from other noise: a stream or seed that the files do not "
                  "name. ",
                  c->text);
        return CSM_OK;
    }
    decide_by_codes(c);
    return CSM_OK;
}

csm_status csm_verdict_find(csm_analysis *analysis, const csm_analyze_options *options,
                            csm_error *err)
{
    csm_comparison *out = &analysis->comparison;
    struct case_file c = {.a = analysis->a, .b = analysis->b, .analysis = analysis, .out = out};
    char *text = NULL;
    size_t size = 0;
    out->logit_error = out->logit_relative = NAN;
    find_divergence(&c);

    /* With logits on both sides, rows up to the divergence are comparable. */
    size_t n_rows = c.until + (out->first.exists && out->first.frame < out->n_frames);
    csm_status status = csm_logits_compare(c.a, c.b, n_rows, &c.logits, err);
    if (status != CSM_OK)
        return status;
    if (c.logits.is_known) {
        out->logit_error = c.logits.largest;
        out->logit_relative = c.logits.relative;
        out->n_logit_rows = c.logits.n_rows;
    }
    if (out->n_codebooks == c.a->n_codebooks && out->n_codebooks == c.b->n_codebooks) {
        enum csm_grain grain = c.logits.is_known
                                   ? (c.logits.limit > 0.02    ? CSM_GRAIN_BF16
                                      : c.logits.limit > 0.001 ? CSM_GRAIN_F16
                                                               : CSM_GRAIN_F32)
                                   : claimed_grain(&c);
        size_t until = c.until != 0 && !out->first.exists ? c.until - 1 : c.until;
        csm_hidden_compare(c.a, c.b, until, c.logits.is_known ? c.logits.relative_last : 0, grain,
                           &c.hidden);
    }
    bool has_logits = c.a->logits.data != NULL || c.b->logits.data != NULL;
    bool has_margins = c.a->margins != NULL && c.b->margins != NULL;
    out->evidence = c.hidden.is_known ? "codes+logits+hidden"
                    : has_logits      ? "codes+logits"
                    : has_margins     ? "codes+margins"
                                      : "codes";
    if ((status = replay_both(&c, options, err)) != CSM_OK)
        return status;

    if ((status = find_steps(&c, options, err)) != CSM_OK)
        return status;

    if ((c.text = open_memstream(&text, &size)) == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "comparison: out of memory");
    status = deliberate(&c, err);
    if (fclose(c.text) != 0 && status == CSM_OK)
        status = csm_fail(err, CSM_NO_MEMORY, "comparison: out of memory");
    if (status != CSM_OK) {
        free(text);
        return status;
    }
    while (size > 0 && text[size - 1] == ' ')
        text[--size] = '\0';
    out->explanation = text;
    out->holds = out->verdict == CSM_VERDICT_SAME || out->verdict == CSM_VERDICT_ROUNDING;
    return CSM_OK;
}
