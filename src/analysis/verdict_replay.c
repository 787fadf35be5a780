/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict_replay.c - draws made again from their logits: what differs between the
 * settings that explain either side is the cause. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/verdict_case.h"
#include "base/numbers.h"

/* Settings under which a side with logits of its own was drawn, where both have logits. */
static const struct csm_settings *settings_known(const struct csm_case *c)
{
    if (c->a->logits.data == NULL || c->b->logits.data == NULL ||
        c->a->n_codebooks != c->b->n_codebooks || c->a->vocab != c->b->vocab)
        return NULL;
    for (size_t i = 0; i < 2; i++)
        if (c->explained[i].is_explained)
            return &c->explained[i].settings;
    return NULL;
}

csm_status csm_case_replay(struct csm_case *c, const csm_analyze_options *options, csm_error *err)
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
        status = csm_replay_explain(&replay, &c->claimed[i], c->has_seed[i], replay.logits == own,
                                    hint, &c->explained[i], err);
    }
    const struct csm_settings *settings = settings_known(c);
    for (size_t i = 0; i < 2 && status == CSM_OK && settings != NULL; i++)
        if (c->out->first.frame < sides[i]->n_frames)
            status = csm_replay_race(sides[i], settings, c->until, &c->race[i], err);
    return status;
}

bool csm_rule_same_noise(struct csm_case *c)
{
    const struct csm_settings *settings = settings_known(c);
    if (settings == NULL)
        return false;
    const bool is_b = settings == &c->explained[0].settings; /* whose draws are held against them */
    const csm_tokens *other = is_b ? c->b : c->a;
    const struct csm_replay replay = {
        .codes = other, .logits = other, .n_draws = other->n_frames * other->n_codebooks};
    struct csm_noise_hits hits;
    if (csm_replay_hits(&replay, settings, &hits, NULL) != CSM_OK || hits.z < 6 ||
        hits.n_hits == hits.n)
        return false;
    csm_case_decide(c, CSM_VERDICT_SAMPLER, "unknown", 0.8);
    csm_print(c->text,
              "Drawn again from its logits with %s's settings, %zu of %zu draws of %s come out, far "
              "more than with other noise: the noise is the same, and the sampler differs",
              is_b ? "A" : "B", hits.n_hits, hits.n, is_b ? "B" : "A");
    if (hits.is_one_codebook)
        csm_print(c->text, ", in draws of codebook %zu alone", hits.codebook);
    else if (hits.n_parts_missed == 1)
        fputs(", in draws of the depth decoder alone", c->text);
    fputs(" (a setting that was not tried, a penalty, a mask, another softmax). ", c->text);
    return true;
}

/* What leaves improbable codes out, but for top-k: cause, words, and the two values of the first
 * that differs; NULL where none does. */
static const char *other_cut(const struct csm_settings *a, const struct csm_settings *b,
                             const char **words, double values[2])
{
    for (size_t part = 0; part < 2; part++) {
        const csm_cutoffs *ca = &a->cutoffs[part], *cb = &b->cutoffs[part];
        const struct {
            const char *cause, *words;
            double a, b;
        } each[] = {{"top_p", "top-p", a->top_p[part], b->top_p[part]},
                    {"min_p", "min-p", a->min_p[part], b->min_p[part]},
                    {"cutoff", "top-h", ca->top_h, cb->top_h},
                    {"cutoff", "typical-p", ca->typical_p, cb->typical_p},
                    {"cutoff", "an epsilon cutoff of", ca->epsilon, cb->epsilon},
                    {"cutoff", "an eta cutoff of", ca->eta, cb->eta}};
        for (size_t i = 0; i < sizeof each / sizeof *each; i++)
            if (each[i].a != each[i].b) {
                *words = each[i].words;
                values[0] = each[i].a;
                values[1] = each[i].b;
                return each[i].cause;
            }
    }
    return NULL;
}

static bool same_warp(const struct csm_settings *a, const struct csm_settings *b)
{
    const char *words;
    double values[2];
    return a->temperature[0] == b->temperature[0] && a->temperature[1] == b->temperature[1] &&
           a->top_k[0] == b->top_k[0] && a->top_k[1] == b->top_k[1] &&
           other_cut(a, b, &words, values) == NULL;
}

static bool same_arithmetic(const struct csm_settings *a, const struct csm_settings *b)
{
    return a->sampler == b->sampler && a->dtype == b->dtype &&
           strcmp(a->mlx_version, b->mlx_version) == 0;
}

