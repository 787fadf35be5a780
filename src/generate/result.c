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

/* An utterance as it is gathered: the result that is handed out is its first member. */
struct kept {
    csm_result result;
    csm_report report;
    size_t room; /* frames */
    struct csm_hidden_states hidden;
    csm_generate_options asked;
    csm_generation *generation; /* NULL once it is handed out */
};

static struct kept *kept_of(csm_result *result)
{
    return (struct kept *)(void *)result;
}

static bool on_frame(void *user, const csm_frame *frame)
{
    const struct kept *kept = user;
    return kept->asked.on_frame == NULL || kept->asked.on_frame(kept->asked.user, frame);
}

static void on_ready(void *user)
{
    const struct kept *kept = user;
    kept->asked.on_ready(kept->asked.user);
}

static void observe(void *user, const char *name, size_t frame, size_t at, const float *data,
                    size_t rows, size_t cols)
{
    struct kept *kept = user;
    if (kept->asked.observe != NULL)
        kept->asked.observe(kept->asked.user, name, frame, at, data, rows, cols);
    csm_hidden_keep(&kept->hidden, name, frame, at, data, rows, cols);
}

/* *array with room for n_values; false, and *array as it was, if there is none. */
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

static csm_status append(csm_result *r, const csm_frame *frame, csm_error *err)
{
    struct kept *kept = kept_of(r);
    size_t n = r->n_codebooks;
    if (r->n_frames == kept->room) {
        csm_status st =
            grow(kept, frame->samples != NULL, frame->logits != NULL, frame->n_samples, err);
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

csm_status csm_utterance_open(csm_model *model, const csm_request *request,
                              const csm_generate_options *options, size_t utterance,
                              void (*notify)(void *user), void *user, csm_result **out,
                              csm_error *err)
{
    struct kept *kept = calloc(1, sizeof *kept);
    if (kept == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "result: %zu bytes", sizeof *kept);
    csm_result *result = &kept->result;
    result->n_codebooks = model->info.n_codebooks;
    result->vocab = model->info.vocab;
    result->report = &kept->report;
    kept->asked = csm_generate_defaults();
    csm_status st = CSM_OK;
    if (options != NULL)
        st = csm_sized_read(options, &kept->asked, sizeof kept->asked, "generate options", err);
    csm_generate_options own = kept->asked;
    if (own.hidden_frames != 0) {
        kept->hidden.n_frames = own.hidden_frames;
        kept->hidden.n_codebooks = model->info.n_codebooks;
        own.on_frame = on_frame;
        own.on_ready = own.on_ready != NULL ? on_ready : NULL;
        own.observe = observe;
        own.user = kept;
    }
    if (st == CSM_OK)
        st = csm_generation_open_utterance(model, request, &own, utterance, notify, user,
                                           &kept->generation, err);
    if (st != CSM_OK) {
        csm_result_close(result);
        return st;
    }
    *out = result;
    return CSM_OK;
}

csm_status csm_utterance_read(csm_result *result, int timeout_ms, bool *is_over, csm_error *err)
{
    csm_poll found = CSM_POLL_FRAME;
    csm_status st = CSM_OK;
    while (st == CSM_OK && found == CSM_POLL_FRAME) {
        const csm_frame *frame;
        st = csm_generation_poll(kept_of(result)->generation, timeout_ms, &found, &frame, err);
        if (frame != NULL) {
            csm_error why;
            csm_status stored = append(result, frame, &why);
            if (stored != CSM_OK)
                st = csm_fail(err, stored, "%s", why.text);
        }
    }
    *is_over = st != CSM_OK || found == CSM_POLL_END;
    return st;
}

csm_status csm_utterance_end(csm_result *result, csm_status st, csm_result **out, csm_error *err)
{
    struct kept *kept = kept_of(result);
    csm_error why;
    kept->report.size = sizeof kept->report;
    csm_generation_report(kept->generation, &kept->report);
    csm_generation_close(kept->generation); /* nothing is observed any more */
    kept->generation = NULL;
    csm_status copied = st == CSM_OK || st == CSM_CANCELLED
                            ? keep_forced(result, &kept->asked, &why)
                            : st;
    if (copied == CSM_OK && kept->hidden.has_no_memory)
        copied = csm_fail(&why, CSM_NO_MEMORY, "hidden states of %zu frames: out of memory",
                          kept->asked.hidden_frames);
    if (copied != CSM_OK) {
        if (copied != st)
            csm_fail(err, copied, "%s", why.text);
        csm_result_close(result);
        return copied;
    }
    result->hidden = kept->hidden.tensors;
    result->n_hidden = kept->hidden.n_tensors;
    *out = result;
    return st;
}

csm_status csm_generate(csm_model *model, const csm_request *request,
                        const csm_generate_options *options, csm_result **out, csm_error *err)
{
    csm_result *result = NULL;
    bool is_over = false;
    csm_status st = csm_utterance_open(model, request, options, 0, NULL, NULL, &result, err);
    if (st != CSM_OK)
        return st;
    while (!is_over)
        st = csm_utterance_read(result, -1, &is_over, err);
    return csm_utterance_end(result, st, out, err);
}

void csm_result_close(csm_result *result)
{
    if (result == NULL)
        return;
    struct kept *kept = kept_of(result);
    csm_generation_close(kept->generation); /* before what it writes to */
    free(result->codes);
    free(result->margins);
    free(result->probs);
    free(result->logits);
    free(result->samples);
    free(result->forced);
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
    say(words, "library", r->library);
    say(words, "processor", r->processor);
    if (r->library[0] != '\0') { /* engine native has the same bits with any threads */
        say(words, "device", *info->device != '\0' ? info->device : "cpu");
        say_number(words, "threads", "%d", r->n_threads);
    }
    say(words, "precision", info->precision != CSM_PRECISION_STORED ? csm_precision_name(info->precision)
                                                             : info->stored_dtype);
    say(words, "stream", r->stream);
    say(words, "sampler", r->sampler);
    say(words, "dtype", r->dtype);
    say_number(words, "temperature", "%.15g", r->temperature);
    say_number(words, "topk", "%d", r->top_k);
    say_number(words, "depth_temperature", "%.15g", r->depth_temperature);
    say_number(words, "depth_topk", "%d", r->depth_top_k);
    if (r->top_p < 1.0 || r->depth_top_p < 1.0) {
        say_number(words, "top_p", "%.15g", r->top_p);
        say_number(words, "depth_top_p", "%.15g", r->depth_top_p);
    }
    if (r->min_p > 0.0 || r->depth_min_p > 0.0) {
        say_number(words, "min_p", "%.15g", r->min_p);
        say_number(words, "depth_min_p", "%.15g", r->depth_min_p);
    }
    const csm_cutoffs *const cutoffs[] = {&r->cutoffs, &r->depth_cutoffs};
    static const char *const names[][4] = {
        {"top_h", "typical_p", "epsilon_cutoff", "eta_cutoff"},
        {"depth_top_h", "depth_typical_p", "depth_epsilon_cutoff", "depth_eta_cutoff"}};
    for (size_t i = 0; i < 2; i++) {
        const csm_cutoffs *c = cutoffs[i];
        const double values[] = {c->top_h, c->typical_p, c->epsilon, c->eta};
        for (size_t j = 0; j < 4; j++)
            if (values[j] > 0.0)
                say_number(words, names[i][j], "%.15g", values[j]);
    }
    say(words, "code_rules", r->code_rules);
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
