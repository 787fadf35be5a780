/* SPDX-License-Identifier: Apache-2.0 */
#include "generate/drawing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/numbers.h"
#include "generate/code_rules.h"

/* ---- scratch ------------------------------------------------------------------ */

void csm_scratch_free(struct csm_scratch *x)
{
    if (x == NULL)
        return;
    free(x->logits);
    free(x->codes);
    free(x->feeds);
    free(x->frames);
    free(x->sequences);
    free(x->lanes);
    free(x->ready);
    free(x->group);
    free(x->asked);
    free(x->waiting);
    free(x->rows);
    free(x->heard);
    free(x->streams);
    free(x->samples);
    free(x->begun);
    free(x);
}

csm_status csm_scratch_reserve(struct csm_scratch **scratch, const csm_model *model, size_t n,
                               csm_error *err)
{
    if (*scratch != NULL && (*scratch)->n_rooms >= n)
        return CSM_OK;
    const size_t vocab = model->info.vocab;
    struct csm_scratch *x = calloc(1, sizeof *x);
    if (x != NULL) {
        *x = (struct csm_scratch){.n_rooms = n,
                                  .vocab = vocab,
                                  .n_codebooks = model->info.n_codebooks,
                                  .logits = malloc(n * vocab * sizeof(float)),
                                  .codes = malloc(n * sizeof(int32_t)),
                                  .feeds = malloc(n * sizeof *x->feeds),
                                  .frames = malloc(n * sizeof *x->frames),
                                  .sequences = malloc(n * sizeof *x->sequences),
                                  .lanes = malloc(n * sizeof *x->lanes),
                                  .ready = malloc(n * sizeof *x->ready),
                                  .group = malloc(n * sizeof *x->group),
                                  .asked = malloc(n * sizeof *x->asked),
                                  .waiting = malloc(n * sizeof *x->waiting),
                                  .rows = malloc(n * 2 * vocab * sizeof(float)),
                                  .heard = malloc(n * model->info.n_codebooks * sizeof(int32_t)),
                                  .streams = malloc(n * sizeof *x->streams),
                                  .samples = malloc(n * sizeof *x->samples),
                                  .begun = malloc(n * sizeof *x->begun)};
        if (x->logits != NULL && x->codes != NULL && x->feeds != NULL && x->frames != NULL &&
            x->sequences != NULL && x->lanes != NULL && x->ready != NULL && x->group != NULL &&
            x->asked != NULL && x->rows != NULL && x->waiting != NULL && x->heard != NULL && x->streams != NULL &&
            x->samples != NULL && x->begun != NULL) {
            csm_scratch_free(*scratch);
            *scratch = x;
            return CSM_OK;
        }
    }
    csm_scratch_free(x);
    return csm_fail(err, CSM_NO_MEMORY, "generation: %zu side by side", n);
}

/* ---- beginning and end ------------------------------------------------------------ */

csm_status csm_drawing_start(csm_generation *g, const csm_lane *shared, size_t n, csm_error *err)
{
    const size_t capacity = g->model->info.max_positions;
    csm_status st =
        shared != NULL
            ? csm_sequence_fork(&g->host->language, shared, n, capacity, &g->sequence, err)
            : csm_sequence_open(&g->host->language, capacity, &g->sequence, err);
    if (st == CSM_OK)
        csm_sequence_adapt(&g->sequence, g->adapter);
    if (st == CSM_OK && g->settings.has_sound && g->decoder.mimi == NULL)
        st = csm_mimi_decoder_open(&g->model->codec.mimi, 1, &g->decoder, err);
    if (st == CSM_OK)
        st = csm_whole_frame_open(g, err);
    if (st != CSM_OK) {
        csm_sequence_close(&g->sequence);
        return st;
    }
    g->sequence.watch = (struct csm_watch){.observe = g->observe, .user = g->user};
    g->work.n_reused = g->sequence.n_positions;
    g->is_started = true;
    return CSM_OK;
}

void csm_drawing_stop(csm_generation *g)
{
    csm_whole_frame_close(&g->whole);
    csm_sampler_close(g->guesser);
    g->guesser = NULL;
    csm_sequence_close(&g->sequence);
    csm_mimi_stream_close(&g->decoder);
    g->is_started = false;
}

/* ---- a frame ------------------------------------------------------------------------ */

size_t csm_draws_so_far(const csm_generation *g)
{
    size_t a_frame = (g->settings.first.temperature > 0.0) +
                     (g->settings.depth.temperature > 0.0) * (g->model->info.n_codebooks - 1);
    return g->n_drawn * a_frame;
}

struct csm_slot *csm_drawing_slot(const csm_generation *g)
{
    return &g->slots[g->n_sound % g->n_slots];
}

