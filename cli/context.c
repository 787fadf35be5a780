/* SPDX-License-Identifier: Apache-2.0 */
#include "context.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <csm/audio.h>
#include <csm/voices.h>

/* A named speaker of the model, or a recording, whose last turn's speaker speaks. */
static csm_status add_voice(const char *name, int speaker, csm_model *model,
                            struct context *context, csm_error *err)
{
    csm_voice voice;
    csm_status st = csm_voice_find(model, name, &voice, err);
    if (st != CSM_OK)
        return st;
    context->speaker = voice.speaker;
    if (voice.path[0] == '\0' && speaker >= 0 && speaker != voice.speaker)
        return csm_fail(err, CSM_BAD_ARG, "--voice %s with --speaker %d: it is speaker %d of the model",
                        name, speaker, voice.speaker);
    if (voice.path[0] == '\0')
        return CSM_OK;
    st = csm_session_load(context->session, voice.path, err);
    size_t n = csm_session_count(context->session);
    if (st == CSM_OK && n > 0)
        context->speaker = csm_session_turn(context->session, n - 1).speaker;
    return st;
}

static csm_status add_recording(const struct context_options *o, size_t i, csm_model *model,
                                struct context *context, struct warnings *warnings,
                                csm_error *err)
{
    const csm_model_info *info = csm_model_describe(model);
    const char *speaker = o->speaker.n > 0 ? o->speaker.items[i] : "0";
    char *end;
    const long number = strtol(speaker, &end, 10);
    if (*speaker == '\0' || *end != '\0' || number < 0 || number > INT_MAX)
        return csm_fail(err, CSM_BAD_ARG, "--context-speaker: '%s', expected 0 or more", speaker);
    csm_turn turn = {.text = o->text.items[i], .speaker = (int)number};
    /* As the reference of the layout does: its codes, then, are the prompt's. */
    bool is_hf = strcmp(info->layout, "hf") == 0;
    float *samples = NULL;
    csm_remark remark;
    csm_status st = csm_audio_read_told(o->audio.items[i], info->sample_rate_hz,
                                        is_hf ? CSM_RESAMPLER_SOXR : CSM_RESAMPLER_TORCHAUDIO,
                                        HUGE_VAL, &samples, &turn.n_samples, &remark, err);
    turn.samples = samples;
    if (st == CSM_OK && remark.code[0] != '\0')
        warn(warnings, &remark);
    csm_remark heard[CSM_REFERENCE_REMARKS];
    const size_t n_heard = st == CSM_OK ? csm_remark_reference(o->audio.items[i], turn.text, samples, turn.n_samples,
                                                               info->sample_rate_hz, heard)
                                        : 0;
    for (size_t k = 0; k < n_heard; k++)
        warn(warnings, &heard[k]);
    if (st == CSM_OK)
        st = csm_session_add(context->session, &turn, err);
    csm_free(samples);
    return st;
}

csm_status context_settle(struct context *context, csm_error *err)
{
    const size_t n = csm_session_count(context->session);
    csm_turn *turns = realloc(context->turns, (n + 1) * sizeof *turns);
    if (turns == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "context: %zu turns: out of memory", n);
    context->turns = turns;
    context->n_turns = n;
    csm_session_pin(context->session);
    return CSM_OK;
}

const csm_turn *context_turns(const struct context *context)
{
    for (size_t i = 0; i < context->n_turns; i++)
        context->turns[i] = csm_session_turn(context->session, i);
    return context->turns;
}

csm_status context_read(const struct context_options *options, int speaker, csm_model *model,
                        struct context *context, struct warnings *warnings, csm_error *err)
{
    *context = (struct context){.speaker = -1};
    csm_status st = csm_session_open(model, &context->session, err);
    if (st == CSM_OK && options->voice != NULL)
        st = add_voice(options->voice, speaker, model, context, err);
    for (size_t i = 0; st == CSM_OK && i < options->audio.n; i++)
        st = add_recording(options, i, model, context, warnings, err);
    if (st == CSM_OK)
        st = context_settle(context, err);
    return st;
}

void context_free(struct context *context)
{
    free(context->turns);
    context->turns = NULL;
    csm_session_close(context->session);
    context->session = NULL;
}
