/* SPDX-License-Identifier: Apache-2.0
 *
 * capture.c - runs of the engine as tokens to analyze. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/tokens.h"
#include "base/error.h"

enum { MOST_TENSORS = 256 };

/* One tensor of the computation, growing row by row. */
struct growing {
    char *name;
    float *data;
    size_t n_rows, width, room; /* room in rows */
};

/* What stands between the engine's callbacks and the caller's. */
struct capture {
    const csm_generate_options *options; /* the caller's */
    size_t hidden_frames;
    struct growing tensors[MOST_TENSORS];
    size_t n_tensors;
    bool has_no_memory;
};

static struct growing *tensor_named(struct capture *c, const char *name, size_t width)
{
    for (size_t i = 0; i < c->n_tensors; i++)
        if (strcmp(c->tensors[i].name, name) == 0)
            return c->tensors[i].width == width ? &c->tensors[i] : NULL;
    if (c->n_tensors == MOST_TENSORS)
        return NULL;
    struct growing *t = &c->tensors[c->n_tensors];
    *t = (struct growing){.name = strdup(name), .width = width};
    c->n_tensors += t->name != NULL;
    c->has_no_memory = c->has_no_memory || t->name == NULL;
    return t->name != NULL ? t : NULL;
}

static void observe(void *user, const char *name, size_t frame, size_t at, const float *data,
                    size_t rows, size_t cols)
{
    struct capture *c = user;
    if (c->options->observe != NULL)
        c->options->observe(c->options->user, name, frame, at, data, rows, cols);
    if (frame >= c->hidden_frames || strcmp(name, "logits") == 0 || c->has_no_memory)
        return;
    struct growing *t = tensor_named(c, name, cols);
    if (t == NULL)
        return;
    if (t->n_rows + rows > t->room) {
        size_t room = 2 * (t->n_rows + rows);
        float *grown = realloc(t->data, room * cols * sizeof *grown);
        if (grown == NULL) {
            c->has_no_memory = true;
            return;
        }
        t->data = grown;
        t->room = room;
    }
    memcpy(t->data + t->n_rows * cols, data, rows * cols * sizeof *data);
    t->n_rows += rows;
}

static bool on_frame(void *user, const csm_frame *frame)
{
    struct capture *c = user;
    return c->options->on_frame(c->options->user, frame);
}

/* ---- a result as tokens ------------------------------------------------------------ */

static csm_status set(csm_tokens *tokens, const char *key, csm_error *err, const char *format, ...)
    CSM_PRINTF(4, 5);
static csm_status set(csm_tokens *tokens, const char *key, csm_error *err, const char *format, ...)
{
    char text[64];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return csm_tokens_set_metadata(tokens, key, text, err);
}

static csm_status describe(csm_tokens *t, const csm_result *result, const csm_model_info *info,
                           const char *text, int speaker, csm_error *err)
{
    const csm_report *r = &result->report;
    const struct {
        const char *key, *value;
    } strings[] = {
        {"text", text},
        {"strategy", csm_strategy_name(r->strategy)},
        {"engine", r->engine},
        {"engine_version", r->engine_version},
        {"precision", info->precision != CSM_AS_STORED ? csm_precision_name(info->precision) : info->stored_dtype},
        {"stream", r->stream},
        {"sampler", r->sampler},
        {"dtype", r->dtype},
        {"mlx_version", r->mlx_version},
        {"model", info->digest},
        {"version", csm_version()},
        {"ended", r->has_ended ? "true" : "false"},
    };
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
        const char *value = strings[i].value;
        if (value == NULL || *value == '\0')
            continue;
        csm_status status = csm_tokens_set_metadata(t, strings[i].key, value, err);
        if (status != CSM_OK)
            return status;
    }
    csm_status status;
    if ((status = set(t, "speaker", err, "%d", speaker)) != CSM_OK ||
        (status = set(t, "seed", err, "%" PRIu64, r->seed)) != CSM_OK ||
        (status = set(t, "temperature", err, "%.15g", r->temperature)) != CSM_OK ||
        (status = set(t, "topk", err, "%d", r->top_k)) != CSM_OK ||
        (status = set(t, "depth_temperature", err, "%.15g", r->depth_temperature)) != CSM_OK ||
        (status = set(t, "depth_topk", err, "%d", r->depth_top_k)) != CSM_OK ||
        (status = set(t, "vocab", err, "%zu", result->vocab)) != CSM_OK ||
        (status = set(t, "n_prompt", err, "%zu", r->n_prompt)) != CSM_OK ||
        (status = set(t, "first_frame_ms", err, "%.3f", r->first_frame_ms)) != CSM_OK)
        return status;
    return set(t, "total_ms", err, "%.3f", r->total_ms);
}

