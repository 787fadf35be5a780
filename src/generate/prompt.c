/* SPDX-License-Identifier: Apache-2.0
 *
 * The prompt: for each turn its text, one position a frame of its sound, and one
 * frame of end-of-sound codes; then the text to be spoken. */
#include "generate/prompt.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "generate/generation.h"
#include "generate/model.h"

void csm_prompt_free(struct csm_prompt *prompt)
{
    free(prompt->text);
    free(prompt->codes);
    *prompt = (struct csm_prompt){0};
}

static csm_status grow(struct csm_prompt *prompt, size_t n_codebooks, size_t n_more, csm_error *err)
{
    size_t n = prompt->n + n_more;
    if (n <= prompt->n_rooms)
        return CSM_OK;
    n += n / 2;
    int32_t *text = realloc(prompt->text, (n + 1) * sizeof *text);
    if (text != NULL)
        prompt->text = text;
    int32_t *codes = realloc(prompt->codes, (n * n_codebooks + 1) * sizeof *codes);
    if (codes != NULL)
        prompt->codes = codes;
    if (text == NULL || codes == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "prompt: %zu positions", n);
    prompt->n_rooms = n;
    return CSM_OK;
}

static csm_status add_text(const csm_model *model, const char *text, int speaker,
                           struct csm_prompt *prompt, csm_error *err)
{
    int32_t *ids = NULL;
    size_t n = 0;
    csm_status st = csm_model_tokenize(model, text, speaker, &ids, &n, err);
    for (size_t i = 0; st == CSM_OK && i < n; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= model->info.text_vocab)
            st = csm_fail(err, CSM_BAD_FORMAT,
                          "tokenizer.json: id %d, expected below the model's text vocabulary of %zu",
                          ids[i], model->info.text_vocab);
    if (st == CSM_OK)
        st = grow(prompt, model->info.n_codebooks, n, err);
    if (st == CSM_OK) {
        memcpy(prompt->text + prompt->n, ids, n * sizeof *ids);
        memset(prompt->codes + prompt->n * model->info.n_codebooks, 0,
               n * model->info.n_codebooks * sizeof *prompt->codes);
        prompt->n += n;
    }
    csm_free(ids);
    return st;
}

/* Room for n frames and the one that ends them; `*codes` is where they go. */
static csm_status add_frames(const csm_model *model, size_t n, struct csm_prompt *prompt,
                             int32_t **codes, csm_error *err)
{
    size_t k = model->info.n_codebooks;
    csm_status st = grow(prompt, k, n + 1, err);
    if (st != CSM_OK)
        return st;
    for (size_t i = 0; i < n + 1; i++)
        prompt->text[prompt->n + i] = -1;
    *codes = prompt->codes + prompt->n * k;
    for (size_t i = 0; i < k; i++)
        (*codes)[n * k + i] = csm_checkpoint_config(model->checkpoint)->code_eos;
    prompt->n += n + 1;
    return CSM_OK;
}

static csm_status add_sound(csm_model *model, size_t turn, const csm_turn *t,
                            struct csm_prompt *prompt, csm_error *err)
{
    size_t k = model->info.n_codebooks;
    size_t per_frame = model->info.frame_samples;
    int32_t *codes = NULL;
    csm_status st;
    if (t->codes != NULL && t->n_frames > 0) {
        for (size_t i = 0; i < t->n_frames * k; i++)
            if (t->codes[i] < 0 || (size_t)t->codes[i] >= model->info.vocab)
                return csm_fail(err, CSM_BAD_ARG,
                                "context turn %zu, frame %zu, codebook %zu: code %d, expected 0 to "
                                "%zu",
                                turn + 1, i / k, i % k, t->codes[i], model->info.vocab - 1);
        st = add_frames(model, t->n_frames, prompt, &codes, err);
        if (st == CSM_OK)
            memcpy(codes, t->codes, t->n_frames * k * sizeof *codes);
        return st;
    }
    if (t->samples == NULL || t->n_samples == 0)
        return csm_fail(err, CSM_BAD_ARG, "context turn %zu: no sound, expected samples or codes",
                        turn + 1);
    const size_t n_frames = (t->n_samples + per_frame - 1) / per_frame;
    st = csm_check_room(model, prompt->n + n_frames, 0, err); /* not after hours of encoding */
    if (st == CSM_OK)
        st = add_frames(model, n_frames, prompt, &codes, err);
    if (st == CSM_OK)
        st = csm_codec_encode(&model->codec, t->samples, t->n_samples, k, codes, err);
    return st;
}

csm_status csm_context_check(const csm_turn *context, size_t n, csm_error *err)
{
    return n == 0 || context != NULL
               ? CSM_OK
               : csm_fail(err, CSM_BAD_ARG, "context: none, expected %zu turns", n);
}

csm_status csm_prompt_build(csm_model *model, const csm_request *request, struct csm_prompt *prompt,
                            csm_error *err)
{
    const csm_turn *context = request->context;
    csm_status st = CSM_OK;
    for (size_t i = 0; st == CSM_OK && i < request->n_context; i++) {
        st = add_text(model, context[i].text, context[i].speaker, prompt, err);
        if (st == CSM_OK)
            st = add_sound(model, i, &context[i], prompt, err);
    }
    return st == CSM_OK ? add_text(model, request->text, request->speaker, prompt, err) : st;
}

static csm_status count_text(const csm_model *model, const char *text, int speaker, size_t *n,
                             csm_error *err)
{
    int32_t *ids;
    size_t n_ids = 0;
    csm_status st = csm_model_tokenize(model, text, speaker, &ids, &n_ids, err);
    if (st == CSM_OK)
        csm_free(ids);
    *n += n_ids;
    return st;
}

csm_status csm_prompt_count(const csm_model *model, const csm_request *request, size_t *n,
                            csm_error *err)
{
    const size_t per_frame = model->info.frame_samples;
    csm_status st = CSM_OK;
    *n = 0;
    for (size_t i = 0; st == CSM_OK && i < request->n_context; i++) {
        const csm_turn *t = &request->context[i];
        st = count_text(model, t->text, t->speaker, n, err);
        *n += 1 + (t->codes != NULL ? t->n_frames : (t->n_samples + per_frame - 1) / per_frame);
    }
    return st == CSM_OK ? count_text(model, request->text, request->speaker, n, err) : st;
}

size_t csm_prompt_shared(const struct csm_prompt *a, const struct csm_prompt *b,
                         size_t n_codebooks)
{
    size_t n = 0;
    while (a->adapter == b->adapter && n < a->n && n < b->n && a->text[n] == b->text[n] &&
           (a->text[n] >= 0 || memcmp(a->codes + n * n_codebooks, b->codes + n * n_codebooks,
                                      n_codebooks * sizeof *a->codes) == 0))
        n++;
    return n;
}

csm_status csm_prompt_append(struct csm_prompt *prompt, const int32_t *codes, size_t n_codebooks,
                             csm_error *err)
{
    csm_status st = grow(prompt, n_codebooks, 1, err);
    if (st != CSM_OK)
        return st;
    prompt->text[prompt->n] = -1;
    memcpy(prompt->codes + prompt->n * n_codebooks, codes, n_codebooks * sizeof *codes);
    prompt->n++;
    return CSM_OK;
}
