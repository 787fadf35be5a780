/* SPDX-License-Identifier: Apache-2.0 */
#include "speak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <csm/audio.h>

#include "clock.h"
#include "complain.h"
#include "report_json.h"

/* ---- context -------------------------------------------------------------- */

static void free_context(csm_turn *context, float **samples, size_t n)
{
    for (size_t i = 0; samples != NULL && i < n; i++)
        csm_free(samples[i]);
    free(samples);
    free(context);
}

static csm_status read_turn(const struct speak *w, size_t i, const csm_model_info *info,
                            csm_turn *turn, float **samples, csm_error *err)
{
    const char *speaker = w->context_speaker.n > 0 ? w->context_speaker.items[i] : "0";
    char *end;
    turn->text = w->context_text.items[i];
    turn->speaker = (int)strtol(speaker, &end, 10);
    if (*speaker == '\0' || *end != '\0')
        return complain(err, CSM_BAD_ARG, "--context-speaker: '%s', expected a number", speaker);
    /* As the reference of the layout does: its codes, then, are the prompt's. */
    bool is_hf = strcmp(info->layout, "hf") == 0;
    csm_status st = csm_audio_read(w->context_audio.items[i], info->sample_rate_hz,
                                   is_hf ? CSM_RESAMPLE_SOXR : CSM_RESAMPLE_TORCHAUDIO, samples,
                                   &turn->n_samples, err);
    turn->samples = *samples;
    return st;
}

/* ---- what is said meanwhile ------------------------------------------------ */

struct display {
    bool has_progress, is_debug;
    size_t n_codebooks;
    double frame_ms, started_ms;
};

static void show_candidates(const csm_frame *frame, size_t n_codebooks)
{
    enum { SHOWN = 5 };
    for (size_t k = 0; k < n_codebooks; k++) {
        int32_t codes[SHOWN];
        float probs[SHOWN];
        size_t n = csm_generation_candidates(frame->generation, k, SHOWN, codes, probs);
        fprintf(stderr, "frame %zu codebook %zu: %d p %.4f margin %.4f; most probable",
                frame->index, k, frame->codes[k], (double)frame->probs[k],
                (double)frame->margins[k]);
        for (size_t i = 0; i < n; i++)
            fprintf(stderr, " %d %.4f", codes[i], (double)probs[i]);
        fputc('\n', stderr);
    }
}

static bool on_frame(void *user, const csm_frame *frame)
{
    struct display *d = user;
    if (d->is_debug)
        show_candidates(frame, d->n_codebooks);
    if (d->has_progress) {
        double spent_ms = clock_ms() - d->started_ms;
        double made_ms = (double)(frame->index + 1) * d->frame_ms;
        fprintf(stderr, "\rframe %zu: %.1f s of speech, %.1f frames/s, %.1f x real time   ",
                frame->index + 1, made_ms / 1e3, (double)(frame->index + 1) * 1e3 / spent_ms,
                made_ms / spent_ms);
    }
    return true;
}

static void show_choices(const csm_model_info *info, const csm_report *r)
{
    fprintf(stderr,
            "model %s (%s layout, %s), digest %s\n"
            "strategy %s: %s\n"
            "engine %s %s, dtype %s, %d threads; codec on %s %s\n"
            "sampler %s, stream %s, sampling dtype %s%s%s, seed %llu\n"
            "temperature %g, top-k %d; depth decoder %g, %d\n"
            "prompt of %zu positions, %zu frames, %s\n",
            info->path, info->layout, info->stored_dtype, info->digest,
            csm_strategy_name(r->strategy), r->reason, r->engine, r->engine_version,
            csm_precision_name(info->precision), info->n_threads, info->codec_engine,
            info->codec_engine_version, r->sampler, r->stream, r->dtype,
            r->mlx_version[0] != '\0' ? ", MLX " : "", r->mlx_version,
            (unsigned long long)r->seed, r->temperature, r->top_k, r->depth_temperature,
            r->depth_top_k, r->n_prompt, r->n_frames,
            r->has_ended ? "ended by itself" : "cut by the length limit");
}

/* ---- the work --------------------------------------------------------------- */

static csm_status deliver(const struct speak *w, const csm_model *model, int speaker,
                          const csm_result *result, csm_error *err)
{
    const csm_model_info *info = csm_model_describe(model);
    csm_status st = CSM_OK;
    if (result->report.fallback[0] != '\0')
        fprintf(stderr, "csm: %s\n", result->report.fallback);
    if (w->is_debug)
        show_choices(info, &result->report);
    if (w->save_tokens != NULL)
        st = csm_result_save(result, model, w->text, speaker, w->save_tokens, err);
    if (st == CSM_OK && strcmp(w->output, "none") != 0)
        st = csm_audio_write(w->output, CSM_AUDIO_WAV, result->samples, result->n_samples,
                             info->sample_rate_hz, err);
    if (st == CSM_OK && w->is_json)
        st = report_json(info, result, w->text, speaker, w->output, w->open_ms, err);
    return st;
}

csm_status speak(struct speak *w, csm_model *model, csm_error *err)
{
    const csm_model_info *info = csm_model_describe(model);
    struct display display = {.is_debug = w->is_debug,
                              .has_progress = !w->is_quiet && !w->is_debug && isatty(2),
                              .n_codebooks = info->n_codebooks,
                              .frame_ms = info->frame_ms,
                              .started_ms = clock_ms()};
    int speaker = w->speaker >= 0 ? w->speaker : info->default_speaker;
    size_t n = w->context_audio.n;
    csm_turn *context = calloc(n + 1, sizeof *context);
    float **samples = calloc(n + 1, sizeof *samples);
    csm_result *result = NULL;
    csm_status st = context != NULL && samples != NULL
                        ? CSM_OK
                        : complain(err, CSM_NO_MEMORY, "context: out of memory");
    for (size_t i = 0; st == CSM_OK && i < n; i++)
        st = read_turn(w, i, info, &context[i], &samples[i], err);
    if (st == CSM_OK) {
        w->options.max_frames = (size_t)((double)w->max_ms / info->frame_ms);
        w->options.without_sound = strcmp(w->output, "none") == 0;
        w->options.keep_logits = w->save_logits;
        w->options.on_frame = on_frame;
        w->options.user = &display;
        st = csm_generate(model, context, n, w->text, speaker, &w->options, &result, err);
        if (display.has_progress)
            fputc('\n', stderr);
    }
    if (st == CSM_OK)
        st = deliver(w, model, speaker, result, err);
    csm_result_free(result);
    free_context(context, samples, n);
    return st;
}