static bool same_noise(const struct csm_settings *a, const struct csm_settings *b)
{
    return a->stream == b->stream && a->seed == b->seed && a->ahead == b->ahead &&
           a->ahead_outputs == b->ahead_outputs && a->slip_at == b->slip_at &&
           a->ahead_per_frame == b->ahead_per_frame && a->batch == b->batch;
}

enum { FEW_MISSES = 4 };

/* How many of b's codes do not come out under a's settings, up to FEW_MISSES. None: a difference
 * of settings is one on paper only. One or two: other settings may explain them by chance. */
static size_t misses_of_other(const struct csm_case *c)
{
    if (c->b->logits.data == NULL)
        return FEW_MISSES;
    const struct csm_replay replay = {
        .codes = c->b, .logits = c->b, .n_draws = c->b->n_frames * c->b->n_codebooks};
    struct csm_replay_result result;
    csm_status status =
        csm_replay_run(&replay, &c->explained[0].settings, FEW_MISSES - 1, &result, NULL);
    return status != CSM_OK || result.n == 0 ? FEW_MISSES : result.n - result.n_hits;
}

static void tell_offset(FILE *to, const struct csm_settings *s, const char *who)
{
    if (s->slip_at != 0)
        csm_print(to,
                "%s's stream slips by %ld draw%s at draw %zu and agrees again with that offset. ",
                who, s->ahead, s->ahead == 1 ? "" : "s", s->slip_at);
    else if (s->ahead_outputs != 0)
        csm_print(to, "%s's stream is %ld number%s of 32 bits ahead from the start. ", who,
                s->ahead_outputs, s->ahead_outputs == 1 ? "" : "s");
    else if (s->batch != 0)
        csm_print(to, "%s's noise is that of row %ld in a batch of %zu. ", who, s->ahead, s->batch);
    else if (s->ahead_per_frame < 0 && s->ahead_per_frame != -1)
        csm_print(to, "%s's stream begins anew with each frame. ", who);
    else if (s->ahead_per_frame != 0)
        csm_print(to, "%s's stream moves by %ld draw%s %s in each frame than there are codes. ", who,
                labs(s->ahead_per_frame), labs(s->ahead_per_frame) == 1 ? "" : "s",
                s->ahead_per_frame > 0 ? "more" : "fewer");
    else if (s->ahead != 0)
        csm_print(to, "%s's stream is %ld draw%s %s from the start; with that offset it agrees. ",
                who, labs(s->ahead), labs(s->ahead) == 1 ? "" : "s",
                s->ahead > 0 ? "ahead" : "behind");
}

/* Of which draws, where the temperature or top-k of the others is the same. */
static const char *part_words(const struct csm_settings *a, const struct csm_settings *b)
{
    const bool first = a->temperature[0] != b->temperature[0] || a->top_k[0] != b->top_k[0];
    const bool others = a->temperature[1] != b->temperature[1] || a->top_k[1] != b->top_k[1];
    return first == others ? "" : first ? " in codebook 0" : " in the depth decoder";
}