const int32_t *csm_drawing_forced(const csm_generation *g)
{
    return g->n_drawn < g->n_forced ? g->forced + g->n_drawn * g->model->info.n_codebooks : NULL;
}

/* softmax of n logits, for the reader: greedy draws have no race of their own */
static void softmax(const float *logits, size_t n, float *probs)
{
    float most = logits[0];
    for (size_t i = 1; i < n; i++)
        most = logits[i] > most ? logits[i] : most;
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += probs[i] = expf(logits[i] - most);
    for (size_t i = 0; i < n; i++)
        probs[i] = (float)(probs[i] / sum);
}

static csm_status draw(csm_sampler *sampler, const struct csm_draw_settings *how, size_t k,
                       const float *logits, size_t vocab, int32_t *code, float *margin,
                       float *probs, csm_error *err)
{
    csm_status st = CSM_OK;
    if (how->temperature == 0.0) {
        st = csm_draw_greedy(logits, 1, vocab, code, margin, err);
        if (st == CSM_OK)
            softmax(logits, vocab, probs);
        return st;
    }
    if (k <= 1) {
        csm_sampler_set_top_k(sampler, (size_t)how->top_k);
        st = csm_sampler_set_temperature(sampler, how->temperature, err);
        if (st == CSM_OK)
            st = csm_sampler_set_top_p(sampler, how->top_p, err);
        if (st == CSM_OK)
            st = csm_sampler_set_min_p(sampler, how->min_p, err);
        if (st == CSM_OK)
            st = csm_sampler_set_cutoffs(sampler, &how->cutoffs, err);
    }
    return st == CSM_OK ? csm_sampler_draw(sampler, logits, 1, vocab, code, margin, probs, err)
                        : st;
}

/* transformers tells a generate()'s first draw by the last dimension of its ids: of the prompt
 * at first, and of frames after that. Its processors see float32; the sampler then rounds
 * nothing (csm_settings_sampler). */
static void keep_rules(const csm_generation *g, const struct csm_code_rules *rules, size_t k,
                       float *logits, size_t vocab)
{
    const size_t n_codebooks = g->model->info.n_codebooks;
    if (g->settings.sampler == CSM_SAMPLER_TRANSFORMERS)
        for (size_t i = 0; i < vocab; i++)
            logits[i] = csm_round_to(g->settings.dtype, logits[i]);
    const struct csm_rule_place place = {
        .is_first = k == 1 || (k == 0 && (g->n_drawn == 0 || g->n_prompt == n_codebooks)),
        .codes = g->fed,
        .n_codes = k};
    csm_code_rules_apply(rules, &place, logits, vocab);
}

static bool leave_nothing(const float *logits, size_t vocab)
{
    for (size_t i = 0; i < vocab; i++)
        if (logits[i] != -INFINITY)
            return false;
    return true;
}

csm_status csm_drawing_draw(csm_generation *g, struct csm_slot *slot, size_t k, const float *logits,
                            float *rows, const float **out, csm_error *err)
{
    const size_t vocab = g->model->info.vocab;
    float *masked = rows + vocab;
    float *probs = slot->all_probs != NULL ? slot->all_probs + k * vocab : rows;
    if (slot->logits != NULL)
        memcpy(slot->logits + k * vocab, logits, vocab * sizeof *logits);
    const struct csm_draw_settings *how = k == 0 ? &g->settings.first : &g->settings.depth;
    const bool is_too_early = k == 0 && g->n_sound < g->settings.min_frames;
    if (is_too_early || how->rules != NULL) {
        memcpy(masked, logits, vocab * sizeof *logits);
        if (how->rules != NULL)
            keep_rules(g, how->rules, k, masked, vocab);
        if (is_too_early)
            masked[csm_checkpoint_config(g->model->checkpoint)->code_eos] = -INFINITY;
        logits = masked;
    }
    if (how->rules != NULL && leave_nothing(logits, vocab))
        return csm_fail(err, CSM_BAD_FORMAT,
                        "frame %zu, codebook %zu: the rules of generation_config.json (%s) leave no "
                        "code, expected one at least",
                        g->n_drawn, k,
                        csm_checkpoint_config(g->model->checkpoint)->generation.rule_names);
    csm_error why;
    csm_status st = draw(g->sampler, how, k, logits,
                         vocab, &slot->codes[k], &slot->margins[k], probs, &why);
    /* Weights that are no numbers show at once. */
    if (st == CSM_BAD_LOGITS && g->n_drawn == 0 &&
        !csm_checkpoint_are_numbers(g->model->checkpoint, err))
        return CSM_BAD_FILE;
    if (st == CSM_BAD_LOGITS)
        return csm_fail(err, st, "frame %zu, codebook %zu: %s", g->n_drawn, k, why.text);
    if (st != CSM_OK)
        return csm_fail(err, st, "%s", why.text);
    slot->probs[k] = probs[slot->codes[k]];
    if (out != NULL)
        *out = probs;
    return CSM_OK;
}