/* Tokens take the arrays of the result over. */
static void take_arrays(struct csm_tokens_owner *t, csm_result *result)
{
    size_t n = result->n_frames * result->n_codebooks;
    t->margins = result->margins;
    t->probs = result->probs;
    t->logits = result->logits;
    t->shown.margins = t->margins;
    t->shown.probs = t->probs;
    t->shown.vocab = result->vocab;
    if (t->logits != NULL)
        t->shown.logits = (csm_tensor){.name = "logits",
                                       .dtype = CSM_F32,
                                       .rank = 3,
                                       .shape = {result->n_frames, result->n_codebooks,
                                                 result->vocab},
                                       .data = t->logits,
                                       .n_bytes = n * result->vocab * sizeof(float)};
    result->margins = result->probs = result->logits = NULL;
}

static csm_status take_hidden(struct csm_tokens_owner *t, struct capture *c, csm_error *err)
{
    size_t n = c->n_tensors;
    t->hidden = calloc(n + 1, sizeof *t->hidden);
    t->hidden_names = calloc(n + 1, sizeof *t->hidden_names);
    t->hidden_data = calloc(n + 1, sizeof *t->hidden_data);
    if (t->hidden == NULL || t->hidden_names == NULL || t->hidden_data == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "capture: out of memory");
    for (size_t i = 0; i < n; i++) {
        struct growing *from = &c->tensors[i];
        t->hidden_names[i] = from->name;
        t->hidden_data[i] = from->data;
        t->hidden[i] = (csm_hidden){from->name, from->n_rows, from->width, from->data};
        *from = (struct growing){0};
    }
    t->shown.hidden = t->hidden;
    t->shown.n_hidden = n;
    csm_hidden_sort(t->hidden, n);
    return CSM_OK;
}

static csm_status run_one(const csm_turn *context, size_t n_context, const char *text, int speaker,
                          const csm_capture *run, const csm_capture_options *what,
                          csm_tokens **out, csm_error *err)
{
    const csm_generate_options defaults = csm_generate_defaults();
    struct capture *c = calloc(1, sizeof *c);
    csm_result *result = NULL;
    csm_tokens *tokens = NULL;
    if (c == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "capture: out of memory");
    c->options = run->options != NULL ? run->options : &defaults;
    c->hidden_frames = what->hidden_frames;
    csm_generate_options options = *c->options;
    options.keep_logits = options.keep_logits || what->logits;
    options.user = c;
    options.on_frame = options.on_frame != NULL ? on_frame : NULL;
    options.observe = what->hidden_frames != 0 || options.observe != NULL ? observe : NULL;

    csm_status status = csm_generate(run->model, context, n_context, text, speaker, &options,
                                     &result, err);
    if (status == CSM_OK && c->has_no_memory)
        status = csm_fail(err, CSM_NO_MEMORY, "capture of hidden states: out of memory");
    const csm_model_info *info = csm_model_describe(run->model);
    if (status == CSM_OK)
        status = csm_tokens_new(info->engine, result->codes, result->n_frames,
                                result->n_codebooks, &tokens, err);
    if (status == CSM_OK)
        status = describe(tokens, result, info, text, speaker, err);
    if (status == CSM_OK && result->samples != NULL)
        status = csm_tokens_set_samples(tokens, result->samples, result->n_samples,
                                        info->sample_rate_hz, err);
    if (status == CSM_OK) {
        take_arrays((struct csm_tokens_owner *)(void *)tokens, result);
        status = take_hidden((struct csm_tokens_owner *)(void *)tokens, c, err);
    }
    if (status == CSM_OK)
        *out = tokens;
    else
        csm_tokens_free(tokens);
    csm_result_free(result);
    for (size_t i = 0; i < c->n_tensors; i++) {
        free(c->tensors[i].name);
        free(c->tensors[i].data);
    }
    free(c);
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
        csm_tokens_free(out[i]);
        out[i] = NULL;
    }
    return status;
}