/* Both streams' settings are found: what differs between them is the cause. */
bool csm_rule_replay(struct csm_case *c)
{
    const struct csm_explanation *ea = &c->explained[0], *eb = &c->explained[1];
    if (!ea->is_explained || !eb->is_explained)
        return false;
    const struct csm_settings *a = &ea->settings, *b = &eb->settings;
    bool warp = same_warp(a, b), arithmetic = same_arithmetic(a, b), noise = same_noise(a, b);
    bool is_mlx = (a->stream == CSM_STREAM_MLX) != (b->stream == CSM_STREAM_MLX);
    if (is_mlx) /* an mlx stream has an mlx sampler: the stream is the cause */
        arithmetic = true;
    if (warp && arithmetic && noise)
        return false;
    const size_t n_misses = misses_of_other(c);
    if (n_misses == 0)
        return false;
    csm_print(c->text,
            "Drawn again from the captured logits, %zu of %zu draws of A and %zu of %zu "
            "of B come out. ",
            ea->result.n_hits, ea->result.n, eb->result.n_hits, eb->result.n);
    size_t part = a->temperature[0] != b->temperature[0] || a->top_k[0] != b->top_k[0] ? 0 : 1;
    const char *cut, *words;
    double values[2];
    double confidence =
        n_misses < FEW_MISSES ? 0.7
        : ea->result.n_hits == ea->result.n && eb->result.n_hits == eb->result.n && eb->result.n >= 16
            ? 0.99
            : 0.9;
    if ((a->temperature[part] == 0) != (b->temperature[part] == 0)) {
        const bool is_a = a->temperature[part] == 0;
        csm_case_decide(c, CSM_VERDICT_SAMPLER, "greedy", confidence);
        csm_print(c->text, "%s takes the most probable code each time%s, %s draws. ",
                is_a ? "A" : "B", part_words(a, b), is_a ? "B" : "A");
    } else if (a->temperature[part] != b->temperature[part]) {
        csm_case_decide(c, CSM_VERDICT_SAMPLER, "temperature", confidence);
        csm_print(c->text, "A was drawn at temperature %g, B at temperature %g%s. ",
                a->temperature[part], b->temperature[part], part_words(a, b));
        if (a->top_k[part] != b->top_k[part])
            csm_print(c->text, "Top-k differs too: %zu against %zu. ", a->top_k[part],
                    b->top_k[part]);
    } else if (a->top_k[part] == b->top_k[part] &&
               (cut = other_cut(a, b, &words, values)) != NULL) {
        csm_case_decide(c, CSM_VERDICT_SAMPLER, cut, confidence);
        csm_print(c->text, "A was drawn with %s %g, B with %g. ", words, values[0], values[1]);
    } else if (!warp) {
        csm_case_decide(c, CSM_VERDICT_SAMPLER, "top_k", confidence);
        csm_print(c->text, "A was drawn with top-k %zu, B with top-k %zu%s. ", a->top_k[part],
                b->top_k[part], part_words(a, b));
    } else if (!arithmetic && a->dtype != b->dtype) {
        csm_case_decide(c, CSM_VERDICT_SAMPLER, "dtype", confidence);
        csm_print(c->text,
                "A's softmax and race were computed in %s, as %s does; B's in %s, as %s "
                "(dtype). ",
                csm_dtype_name(a->dtype), csm_sampler_name(a->sampler), csm_dtype_name(b->dtype),
                csm_sampler_name(b->sampler));
    } else if (!arithmetic && a->sampler != b->sampler) {
        csm_case_decide(c, CSM_VERDICT_SAMPLER, "sampler", confidence);
        csm_print(c->text, "A has the arithmetic of %s, B that of %s (the order of steps). ",
                csm_sampler_name(a->sampler), csm_sampler_name(b->sampler));
    } else if (!arithmetic) {
        csm_case_decide(c, CSM_VERDICT_SAMPLER, "mlx_version", confidence);
        const char *newest = "of the newest known version";
        fputs("A is drawn as MLX ", c->text);
        csm_case_quote(c, a->mlx_version[0] != '\0' ? a->mlx_version : newest);
        fputs(" does, B as MLX ", c->text);
        csm_case_quote(c, b->mlx_version[0] != '\0' ? b->mlx_version : newest);
        fputs(". ", c->text);
    } else if (a->stream != b->stream) {
        csm_case_decide(c, CSM_VERDICT_NOISE, "stream", confidence);
        csm_print(c->text, "A's noise comes from %s, B's from %s. ", csm_stream_name(a->stream),
                csm_stream_name(b->stream));
    } else if (a->seed != b->seed) {
        csm_case_decide(c, CSM_VERDICT_NOISE, "seed", confidence);
        csm_print(c->text, "A has seed %" PRIu64 ", B has seed %" PRIu64 ". ", a->seed, b->seed);
    } else {
        csm_case_decide(c, CSM_VERDICT_NOISE, "stream_offset", confidence);
        tell_offset(c->text, a, "A");
        tell_offset(c->text, b, "B");
    }
    if (c->out->verdict == CSM_VERDICT_SAMPLER && a->seed != b->seed)
        csm_print(c->text, "Seeds differ too: %" PRIu64 " against %" PRIu64 ". ", a->seed, b->seed);
    bool is_claimed = same_warp(a, &c->claimed[0]) && same_warp(b, &c->claimed[1]) &&
                      same_arithmetic(a, &c->claimed[0]) && same_arithmetic(b, &c->claimed[1]) &&
                      same_noise(a, &c->claimed[0]) && same_noise(b, &c->claimed[1]);
    fputs(is_claimed ? "The files' metadata says the same. "
                     : "The files' metadata says otherwise. ",
          c->text);
    return true;
}
