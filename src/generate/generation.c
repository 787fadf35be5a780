/* SPDX-License-Identifier: Apache-2.0
 *
 * The frame loop: logits of code 0 from the backbone's last position, a draw,
 * the other codes from the depth decoder, sound; then the frame is fed back,
 * when the next one is asked for. */
#include "generate/generation.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/sized.h"
#include "generate/choose.h"
#include "generate/fallback.h"

double csm_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

void csm_generate_options_init(csm_generate_options *options)
{
    const csm_generate_options defaults = {.temperature = CSM_FROM_MODEL,
                                           .top_k = CSM_FROM_MODEL,
                                           .top_p = CSM_FROM_MODEL,
                                           .min_p = CSM_FROM_MODEL,
                                           .depth_temperature = CSM_FROM_MODEL,
                                           .depth_top_k = CSM_FROM_MODEL,
                                           .depth_top_p = CSM_FROM_MODEL,
                                           .depth_min_p = CSM_FROM_MODEL,
                                           .max_frames = 125,
                                           .n_ahead = 2};
    csm_sized_write(options, &defaults, sizeof defaults);
}

void csm_request_init(csm_request *request)
{
    const csm_request defaults = {0};
    csm_sized_write(request, &defaults, sizeof defaults);
}

static csm_status allocate(csm_generation *g, csm_error *err)
{
    size_t k = g->model->info.n_codebooks;
    size_t v = g->model->info.vocab;
    g->codes = calloc(k, sizeof *g->codes);
    g->fed = calloc(k, sizeof *g->fed);
    g->heard = calloc(k, sizeof *g->heard);
    g->margins = calloc(k, sizeof *g->margins);
    g->probs = calloc(k, sizeof *g->probs);
    g->logits = calloc(k * v, sizeof *g->logits);
    g->all_probs = calloc(k * v, sizeof *g->all_probs);
    g->samples = calloc(g->model->info.frame_samples, sizeof *g->samples);
    if (g->codes == NULL || g->fed == NULL || g->heard == NULL || g->margins == NULL ||
        g->probs == NULL || g->logits == NULL || g->all_probs == NULL || g->samples == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "generation: a frame of %zu codes", k);
    return CSM_OK;
}

static csm_status check_forced(const csm_model *model, const csm_generate_options *options,
                               csm_error *err)
{
    size_t k = model->info.n_codebooks;
    for (size_t i = 0; i < options->n_forced * k; i++)
        if (options->forced[i] < 0 || (size_t)options->forced[i] >= model->info.vocab)
            return csm_fail(err, CSM_BAD_ARG,
                            "forced frame %zu, codebook %zu: code %d, expected 0 to %zu", i / k,
                            i % k, options->forced[i], model->info.vocab - 1);
    return CSM_OK;
}

csm_status csm_check_room(const csm_model *model, size_t n_prompt, size_t max_frames,
                          csm_error *err)
{
    size_t most = model->info.max_positions;
    if (n_prompt >= most)
        return csm_fail(err, CSM_BAD_ARG,
                        "the prompt has %zu positions, expected fewer than the model's %zu: "
                        "shorten text or context",
                        n_prompt, most);
    if (max_frames > most - n_prompt)
        return csm_fail(err, CSM_BAD_ARG,
                        "%zu frames after a prompt of %zu positions, expected at most %zu "
                        "(%.0f ms): the model has %zu positions",
                        max_frames, n_prompt, most - n_prompt,
                        (double)(most - n_prompt) * model->info.frame_ms, most);
    return CSM_OK;
}

/* How much of the prompt the state has read already; at least one position is
 * left, whose hidden state begins the first frame. An observer wants them all. */
static size_t count_reusable(const csm_generation *g, const struct csm_prompt *prompt)
{
    const csm_model *m = g->model;
    if (!m->language.engine->ops->has_independent_rows || g->options.observe != NULL)
        return 0;
    size_t n = csm_prompt_shared(&m->read, prompt, m->info.n_codebooks);
    return n < prompt->n ? n : prompt->n - 1;
}

