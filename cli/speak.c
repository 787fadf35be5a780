/* SPDX-License-Identifier: Apache-2.0 */
#include "speak.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <csm/analysis.h>
#include <csm/text.h>

#include "clock.h"
#include "interrupt.h"
#include "report_json.h"
#include "tokens.h"

/* ---- what is said meanwhile ------------------------------------------------ */

/* What happens with each frame as it comes. */
struct display {
    bool has_progress, is_debug;
    size_t n_codebooks;
    double frame_ms, started_ms;
    struct sink *sink;
    csm_status sink_status; /* of the push that ended the generation */
    csm_error sink_error;
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
    d->sink_status = sink_push(d->sink, frame->samples, frame->n_samples, &d->sink_error);
    if (d->is_debug)
        show_candidates(frame, d->n_codebooks);
    if (d->has_progress) {
        double spent_ms = clock_ms() - d->started_ms;
        double made_ms = (double)(frame->index + 1) * d->frame_ms;
        fprintf(stderr, "\rframe %zu: %.1f s of speech, %.1f frames/s, %.1f x real time   ",
                frame->index + 1, made_ms / 1e3, (double)(frame->index + 1) * 1e3 / spent_ms,
                made_ms / spent_ms);
    }
    return d->sink_status == CSM_OK && !is_interrupted();
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
            r->has_ended          ? "ended by itself"
            : r->guarded[0] != '\0' ? r->guarded
                                  : "cut by the length limit");
}

/* ---- the work --------------------------------------------------------------- */

csm_status speak_rules_open(struct speak *w, csm_error *err)
{
    return w->is_normalized ? csm_text_rules_open(&w->rules, err) : CSM_OK;
}

csm_status speakable(const struct speak *w, const char *text, char **out, csm_error *err)
{
    if (w->is_normalized)
        return csm_text_rules_normalize(w->rules, text, out, err);
    *out = malloc(strlen(text) + 1);
    if (*out == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "text: out of memory");
    memcpy(*out, text, strlen(text) + 1);
    return CSM_OK;
}

csm_status speak_options(const struct speak *w, const csm_model *model, const csm_turn *voice,
                         size_t n_voice, const char *text, int speaker,
                         csm_generate_options *options, csm_error *err)
{
    const csm_model_info *info = csm_model_describe(model);
    const bool is_by_text = w->max_ms == LENGTH_OF_TEXT;
    if (!is_by_text && (double)w->max_ms < info->frame_ms)
        return csm_fail(err, CSM_BAD_ARG, "--max-audio-length-ms: %d, expected a frame's %.0f or more",
                        w->max_ms, info->frame_ms);
    *options = w->options;
    options->min_frames = (size_t)ceil((double)w->min_ms / info->frame_ms);
    if (is_by_text)
        options->max_frames = csm_frames_for_text(model, voice, n_voice, text, speaker) +
                              options->min_frames;
    else
        options->max_frames = (size_t)((double)w->max_ms / info->frame_ms);
    if (options->n_forced != 0 && (is_by_text || options->n_forced < options->max_frames))
        options->max_frames = options->n_forced;
    options->without_sound = strcmp(w->output, "none") == 0 && !w->is_played;
    options->keep_logits = w->save_logits;
    options->keep_probs = w->is_debug;
    return CSM_OK;
}

void speak_as(struct speak *w, const csm_model *model, const csm_turn *voice, size_t n_voice,
              int speaker)
{
    csm_remark remark;
    if (csm_remark_speaker(model, speaker, voice, n_voice, &remark))
        warn(&w->warnings, &remark);
}

void speak_remarks(struct speak *w, const csm_report *r, double frame_ms)
{
    csm_remark remarks[CSM_ENDING_REMARKS];
    const size_t n = csm_remark_ending(r, frame_ms, remarks);
    for (size_t i = 0; i < n; i++)
        if (r->n_frames < w->options.n_forced || w->options.n_forced == 0 ||
            strcmp(remarks[i].code, "cut") != 0)
            warn(&w->warnings, &remarks[i]);
}

