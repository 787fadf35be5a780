/* SPDX-License-Identifier: Apache-2.0
 *
 * generation.c - a generation as its reader has it: arguments, frames, the end. What is drawn
 * is the scheduler's work. */
#include "generate/generation.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/sized.h"

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

/* ---- making one ------------------------------------------------------------- */

static csm_status check_forced(const csm_model *model, const csm_generate_options *options,
                               csm_error *err)
{
    size_t k = model->info.n_codebooks;
    if (options->n_forced > 0 && options->forced == NULL)
        return csm_fail(err, CSM_BAD_ARG, "forced: none, expected %zu frames", options->n_forced);
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

/* Sound in or out is the codec's work. */
static csm_status check_codec(const csm_model *model, const csm_request *request, bool has_sound,
                              csm_error *err)
{
    for (size_t i = 0; i < request->n_context; i++)
        has_sound = has_sound || request->context[i].codes == NULL;
    if (model->info.has_codec || !has_sound)
        return CSM_OK;
    return csm_fail(err, CSM_BAD_FILE,
                    "%s: no codec, expected codec_model.* in the weights, or mimi.safetensors or "
                    "kyutai's tokenizer-e351c8d8-checkpoint125.safetensors beside them",
                    model->path);
}

static csm_status allocate_slot(const csm_generation *g, struct csm_slot *slot, csm_error *err)
{
    const csm_model_info *info = &g->model->info;
    const size_t k = info->n_codebooks, n = k * info->vocab;
    slot->codes = calloc(k, sizeof *slot->codes);
    slot->margins = calloc(k, sizeof *slot->margins);
    slot->probs = calloc(k, sizeof *slot->probs);
    bool is_whole = slot->codes != NULL && slot->margins != NULL && slot->probs != NULL;
    if (is_whole && g->settings.keep_logits)
        is_whole = (slot->logits = calloc(n, sizeof *slot->logits)) != NULL;
    if (is_whole && g->settings.keep_probs)
        is_whole = (slot->all_probs = calloc(n, sizeof *slot->all_probs)) != NULL;
    if (is_whole && g->settings.has_sound)
        is_whole = (slot->samples = calloc(info->frame_samples, sizeof *slot->samples)) != NULL;
    return is_whole ? CSM_OK : csm_fail(err, CSM_NO_MEMORY, "generation: a frame of %zu codes", k);
}

static csm_status allocate(csm_generation *g, csm_error *err)
{
    const size_t k = g->model->info.n_codebooks;
    /* No more can wait than are drawn at all. */
    g->n_slots = g->settings.n_ahead < g->settings.max_frames ? g->settings.n_ahead + 1
                                                              : g->settings.max_frames + 1;
    g->slots = calloc(g->n_slots, sizeof *g->slots);
    g->fed = calloc(k, sizeof *g->fed);
    if (g->slots == NULL || g->fed == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "generation: %zu frames of %zu codes", g->n_slots, k);
    csm_status st = CSM_OK;
    for (size_t i = 0; st == CSM_OK && i < g->n_slots; i++)
        st = allocate_slot(g, &g->slots[i], err);
    return st;
}

/* What the caller's pointers point at, copied. */
static csm_status copy_options(csm_generation *g, csm_error *err)
{
    const char **names[] = {&g->options.stream, &g->options.sampler, &g->options.dtype,
                            &g->options.mlx_version};
    for (size_t i = 0; i < 4; i++) {
        if (*names[i] == NULL)
            continue;
        *names[i] = g->texts[i] = strdup(*names[i]);
        if (g->texts[i] == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "generation: options");
    }
    g->n_forced = g->options.n_forced;
    if (g->n_forced > 0) {
        const size_t n = g->n_forced * g->model->info.n_codebooks;
        g->forced = malloc(n * sizeof *g->forced);
        if (g->forced == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "generation: %zu forced frames", g->n_forced);
        memcpy(g->forced, g->options.forced, n * sizeof *g->forced);
    }
    g->options.forced = NULL;
    g->options.adapter = NULL; /* it has its number */
    return CSM_OK;
}

/* Of a generation that nobody draws: all of it. */
static void release(csm_generation *g)
{
    for (size_t i = 0; g->slots != NULL && i < g->n_slots; i++) {
        free(g->slots[i].codes);
        free(g->slots[i].margins);
        free(g->slots[i].probs);
        free(g->slots[i].logits);
        free(g->slots[i].all_probs);
        free(g->slots[i].samples);
    }
    free(g->slots);
    csm_sampler_close(g->sampler);
    csm_prompt_free(&g->prompt);
    free(g->fed);
    free(g->forced);
    for (size_t i = 0; i < 4; i++)
        free(g->texts[i]);
    pthread_cond_destroy(&g->changed);
    free(g);
}

/* A generation with its prompt, in no queue yet; `prompt` is taken over, and freed also when
 * this failed. The request has been read. Errors as csm_generation_open. */
static csm_status make(csm_model *model, struct csm_prompt *prompt, size_t n_text,
                       const csm_generate_options *options, csm_generation **out, csm_error *err)
{
    csm_generation *g = calloc(1, sizeof *g);
    if (g == NULL) {
        csm_prompt_free(prompt);
        return csm_fail(err, CSM_NO_MEMORY, "generation: %zu bytes", sizeof *g);
    }
    csm_cond_open(&g->changed);
    g->model = model;
    g->host = &model->host;
    g->prompt = *prompt;
    *prompt = (struct csm_prompt){0};
    g->n_prompt = g->prompt.n;
    g->options = *options;
    g->is_auto = options->strategy == CSM_STRATEGY_AUTO;
    g->on_frame = options->on_frame;
    g->on_ready = options->on_ready;
    g->observe = options->observe;
    g->user = options->user;
    g->guard.n_text = n_text;
    g->report.size = g->work.size = sizeof g->report;
    csm_status st = csm_settings_make(g->host, model, options, &g->settings, err);
    if (st == CSM_OK)
        st = csm_adapter_number(model, options->adapter, &g->adapter, err);
    g->prompt.adapter = g->adapter;
    if (st == CSM_OK)
        st = check_forced(model, options, err);
    if (st == CSM_OK)
        st = csm_check_room(model, g->n_prompt, options->max_frames, err);
    if (st == CSM_OK)
        st = copy_options(g, err);
    if (st == CSM_OK)
        st = allocate(g, err);
    if (st == CSM_OK)
        st = csm_settings_sampler(&g->settings, &g->sampler, err);
    if (st != CSM_OK) {
        release(g);
        return st;
    }
    *out = g;
    return CSM_OK;
}

/* Check and build; the generation is in no queue yet. */
static csm_status open_request(csm_model *model, const csm_request *given,
                               const csm_generate_options *options, csm_generation **out,
                               csm_error *err)
{
    const double start = csm_now_ms();
    csm_request request = csm_request_of(NULL, 0);
    csm_generate_options known = csm_generate_defaults();
    struct csm_prompt prompt = {0};
    struct csm_settings unused;
    size_t number;
    csm_status st = csm_sized_read(given, &request, sizeof request, "request", err);
    if (st == CSM_OK && options != NULL)
        st = csm_sized_read(options, &known, sizeof known, "generate options", err);
    if (st == CSM_OK && model->is_described_only)
        st = csm_fail(err, CSM_BAD_ARG,
                      "%s: nothing is loaded, expected a model that was not opened to be described "
                      "only",
                      model->path);
    if (st == CSM_OK && request.text == NULL)
        st = csm_fail(err, CSM_BAD_ARG, "text: none, expected one");
    if (st == CSM_OK)
        st = csm_context_check(request.context, request.n_context, err);
    if (st == CSM_OK) /* before the context's sound is encoded for nothing */
        st = csm_settings_make(&model->host, model, &known, &unused, err);
    if (st == CSM_OK)
        st = csm_adapter_number(model, known.adapter, &number, err);
    if (st == CSM_OK)
        st = check_codec(model, &request, !known.without_sound, err);
    if (st == CSM_OK)
        st = csm_prompt_build(model, &request, &prompt, err);
    if (st != CSM_OK) {
        csm_prompt_free(&prompt);
        return st;
    }
    st = make(model, &prompt, strlen(request.text), &known, out, err);
    if (st == CSM_OK) {
        (*out)->encode_ms = csm_now_ms() - start;
        (*out)->opened_ms = start;
    }
    return st;
}

static csm_status enter(csm_generation *g, csm_generation **out, csm_error *err)
{
    csm_status st = csm_scheduler_enter(&g->model->scheduler, g, err);
    if (st != CSM_OK)
        release(g);
    else
        *out = g;
    return st;
}

csm_status csm_generation_open(csm_model *model, const csm_request *request,
                               const csm_generate_options *options, csm_generation **out,
                               csm_error *err)
{
    return csm_generation_open_utterance(model, request, options, 0, NULL, NULL, out, err);
}

csm_status csm_generation_open_utterance(csm_model *model, const csm_request *request,
                                         const csm_generate_options *options, size_t utterance,
                                         void (*notify)(void *user), void *notify_user,
                                         csm_generation **out, csm_error *err)
{
    csm_generation *g = NULL;
    csm_status st = open_request(model, request, options, &g, err);
    if (st != CSM_OK)
        return st;
    g->utterance = utterance;
    g->notify = notify;
    g->notify_user = notify_user;
    return enter(g, out, err);
}

csm_status csm_generation_open_prompt(csm_model *model, struct csm_prompt *prompt,
                                      const csm_generate_options *options, csm_generation **out,
                                      csm_error *err)
{
    csm_generation *g = NULL;
    const double start = csm_now_ms();
    csm_status st = make(model, prompt, 0, options, &g, err);
    if (st != CSM_OK)
        return st;
    g->opened_ms = start;
    return enter(g, out, err);
}

/* ---- reading ------------------------------------------------------------------ */

/* Under the lock: until there is something to take, or the time has come. */
static void wait_for(csm_generation *g, int timeout_ms)
{
    struct csm_scheduler *s = &g->model->scheduler;
    const double end = csm_now_ms() + timeout_ms;
    while (g->n_put == g->n_taken && g->phase != CSM_PHASE_OVER && !g->is_cancelled) {
        if (timeout_ms < 0)
            pthread_cond_wait(&g->changed, &s->lock);
        else if (timeout_ms == 0 || !csm_cond_wait(&g->changed, &s->lock, end))
            return;
    }
}

/* Under the lock: what there is. */
static csm_status take(csm_generation *g, csm_poll *found, const csm_frame **frame, csm_error *err)
{
    struct csm_scheduler *s = &g->model->scheduler;
    if (g->is_cancelled)
        return csm_fail(err, CSM_CANCELLED, "generation: cancelled");
    if (g->n_put != g->n_taken) {
        *found = CSM_POLL_FRAME;
        *frame = &g->slots[g->n_taken++ % g->n_slots].frame;
        g->report.n_frames = g->n_taken;
        csm_scheduler_wake(s); /* a generation that paused goes on */
        return CSM_OK;
    }
    if (g->phase != CSM_PHASE_OVER)
        return CSM_OK;
    if (g->status != CSM_OK)
        return csm_fail(err, g->status, "%s", g->error.text);
    *found = CSM_POLL_END;
    return CSM_OK;
}

csm_status csm_generation_poll(csm_generation *g, int timeout_ms, csm_poll *found,
                               const csm_frame **frame, csm_error *err)
{
    struct csm_scheduler *s = &g->model->scheduler;
    *frame = NULL;
    *found = CSM_POLL_PENDING;
    csm_status st = csm_turns_check(&g->model->turns, err);
    if (st != CSM_OK)
        return st;
    pthread_mutex_lock(&s->lock);
    wait_for(g, timeout_ms);
    st = take(g, found, frame, err);
    pthread_mutex_unlock(&s->lock);
    if (*frame == NULL || g->on_frame == NULL || g->on_frame(g->user, *frame))
        return st;
    csm_generation_cancel(g);
    return csm_fail(err, CSM_CANCELLED, "generation: cancelled at frame %zu", (*frame)->index);
}

csm_status csm_generation_next(csm_generation *g, const csm_frame **frame, csm_error *err)
{
    csm_poll found;
    return csm_generation_poll(g, -1, &found, frame, err);
}

void csm_generation_cancel(csm_generation *g)
{
    struct csm_scheduler *s = &g->model->scheduler;
    if (!csm_turns_are_ours(&g->model->turns))
        return;
    pthread_mutex_lock(&s->lock);
    if (g->phase != CSM_PHASE_OVER || g->n_put != g->n_taken) {
        g->is_cancelled = true;
        pthread_cond_broadcast(&g->changed);
        csm_scheduler_wake(s);
    }
    pthread_mutex_unlock(&s->lock);
}

void csm_generation_report(csm_generation *g, csm_report *report)
{
    struct csm_scheduler *s = &g->model->scheduler;
    const bool is_ours = csm_turns_are_ours(&g->model->turns);
    if (is_ours)
        pthread_mutex_lock(&s->lock);
    csm_sized_write(report, &g->report, sizeof g->report);
    if (is_ours)
        pthread_mutex_unlock(&s->lock);
}

size_t csm_generation_candidates(const csm_generation *g, size_t codebook, size_t n, int32_t *codes,
                                 float *probs)
{
    size_t vocab = g->model->info.vocab;
    if (codebook >= g->model->info.n_codebooks || g->n_taken == 0 ||
        g->slots[0].all_probs == NULL)
        return 0;
    const float *p = g->slots[(g->n_taken - 1) % g->n_slots].all_probs + codebook * vocab;
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
    if (g == NULL || !csm_turns_are_ours(&g->model->turns))
        return;
    struct csm_scheduler *s = &g->model->scheduler;
    pthread_mutex_lock(&s->lock);
    g->is_closing = true;
    csm_scheduler_wake(s);
    while (!g->is_let_go)
        pthread_cond_wait(&g->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
    release(g);
}