/* Sound in or out is the codec's work. */
static csm_status check_codec(const csm_model *model, const csm_turn *context, size_t n_context,
                              bool has_sound, csm_error *err)
{
    for (size_t i = 0; i < n_context; i++)
        has_sound = has_sound || context[i].codes == NULL;
    if (model->info.has_codec || !has_sound)
        return CSM_OK;
    return csm_fail(err, CSM_BAD_FILE,
                    "%s: no codec, expected codec_model.* in the weights, or mimi.safetensors or "
                    "kyutai's tokenizer-e351c8d8-checkpoint125.safetensors beside them",
                    model->path);
}

/* The prompt, `ready` or built, into the model's state, which this generation now has. */
static csm_status feed_prompt(csm_generation *g, struct csm_prompt *ready,
                              const csm_turn *context, size_t n_context, const char *text,
                              int speaker, csm_error *err)
{
    csm_model *m = g->model;
    struct csm_prompt prompt = {0};
    double start = csm_now_ms();
    csm_status st = CSM_OK;
    if (ready == NULL) {
        st = csm_prompt_build(m, context, n_context, text, speaker, &prompt, err);
    } else {
        prompt = *ready;
        *ready = (struct csm_prompt){0};
    }
    double built = csm_now_ms();
    if (st == CSM_OK)
        st = csm_check_room(m, prompt.n, g->options.max_frames, err);
    if (st == CSM_OK && m->state.language == NULL)
        st = csm_language_state_open(&m->language, 1, m->info.max_positions, &m->state, err);
    if (st != CSM_OK) {
        csm_prompt_free(&prompt);
        return st;
    }
    m->state.watch = (struct csm_watch){.observe = g->options.observe, .user = g->options.user};
    g->report.n_prompt = prompt.n;
    g->report.n_reused = count_reusable(g, &prompt);
    csm_prompt_free(&m->read);
    st = csm_language_truncate(&m->state, 0, g->report.n_reused, err);
    m->read = prompt;
    if (st == CSM_OK)
        st = csm_backbone_prompt(&m->state, 0, &m->read, g->report.n_reused, err);
    if (st != CSM_OK && csm_can_fall_back(g, st))
        st = csm_fall_back(g, st, err);
    if (st != CSM_OK)
        csm_prompt_free(&m->read);
    g->report.encode_ms = built - start;
    g->report.prompt_ms = csm_now_ms() - built;
    return st;
}

csm_status csm_generation_prepare(csm_model *model, const csm_turn *context, size_t n_context,
                                  const char *text, const csm_generate_options *options,
                                  csm_generation **out, csm_error *err)
{
    if (model->info.engine_version[0] == '\0')
        return csm_fail(err, CSM_BAD_ARG,
                        "generation: nothing is loaded, expected a model that was not opened to be "
                        "described only");
    if (text == NULL)
        return csm_fail(err, CSM_BAD_ARG, "text: none, expected one");
    csm_generation *g = calloc(1, sizeof *g);
    if (g == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "generation: %zu bytes", sizeof *g);
    g->started_ms = csm_now_ms();
    g->model = model;
    g->options = csm_generate_defaults();
    g->guard.n_text = strlen(text);

    csm_status st = CSM_OK;
    if (options != NULL)
        st = csm_sized_read(options, &g->options, sizeof g->options, "generate options", err);
    if (st == CSM_OK)
        st = csm_choose(g, err);
    if (st == CSM_OK)
        st = check_codec(model, context, n_context, !g->options.without_sound, err);
    if (st == CSM_OK)
        st = check_forced(model, &g->options, err);
    if (st == CSM_OK)
        st = allocate(g, err);
    if (st == CSM_OK && !g->options.without_sound)
        st = csm_mimi_decoder_open(&model->codec.mimi, &g->decoder, err);
    if (st != CSM_OK) {
        csm_generation_close(g);
        return st;
    }
    *out = g;
    return CSM_OK;
}

