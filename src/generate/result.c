/* SPDX-License-Identifier: Apache-2.0
 *
 * A whole utterance: the loop over a generation that keeps everything. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/numbers.h"
#include "base/sized.h"
#include "files/matrix_view.h"
#include "generate/generation.h"
#include "generate/hidden.h"
#include "generate/result.h"

struct kept {
    csm_result result;
    csm_report report;
    size_t room; /* frames */
    struct csm_hidden_states hidden;
    const csm_generate_options *options; /* the caller's, while frames are drawn */
};

static bool on_frame(void *user, const csm_frame *frame)
{
    const struct kept *kept = user;
    return kept->options->on_frame == NULL ||
           kept->options->on_frame(kept->options->user, frame);
}

static void observe(void *user, const char *name, size_t frame, size_t at, const float *data,
                    size_t rows, size_t cols)
{
    struct kept *kept = user;
    if (kept->options->observe != NULL)
        kept->options->observe(kept->options->user, name, frame, at, data, rows, cols);
    csm_hidden_keep(&kept->hidden, name, frame, at, data, rows, cols);
}

/* *array with room for `bytes`; false, and *array as it was, if there is none. */
static bool resize(float **array, size_t n_values)
{
    float *grown = realloc(*array, n_values * sizeof *grown);
    if (grown == NULL)
        return false;
    *array = grown;
    return true;
}

static csm_status grow(struct kept *kept, bool has_sound, bool has_logits, size_t frame_samples,
                       csm_error *err)
{
    csm_result *r = &kept->result;
    size_t room = kept->room == 0 ? 64 : 2 * kept->room;
    size_t n = room * r->n_codebooks;
    int32_t *codes = realloc(r->codes, n * sizeof *codes);
    if (codes != NULL)
        r->codes = codes;
    if (codes == NULL || !resize(&r->margins, n) || !resize(&r->probs, n) ||
        (has_logits && !resize(&r->logits, n * r->vocab)) ||
        (has_sound && !resize(&r->samples, room * frame_samples)))
        return csm_fail(err, CSM_NO_MEMORY, "result: %zu frames", room);
    kept->room = room;
    return CSM_OK;
}

csm_status csm_result_open(const csm_model *model, csm_result **out, csm_error *err)
{
    struct kept *kept = calloc(1, sizeof *kept);
    if (kept == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "result: %zu bytes", sizeof *kept);
    kept->result.n_codebooks = model->info.n_codebooks;
    kept->result.vocab = model->info.vocab;
    *out = &kept->result;
    return CSM_OK;
}

csm_status csm_result_append(csm_result *r, const csm_generation *g, const csm_frame *frame,
                             csm_error *err)
{
    struct kept *kept = (struct kept *)(void *)r; /* its first member */
    size_t n = r->n_codebooks;
    if (r->n_frames == kept->room) {
        csm_status st = grow(kept, frame->samples != NULL, g->options.keep_logits,
                             g->model->info.frame_samples, err);
        if (st != CSM_OK)
            return st;
    }
    memcpy(r->codes + r->n_frames * n, frame->codes, n * sizeof *r->codes);
    memcpy(r->margins + r->n_frames * n, frame->margins, n * sizeof *r->margins);
    memcpy(r->probs + r->n_frames * n, frame->probs, n * sizeof *r->probs);
    if (r->logits != NULL)
        memcpy(r->logits + r->n_frames * n * r->vocab, frame->logits,
               n * r->vocab * sizeof *r->logits);
    if (frame->samples != NULL)
        memcpy(r->samples + r->n_samples, frame->samples, frame->n_samples * sizeof *r->samples);
    r->n_samples += frame->n_samples;
    r->n_frames++;
    return CSM_OK;
}

static csm_status keep_forced(csm_result *r, const csm_generate_options *options, csm_error *err)
{
    size_t n = options->n_forced < r->n_frames ? options->n_forced : r->n_frames;
    size_t n_bytes = n * r->n_codebooks * sizeof *r->forced;
    if (n == 0)
        return CSM_OK;
    r->forced = malloc(n_bytes);
    if (r->forced == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "result: %zu frames", n);
    memcpy(r->forced, options->forced, n_bytes);
    r->n_forced = n;
    return CSM_OK;
}

void csm_result_finish(csm_result *r, const csm_generation *g)
{
    struct kept *kept = (struct kept *)(void *)r;
    r->hidden = kept->hidden.tensors;
    r->n_hidden = kept->hidden.n_tensors;
    kept->report = g->report;
    r->report = &kept->report;
}

csm_status csm_generate(csm_model *model, const csm_request *request,
                        const csm_generate_options *options, csm_result **out, csm_error *err)
{
    return csm_generate_utterance(model, request, options, 0, out, err);
}

