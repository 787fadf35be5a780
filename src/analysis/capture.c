/* SPDX-License-Identifier: Apache-2.0
 *
 * capture.c - runs of the engine as tokens to analyze. */
#include <stdlib.h>
#include <string.h>

#include "analysis/tokens.h"
#include "base/error.h"
#include "base/numbers.h"
#include "base/sized.h"
#include "generate/result.h"

static csm_status describe(csm_tokens *t, const csm_result *result, const csm_model_info *info,
                           const char *text, int speaker, csm_error *err)
{
    struct csm_result_words words;
    csm_result_tell(result, info, text, speaker, &words);
    csm_status status = CSM_OK;
    for (size_t i = 0; i < words.n && status == CSM_OK; i++)
        status = csm_tokens_set_metadata(t, words.pairs[2 * i], words.pairs[2 * i + 1], err);
    const struct {
        const char *key;
        double ms;
    } timings[] = {{"first_frame_ms", result->report->first_frame_ms},
                   {"total_ms", result->report->total_ms}};
    for (size_t i = 0; i < 2 && status == CSM_OK; i++) {
        char number[32];
        csm_format(number, sizeof number, "%.3f", timings[i].ms);
        status = csm_tokens_set_metadata(t, timings[i].key, number, err);
    }
    return status;
}

/* Tokens take the arrays of the result over. */
static void take_arrays(struct csm_tokens_owner *t, csm_result *result)
{
    size_t n = result->n_frames * result->n_codebooks;
    t->margins = result->margins;
    t->probs = result->probs;
    t->logits = result->logits;
    t->forced = result->forced;
    t->shown.forced = t->forced;
    t->shown.n_forced = result->n_forced;
    t->shown.margins = t->margins;
    t->shown.probs = t->probs;
    t->shown.vocab = result->vocab;
    if (t->logits != NULL)
        t->shown.logits = (csm_tensor){.name = "logits",
                                       .dtype = CSM_DTYPE_F32,
                                       .rank = 3,
                                       .shape = {result->n_frames, result->n_codebooks,
                                                 result->vocab},
                                       .data = t->logits,
                                       .n_bytes = n * result->vocab * sizeof(float)};
    result->margins = result->probs = result->logits = NULL;
    result->forced = NULL;
}

static csm_status copy_hidden(struct csm_tokens_owner *t, const csm_result *result, csm_error *err)
{
    size_t n = result->n_hidden;
    t->hidden = calloc(n + 1, sizeof *t->hidden);
    t->hidden_names = calloc(n + 1, sizeof *t->hidden_names);
    t->hidden_data = calloc(n + 1, sizeof *t->hidden_data);
    if (t->hidden == NULL || t->hidden_names == NULL || t->hidden_data == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "capture: out of memory");
    t->shown.hidden = t->hidden;
    for (size_t i = 0; i < n; i++) {
        const csm_hidden *from = &result->hidden[i];
        size_t n_bytes = from->n_rows * from->width * sizeof *from->data;
        t->hidden_names[i] = strdup(from->name);
        t->hidden_data[i] = malloc(n_bytes);
        t->shown.n_hidden = i + 1; /* what csm_tokens_close frees */
        if (t->hidden_names[i] == NULL || t->hidden_data[i] == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "capture of hidden states: out of memory");
        memcpy(t->hidden_data[i], from->data, n_bytes);
        t->hidden[i] = (csm_hidden){t->hidden_names[i], from->n_rows, from->width,
                                    t->hidden_data[i]};
    }
    csm_hidden_sort(t->hidden, n);
    return CSM_OK;
}

static csm_status run_one(const csm_turn *context, size_t n_context, const char *text, int speaker,
                          const csm_capture *run, const csm_capture_options *what,
                          csm_tokens **out, csm_error *err)
{
    csm_generate_options options = csm_generate_defaults();
    csm_status status = CSM_OK;
    if (run->options != NULL)
        status = csm_sized_read(run->options, &options, sizeof options, "generate options", err);
    options.keep_logits = options.keep_logits || what->logits;
    if (options.hidden_frames < what->hidden_frames)
        options.hidden_frames = what->hidden_frames;
    csm_result *result = NULL;
    csm_tokens *tokens = NULL;

    csm_request request = csm_request_of(text, speaker);
    request.context = context;
    request.n_context = n_context;
    if (status == CSM_OK)
        status = csm_generate(run->model, &request, &options, &result, err);
    const csm_model_info *info = csm_model_describe(run->model);
    if (status == CSM_OK)
        status = csm_tokens_make(info->engine, result->codes, result->n_frames,
                                result->n_codebooks, &tokens, err);
    if (status == CSM_OK)
        status = describe(tokens, result, info, text, speaker, err);
    if (status == CSM_OK && result->samples != NULL)
        status = csm_tokens_set_samples(tokens, result->samples, result->n_samples,
                                        info->sample_rate_hz, err);
    if (status == CSM_OK) {
        take_arrays((struct csm_tokens_owner *)(void *)tokens, result);
        status = copy_hidden((struct csm_tokens_owner *)(void *)tokens, result, err);
    }
    if (status == CSM_OK)
        *out = tokens;
    else
        csm_tokens_close(tokens);
    csm_result_close(result);
    return status;
}

csm_status csm_capture_tokens(const csm_turn *context, size_t n_context, const char *text,
                              int speaker, const csm_capture *runs, size_t n_runs,
                              const csm_capture_options *what, csm_tokens **out, csm_error *err)
{
    const csm_capture_options nothing_more = {0};
    memset(out, 0, n_runs * sizeof *out);
    csm_status status = CSM_OK;
    for (size_t i = 0; i < n_runs && status == CSM_OK; i++)
        status = run_one(context, n_context, text, speaker, &runs[i],
                         what != NULL ? what : &nothing_more, &out[i], err);
    for (size_t i = 0; i < n_runs && status != CSM_OK; i++) {
        csm_tokens_close(out[i]);
        out[i] = NULL;
    }
    return status;
}