static csm_status start(csm_model *model, struct csm_prompt *ready, const csm_turn *context,
                        size_t n_context, const char *text, int speaker,
                        const csm_generate_options *options, csm_generation **out, csm_error *err)
{
    csm_error unread; /* a fallback tells it in the report */
    err = err != NULL ? err : &unread;
    csm_generation *g = NULL;
    csm_status st = csm_generation_prepare(model, context, n_context, text, options, &g, err);
    if (st != CSM_OK)
        return st;
    st = csm_whole_frame_open(g, err);
    if (st == CSM_OK) {
        if (model->generation != NULL)
            model->generation->is_taken_over = true;
        model->generation = g;
        st = feed_prompt(g, ready, context, n_context, text, speaker, err);
    }
    if (st != CSM_OK) {
        csm_generation_close(g);
        return st;
    }
    *out = g;
    return CSM_OK;
}

csm_status csm_generation_open(csm_model *model, const csm_request *request,
                               const csm_generate_options *options, csm_generation **out,
                               csm_error *err)
{
    csm_request known = csm_request_of(NULL, 0);
    csm_status st = csm_sized_read(request, &known, sizeof known, "request", err);
    return st == CSM_OK ? start(model, NULL, known.context, known.n_context, known.text,
                                known.speaker, options, out, err)
                        : st;
}