csm_status csm_drawing_guess_from_here(csm_generation *g, csm_error *err)
{
    if (g->sampler == NULL)
        return CSM_OK;
    csm_status st =
        g->guesser == NULL ? csm_settings_sampler(&g->settings, &g->guesser, err) : CSM_OK;
    return st == CSM_OK ? csm_stream_follow(csm_sampler_stream(g->guesser),
                                            csm_sampler_stream(g->sampler), err)
                        : st;
}

csm_status csm_drawing_guess(csm_generation *g, const float *logits, float *rows, int32_t *code,
                             csm_error *err)
{
    float margin;
    return draw(g->guesser, &g->settings.depth, 1, logits, g->model->info.vocab, code, &margin, rows,
                err);
}

/* transformers looks at all codes but the last, and what it stops at is sound if
 * the last one is not the end's; the others look at all. A frame of these alone is no sound. */
static void judge_end(csm_generation *g)
{
    const size_t n = g->model->info.n_codebooks;
    const int32_t end = csm_checkpoint_config(g->model->checkpoint)->code_eos;
    size_t n_end = 0;
    while (n_end < n && g->fed[n_end] == end)
        n_end++;
    const size_t wanted = g->settings.sampler == CSM_SAMPLER_TRANSFORMERS && n > 1 ? n - 1 : n;
    g->is_over = n_end >= wanted && g->n_drawn >= g->n_forced;
    g->is_sound = !g->is_over || n_end < n;
    g->work.has_ended = g->is_over;
}

void csm_drawing_judge(csm_generation *g)
{
    g->n_drawn++;
    g->is_begun = false;
    g->sounding = g->n_sound;
    g->unheard = CSM_OK;
    judge_end(g);
    if (g->is_sound && g->n_sound == 0)
        g->work.first_frame_ms = csm_now_ms() - g->opened_ms;
}

/* A code that the codec does not know (the language model has a few more than it) adds nothing
 * to the frame. */
bool csm_drawing_hear(csm_generation *g, int32_t *codes)
{
    const size_t n = g->model->info.n_codebooks;
    const int32_t *said = g->is_waiting ? g->prompt.codes + (g->n_prompt + g->sounding) * n : g->fed;
    g->unheard = CSM_OK;
    if (!g->is_sound)
        return false;
    for (size_t k = 0; g->settings.has_sound && k < n; k++)
        codes[k] = (size_t)said[k] < g->model->info.n_entries ? said[k] : CSM_MIMI_SILENT;
    return g->settings.has_sound;
}

float *csm_drawing_samples(const csm_generation *g)
{
    return g->slots[g->sounding % g->n_slots].samples;
}

void csm_drawing_heard(csm_generation *g, double from_ms, csm_status st, const csm_error *err)
{
    const double sound = csm_now_ms();
    g->unheard = st;
    if (st != CSM_OK)
        g->unheard_why = *err;
    else
        g->unheard = csm_mimi_check(csm_drawing_samples(g), g->model->info.frame_samples, &g->unheard_why);
    g->work.codec_ms += sound - from_ms;
    g->work.total_ms = sound - g->opened_ms;
    if (g->sounding == 0)
        g->work.first_sound_ms = sound - g->opened_ms;
}

csm_status csm_drawing_take(csm_generation *g, csm_error *err)
{
    const csm_model_info *info = &g->model->info;
    struct csm_slot *slot = csm_drawing_slot(g);
    if (g->is_sound) {
        slot->frame = (csm_frame){.generation = g,
                                  .utterance = g->utterance,
                                  .index = g->n_sound,
                                  .codes = slot->codes,
                                  .margins = slot->margins,
                                  .probs = slot->probs,
                                  .logits = slot->logits,
                                  .samples = slot->samples,
                                  .n_samples = slot->samples != NULL ? info->frame_samples : 0};
        g->n_sound++;
    }
    g->is_over = g->is_over || g->n_sound >= g->settings.max_frames;
    g->work.total_ms = csm_now_ms() - g->opened_ms;
    /* A last one, too, where its sound may have to be made once more (csm_drawing_hear). */
    return g->is_sound ? csm_prompt_append(&g->prompt, g->fed, info->n_codebooks, err) : CSM_OK;
}

void csm_drawing_watch(csm_generation *g)
{
    if (!g->settings.has_guard)
        return;
    const struct csm_slot *slot = &g->slots[g->sounding % g->n_slots];
    const int32_t code = g->prompt.codes[(g->n_prompt + g->sounding) * g->model->info.n_codebooks];
    const char *why = csm_guard_watch(&g->guard, code, slot->frame.samples, slot->frame.n_samples);
    if (why == NULL)
        return;
    g->work.guarded = why;
    g->is_over = true;
}