csm_status speak_turn(struct speak *w, const struct context *context, const char *text, int speaker,
                      uint64_t seed, struct sink *sink, csm_result **result, csm_error *err)
{
    csm_session *session = context->session;
    const csm_model *model = csm_session_model(session);
    const csm_model_info *info = csm_model_describe(model);
    struct display display = {.is_debug = w->is_debug,
                              .has_progress = !w->is_quiet && !w->is_debug && isatty(2),
                              .n_codebooks = info->n_codebooks,
                              .frame_ms = info->frame_ms,
                              .started_ms = clock_ms(),
                              .sink = sink,
                              .sink_status = CSM_OK};
    csm_generate_options options;
    csm_status st = speak_options(w, model, context_turns(context), context->n_turns, text, speaker,
                                  &options, err);
    if (st != CSM_OK)
        return st;
    options.seed = seed;
    options.on_frame = on_frame;
    options.user = &display;
    size_t n_dropped = 0;
    st = csm_session_say(session, text, speaker, &options, result, &n_dropped, err);
    if (display.has_progress)
        fputc('\n', stderr);
    if (n_dropped > 0) {
        csm_remark remark;
        csm_remark_write(&remark, "turns-dropped",
                         "the oldest %zu turns no longer fit and were dropped", n_dropped);
        warn(&w->warnings, &remark);
    }
    if (display.sink_status != CSM_OK) {
        *err = display.sink_error;
        return display.sink_status;
    }
    if (st != CSM_OK)
        return st;
    speak_remarks(w, (*result)->report, info->frame_ms);
    if (w->is_debug)
        show_choices(info, (*result)->report);
    return CSM_OK;
}

/* The codes to go on with, if a file of them was named. */
static csm_status force(struct speak *w, const csm_model_info *info, csm_tokens **tokens,
                        csm_error *err)
{
    if (w->forced_tokens == NULL)
        return CSM_OK;
    csm_status st = csm_tokens_open(w->forced_tokens, tokens, err);
    if (st == CSM_OK)
        st = tokens_order(tokens, info->n_codebooks, err);
    if (st != CSM_OK)
        return st;
    if ((*tokens)->n_codebooks != info->n_codebooks || (*tokens)->n_frames == 0)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %zu frames of %zu codes, expected frames of %zu",
                        w->forced_tokens, (*tokens)->n_frames, (*tokens)->n_codebooks,
                        info->n_codebooks);
    const csm_tokens *t = *tokens;
    const size_t n_frames = tokens_frames(t, info->n_entries != 0 ? info->n_entries : info->vocab, true);
    for (size_t i = 0; i < n_frames * t->n_codebooks; i++)
        if (t->codes[i] < 0 || (size_t)t->codes[i] >= info->vocab)
            return csm_fail(err, CSM_BAD_FORMAT, "%s: frame %zu, codebook %zu: code %d, expected 0 to %zu",
                            w->forced_tokens, i / t->n_codebooks, i % t->n_codebooks, t->codes[i],
                            info->vocab - 1);
    w->options.forced = t->codes;
    w->options.n_forced = n_frames;
    return CSM_OK;
}

csm_status speak(struct speak *w, csm_model *model, csm_error *err)
{
    const csm_model_info *info = csm_model_describe(model);
    struct sink sink;
    csm_status st = sink_open(&sink, w->output, &w->written, w->is_played, info->sample_rate_hz,
                              &w->marking, info->digest, err);
    if (st != CSM_OK)
        return st;
    sink.warnings = &w->warnings;
    struct context context;
    csm_tokens *forced = NULL;
    char *text = NULL;
    csm_result *result = NULL;
    st = context_read(&w->context, w->speaker, model, &context, &w->warnings, err);
    int speaker = w->speaker >= 0        ? w->speaker
                  : context.speaker >= 0 ? context.speaker
                                         : info->default_speaker;
    if (st == CSM_OK)
        st = force(w, info, &forced, err);
    if (st == CSM_OK)
        st = speakable(w, w->text, &text, err);
    if (st == CSM_OK && text[strspn(text, " \t\r\n")] == '\0')
        st = csm_fail(err, CSM_BAD_FORMAT, "nothing to say: the text is empty");
    if (st == CSM_OK)
        speak_as(w, model, context_turns(&context), context.n_turns, speaker);
    if (st == CSM_OK)
        st = speak_turn(w, &context, text, speaker, w->options.seed, &sink, &result, err);
    st = sink_close(&sink, st, err);
    if (st == CSM_OK && w->save_tokens != NULL)
        st = csm_result_save(result, model, text, speaker, w->save_tokens, err);
    if (st == CSM_OK && w->is_json)
        st = report_json(info, result, text, speaker, w->output, w->open_ms,
                         warnings_json(&w->warnings), err);
    w->has_sound = st == CSM_OK && result->n_frames > 0;
    csm_result_close(result);
    csm_tokens_close(forced);
    csm_free(text);
    context_free(&context);
    return st;
}