csm_status csm_generation_start_prompt(csm_model *model, struct csm_prompt *prompt,
                                       const csm_generate_options *options, csm_generation **out,
                                       csm_error *err)
{
    return start(model, prompt, NULL, 0, "", 0, options, out, err);
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

size_t csm_draws_so_far(const csm_generation *g)
{
    size_t a_frame = (g->report.temperature > 0.0) +
                     (g->report.depth_temperature > 0.0) * (g->model->info.n_codebooks - 1);
    return g->n_drawn * a_frame;
}

csm_status csm_generation_draw(csm_generation *g, size_t k, csm_error *err)
{
    size_t vocab = g->model->info.vocab;
    float *logits = g->logits + k * vocab;
    float *probs = g->all_probs + k * vocab;
    double temperature = k == 0 ? g->report.temperature : g->report.depth_temperature;
    int top_k = k == 0 ? g->report.top_k : g->report.depth_top_k;
    if (k == 0 && g->report.n_frames < g->options.min_frames)
        logits[0] = -INFINITY; /* the frame of zeros begins with it */

    csm_status st = CSM_OK;
    if (temperature == 0.0) {
        st = csm_draw_greedy(logits, 1, vocab, &g->codes[k], &g->margins[k], err);
        if (st == CSM_OK)
            softmax(logits, vocab, probs);
    } else {
        if (k <= 1) {
            const bool is_first = k == 0;
            st = csm_sampler_set_temperature(g->sampler, temperature, err);
            if (st == CSM_OK)
                st = csm_sampler_set_top_p(g->sampler,
                                           is_first ? g->report.top_p : g->report.depth_top_p, err);
            if (st == CSM_OK)
                st = csm_sampler_set_min_p(g->sampler,
                                           is_first ? g->report.min_p : g->report.depth_min_p, err);
            csm_sampler_set_top_k(g->sampler, (size_t)top_k);
        }
        if (st == CSM_OK)
            st = csm_sampler_draw(g->sampler, logits, 1, vocab, &g->codes[k], &g->margins[k], probs,
                                  err);
    }
    if (st == CSM_BAD_LOGITS && err != NULL) {
        csm_error inner = *err;
        return csm_fail(err, st, "frame %zu, codebook %zu: %s", g->n_drawn, k, inner.text);
    }
    if (st == CSM_OK)
        g->probs[k] = probs[g->codes[k]];
    return st;
}

/* All codes of one frame. */
static csm_status draw_frame(csm_generation *g, csm_error *err)
{
    csm_model *m = g->model;
    size_t n_codebooks = m->info.n_codebooks;
    const int32_t *forced =
        g->n_drawn < g->options.n_forced ? g->options.forced + g->n_drawn * n_codebooks : NULL;
    if (g->whole.is_used)
        return csm_whole_frame_draw(g, forced, err);
    for (size_t k = 0; k < n_codebooks; k++) {
        float *logits = g->logits + k * m->info.vocab;
        double start = csm_now_ms();
        csm_status st = k == 0 ? csm_backbone_logits(&m->state, logits, err)
                               : csm_depth_step(&m->state, k, &g->fed[k - 1], logits, err);
        double drawn = csm_now_ms();
        *(k == 0 ? &g->report.backbone_ms : &g->report.depth_ms) += drawn - start;
        if (st == CSM_OK)
            st = csm_generation_draw(g, k, err);
        if (st != CSM_OK)
            return st;
        g->report.draw_ms += csm_now_ms() - drawn;
        g->fed[k] = forced != NULL ? forced[k] : g->codes[k];
    }
    return CSM_OK;
}

/* transformers looks at all codes but the last, and what it stops at is sound if
 * the last one is not 0; the others look at all. Frame of zeros: no sound. */
static void judge_end(csm_generation *g, bool *is_sound)
{
    size_t n = g->model->info.n_codebooks;
    size_t n_zero = 0;
    while (n_zero < n && g->fed[n_zero] == 0)
        n_zero++;
    *is_sound = n_zero < n;
    size_t wanted = g->sampler_kind == CSM_SAMPLER_TRANSFORMERS && n > 1 ? n - 1 : n;
    if (n_zero >= wanted && g->n_drawn >= g->options.n_forced) {
        g->report.has_ended = true;
        g->is_done = true;
    } else {
        *is_sound = true;
    }
}

/* The samples of the frame. A code that the codec does not know (the language
 * model has a few more than it) adds nothing to it. */
static csm_status make_sound(csm_generation *g, csm_error *err)
{
    size_t n = g->model->info.n_codebooks;
    for (size_t k = 0; k < n; k++)
        g->heard[k] = (size_t)g->fed[k] < g->model->info.n_entries ? g->fed[k] : CSM_MIMI_SILENT;
    return csm_mimi_decode(&g->decoder, g->heard, 1, n, NULL, g->samples, err);
}

/* The frame last drawn becomes a position of the state. */
static csm_status feed_frame(csm_generation *g, csm_error *err)
{
    csm_model *m = g->model;
    csm_status st = csm_prompt_append(&m->read, g->fed, m->info.n_codebooks, err);
    return st == CSM_OK ? csm_backbone_step(&m->state, g->fed, err) : st;
}

/* The frame last drawn is fed, the next one drawn, by another engine if this one fails. */
static csm_status next_codes(csm_generation *g, csm_error *err)
{
    csm_model *m = g->model;
    double start = csm_now_ms();
    csm_status st = CSM_OK;
    m->state.watch.frame = g->n_drawn;
    if (g->n_drawn > 0)
        st = feed_frame(g, err);
    g->report.backbone_ms += csm_now_ms() - start;
    if (st == CSM_OK)
        st = draw_frame(g, err);
    if (st != CSM_OK && csm_can_fall_back(g, st)) {
        st = csm_fall_back(g, st, err);
        if (st == CSM_OK && (st = draw_frame(g, err)) != CSM_OK) {
            const csm_error again = *err;
            csm_fail(err, st, "%s, and failed too: %s", g->report.fallback, again.text);
        }
    }
    if (st != CSM_OK)
        csm_prompt_free(&m->read); /* what the state holds is not sure */
    return st;
}

static csm_status take_sound(csm_generation *g, csm_error *err)
{
    double drawn = csm_now_ms();
    if (g->report.n_frames == 0)
        g->report.first_frame_ms = drawn - g->started_ms;
    if (g->options.without_sound)
        return CSM_OK;
    csm_status st = make_sound(g, err);
    double sound = csm_now_ms();
    g->report.codec_ms += sound - drawn;
    if (g->report.n_frames == 0)
        g->report.first_sound_ms = sound - g->started_ms;
    return st;
}

csm_status csm_generation_take(csm_generation *g, csm_frame *frame, bool *has_frame, csm_error *err)
{
    csm_model *m = g->model;
    g->n_drawn++;
    judge_end(g, has_frame);
    if (!*has_frame)
        return CSM_OK;
    csm_status st = take_sound(g, err);
    if (st != CSM_OK) {
        *has_frame = false;
        return st;
    }
    *frame = (csm_frame){.generation = g,
                         .utterance = g->utterance,
                         .index = g->report.n_frames,
                         .codes = g->codes,
                         .margins = g->margins,
                         .probs = g->probs,
                         .logits = g->options.keep_logits ? g->logits : NULL,
                         .samples = g->options.without_sound ? NULL : g->samples,
                         .n_samples = g->options.without_sound ? 0 : m->info.frame_samples};
    g->report.n_frames++;
    if (g->options.has_guard) {
        const char *why =
            csm_guard_watch(&g->guard, g->fed[0], frame->samples, frame->n_samples);
        if (why != NULL) {
            g->report.guarded = why;
            g->is_done = true;
        }
    }
    g->report.total_ms = csm_now_ms() - g->started_ms;
    if (g->options.on_frame != NULL && !g->options.on_frame(g->options.user, frame))
        st = csm_fail(err, CSM_CANCELLED, "generation: cancelled at frame %zu", frame->index);
    return st;
}

bool csm_generation_is_over(const csm_generation *g)
{
    return g->is_done || g->report.n_frames >= g->options.max_frames;
}

static csm_status next_frame(csm_generation *g, csm_frame *frame, bool *has_frame, csm_error *err)
{
    csm_error unread; /* a fallback tells it in the report */
    err = err != NULL ? err : &unread;
    *has_frame = false;
    if (g->is_taken_over)
        return csm_fail(err, CSM_CANCELLED, "generation: another one began on this model");
    if (atomic_load(&g->is_cancelled))
        return csm_fail(err, CSM_CANCELLED, "generation: cancelled");
    if (csm_generation_is_over(g))
        return CSM_OK;
    csm_status st = next_codes(g, err);
    if (st == CSM_OK)
        st = csm_generation_take(g, frame, has_frame, err);
    if (!*has_frame)
        g->report.total_ms = csm_now_ms() - g->started_ms;
    if (st != CSM_OK)
        g->is_done = true;
    return st;
}

csm_status csm_generation_next(csm_generation *g, const csm_frame **frame, csm_error *err)
{
    bool has_frame = false;
    csm_status st = next_frame(g, &g->frame, &has_frame, err);
    *frame = has_frame ? &g->frame : NULL;
    return st;
}

csm_status csm_generation_poll(csm_generation *g, int timeout_ms, csm_poll *found,
                               const csm_frame **frame, csm_error *err)
{
    (void)timeout_ms;
    csm_status st = csm_generation_next(g, frame, err);
    *found = *frame != NULL ? CSM_POLL_FRAME : CSM_POLL_END;
    return st;
}

void csm_generation_cancel(csm_generation *g)
{
    atomic_store(&g->is_cancelled, true);
}

void csm_generation_report(csm_generation *g, csm_report *report)
{
    csm_sized_write(report, &g->report, sizeof g->report);
}

size_t csm_generation_candidates(const csm_generation *g, size_t codebook, size_t n, int32_t *codes,
                                 float *probs)
{
    size_t vocab = g->model->info.vocab;
    if (codebook >= g->model->info.n_codebooks || !g->options.keep_probs)
        return 0;
    const float *p = g->all_probs + codebook * vocab;
    size_t count = 0;
    for (size_t v = 0; v < vocab; v++) {
        if (p[v] <= 0.0f || (count == n && (n == 0 || p[v] <= probs[count - 1])))
            continue;
        size_t at = count < n ? count++ : n - 1;
        for (; at > 0 && probs[at - 1] < p[v]; at--) {
            probs[at] = probs[at - 1];
            codes[at] = codes[at - 1];
        }
        probs[at] = p[v];
        codes[at] = (int32_t)v;
    }
    return count;
}

void csm_generation_close(csm_generation *g)
{
    if (g == NULL)
        return;
    if (g->model->generation == g)
        g->model->generation = NULL;
    csm_whole_frame_close(&g->whole);
    csm_sampler_close(g->sampler);
    csm_mimi_stream_close(&g->decoder);
    free(g->codes);
    free(g->fed);
    free(g->heard);
    free(g->margins);
    free(g->probs);
    free(g->logits);
    free(g->all_probs);
    free(g->samples);
    free(g);
}