csm_status csm_generate_utterance(csm_model *model, const csm_request *request,
                                  const csm_generate_options *options, size_t utterance,
                                  csm_result **out, csm_error *err)
{
    csm_generation *g = NULL;
    csm_result *result = NULL;
    csm_status st = csm_result_open(model, &result, err);
    if (st != CSM_OK)
        return st;
    struct kept *kept = (struct kept *)(void *)result;
    csm_generate_options asked = csm_generate_defaults();
    if (options != NULL)
        st = csm_sized_read(options, &asked, sizeof asked, "generate options", err);
    csm_generate_options own = asked;
    if (asked.hidden_frames != 0) {
        kept->options = &asked;
        kept->hidden.n_frames = asked.hidden_frames;
        kept->hidden.n_codebooks = model->info.n_codebooks;
        own.on_frame = on_frame;
        own.observe = observe;
        own.user = kept;
    }
    if (st == CSM_OK)
        st = csm_generation_open(model, request, &own, &g, err);
    if (st == CSM_OK)
        g->utterance = utterance;
    bool has_frame = true;
    while (st == CSM_OK && has_frame) {
        const csm_frame *frame;
        st = csm_generation_next(g, &frame, err);
        has_frame = frame != NULL;
        if (has_frame && (st == CSM_OK || st == CSM_CANCELLED)) {
            csm_status stored = csm_result_append(result, g, frame, err);
            st = stored != CSM_OK ? stored : st;
        }
    }
    kept->options = NULL;
    if (st == CSM_OK || st == CSM_CANCELLED) {
        csm_status copied = keep_forced(result, &asked, err);
        st = copied != CSM_OK ? copied : st;
    }
    if (kept->hidden.has_no_memory && (st == CSM_OK || st == CSM_CANCELLED))
        st = csm_fail(err, CSM_NO_MEMORY, "hidden states of %zu frames: out of memory",
                      asked.hidden_frames);
    if (st == CSM_OK || st == CSM_CANCELLED) {
        csm_result_finish(result, g);
        *out = result;
    } else {
        csm_result_close(result);
    }
    csm_generation_close(g);
    return st;
}

void csm_result_close(csm_result *result)
{
    if (result == NULL)
        return;
    free(result->codes);
    free(result->margins);
    free(result->probs);
    free(result->logits);
    free(result->samples);
    free(result->forced);
    struct kept *kept = (struct kept *)(void *)result; /* its first member */
    csm_hidden_free(&kept->hidden);
    free(kept);
}

static void say(struct csm_result_words *words, const char *key, const char *value)
{
    if (value == NULL || *value == '\0')
        return;
    words->pairs[2 * words->n] = key;
    words->pairs[2 * words->n + 1] = value;
    words->n++;
}

static void say_number(struct csm_result_words *words, const char *key, const char *format, ...)
    CSM_PRINTF(3, 4);
static void say_number(struct csm_result_words *words, const char *key, const char *format, ...)
{
    char *text = words->numbers[words->n];
    va_list args;
    va_start(args, format);
    csm_vformat(text, sizeof words->numbers[0], format, args);
    va_end(args);
    say(words, key, text);
}

void csm_result_tell(const csm_result *result, const csm_model_info *info, const char *text,
                     int speaker, struct csm_result_words *words)
{
    const csm_report *r = result->report;
    words->n = 0;
    say(words, "text", text);
    say_number(words, "speaker", "%d", speaker);
    say_number(words, "seed", "%" PRIu64, r->seed);
    say(words, "strategy", csm_strategy_name(r->strategy));
    say(words, "engine", r->engine);
    say(words, "engine_version", r->engine_version);
    say(words, "precision", info->precision != CSM_PRECISION_STORED ? csm_precision_name(info->precision)
                                                             : info->stored_dtype);
    say(words, "stream", r->stream);
    say(words, "sampler", r->sampler);
    say(words, "dtype", r->dtype);
    say_number(words, "temperature", "%.15g", r->temperature);
    say_number(words, "topk", "%d", r->top_k);
    say_number(words, "depth_temperature", "%.15g", r->depth_temperature);
    say_number(words, "depth_topk", "%d", r->depth_top_k);
    say(words, "mlx_version", r->mlx_version);
    say(words, "model", info->digest);
    say(words, "version", csm_version());
    say(words, "ended", r->has_ended ? "true" : "false");
    say_number(words, "vocab", "%zu", result->vocab);
    say_number(words, "n_prompt", "%zu", r->n_prompt);
}

csm_status csm_result_save(const csm_result *r, const csm_model *model, const char *text,
                           int speaker, const char *path, csm_error *err)
{
    enum { NAME_SIZE = 80 };
    size_t rows = r->n_frames, columns = r->n_codebooks, n = 0;
    csm_tensor *tensors = calloc(r->n_hidden + 5, sizeof *tensors);
    char(*names)[NAME_SIZE] = calloc(r->n_hidden + 1, sizeof *names);
    csm_status st = CSM_NO_MEMORY;
    if (tensors == NULL || names == NULL) {
        csm_fail(err, st, "%s: out of memory", path);
        goto end;
    }
    tensors[n++] = csm_matrix_view("codes", CSM_DTYPE_I32, r->codes, rows, columns);
    tensors[n++] = csm_matrix_view("margins", CSM_DTYPE_F32, r->margins, rows, columns);
    tensors[n++] = csm_matrix_view("probs", CSM_DTYPE_F32, r->probs, rows, columns);
    if (r->logits != NULL) {
        tensors[n] = csm_matrix_view("logits", CSM_DTYPE_F32, r->logits, rows * columns, r->vocab);
        tensors[n].rank = 3;
        memcpy(tensors[n++].shape, (size_t[]){rows, columns, r->vocab}, 3 * sizeof(size_t));
    }
    if (r->forced != NULL)
        tensors[n++] = csm_matrix_view("forced", CSM_DTYPE_I32, r->forced, r->n_forced, columns);
    for (size_t i = 0; i < r->n_hidden; i++) {
        const csm_hidden *h = &r->hidden[i];
        snprintf(names[i], NAME_SIZE, "hidden.%s", h->name);
        tensors[n++] = csm_matrix_view(names[i], CSM_DTYPE_F32, h->data, h->n_rows, h->width);
    }
    struct csm_result_words words;
    csm_result_tell(r, &model->info, text, speaker, &words);
    st = csm_tensors_write(path, tensors, n, words.pairs, words.n, err);

end:
    free(names);
    free(tensors);
    return st;
}
