/* SPDX-License-Identifier: Apache-2.0
 *
 * A whole utterance: the loop over a generation that keeps everything. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "generate/generation.h"

/* The report's strings that do not outlive the generation. */
struct kept {
    csm_result result;
    char mlx_version[sizeof((csm_generation *)0)->mlx_version];
    char fallback[sizeof((csm_generation *)0)->fallback];
    size_t room; /* frames */
};

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

static csm_status keep(struct kept *kept, const csm_generation *g, const csm_frame *frame,
                       csm_error *err)
{
    csm_result *r = &kept->result;
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

csm_status csm_generate(csm_model *model, const csm_turn *context, size_t n_context,
                        const char *text, int speaker, const csm_generate_options *options,
                        csm_result **out, csm_error *err)
{
    csm_generation *g = NULL;
    struct kept *kept = calloc(1, sizeof *kept);
    if (kept == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "result: %zu bytes", sizeof *kept);
    kept->result.n_codebooks = model->info.n_codebooks;
    kept->result.vocab = model->info.vocab;

    csm_status st =
        csm_generation_start(model, context, n_context, text, speaker, options, &g, err);
    bool has_frame = true;
    while (st == CSM_OK && has_frame) {
        csm_frame frame;
        st = csm_generation_next(g, &frame, &has_frame, err);
        if (has_frame && (st == CSM_OK || st == CSM_CANCELLED)) {
            csm_status stored = keep(kept, g, &frame, err);
            st = stored != CSM_OK ? stored : st;
        }
    }
    if (st == CSM_OK || st == CSM_CANCELLED) {
        kept->result.report = g->report;
        memcpy(kept->mlx_version, g->mlx_version, sizeof kept->mlx_version);
        kept->result.report.mlx_version = kept->mlx_version;
        memcpy(kept->fallback, g->fallback, sizeof kept->fallback);
        kept->result.report.fallback = kept->fallback;
        *out = &kept->result;
    } else {
        csm_result_free(&kept->result);
    }
    csm_generation_free(g);
    return st;
}

void csm_result_free(csm_result *result)
{
    if (result == NULL)
        return;
    free(result->codes);
    free(result->margins);
    free(result->probs);
    free(result->logits);
    free(result->samples);
    free(result); /* the first member of struct kept */
}

csm_status csm_result_save(const csm_result *r, const csm_model *model, const char *text,
                           int speaker, const char *path, csm_error *err)
{
    size_t n = r->n_frames * r->n_codebooks;
    const csm_tensor tensors[] = {
        {"codes", CSM_I32, 2, {r->n_frames, r->n_codebooks}, r->codes, n * sizeof *r->codes},
        {"margins", CSM_F32, 2, {r->n_frames, r->n_codebooks}, r->margins, n * sizeof *r->margins},
        {"probs", CSM_F32, 2, {r->n_frames, r->n_codebooks}, r->probs, n * sizeof *r->probs},
        {"logits",
         CSM_F32,
         3,
         {r->n_frames, r->n_codebooks, r->vocab},
         r->logits,
         n * r->vocab * sizeof *r->logits},
    };
    char speaker_text[24], seed[24], temperature[32], topk[24], depth_temperature[32],
        depth_topk[24], vocab[24], n_prompt[24];
    snprintf(speaker_text, sizeof speaker_text, "%d", speaker);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)r->report.seed);
    snprintf(temperature, sizeof temperature, "%.15g", r->report.temperature);
    snprintf(topk, sizeof topk, "%d", r->report.top_k);
    snprintf(depth_temperature, sizeof depth_temperature, "%.15g", r->report.depth_temperature);
    snprintf(depth_topk, sizeof depth_topk, "%d", r->report.depth_top_k);
    snprintf(vocab, sizeof vocab, "%zu", r->vocab);
    snprintf(n_prompt, sizeof n_prompt, "%zu", r->report.n_prompt);
    const csm_model_info *info = &model->info;
    const char *const metadata[] = {
        "precision",   info->precision != CSM_AS_STORED ? csm_precision_name(info->precision)
                                                        : info->stored_dtype,
        "mlx_version", r->report.mlx_version != NULL ? r->report.mlx_version : "",
        "vocab",       vocab,
        "n_prompt",    n_prompt,
        "text",        text,
        "speaker",     speaker_text,
        "seed",        seed,
        "strategy",    csm_strategy_name(r->report.strategy),
        "engine",      r->report.engine,
        "stream",      r->report.stream,
        "sampler",     r->report.sampler,
        "dtype",       r->report.dtype,
        "temperature", temperature,
        "topk",        topk,
        "depth_temperature", depth_temperature,
        "depth_topk",  depth_topk,
        "model",       model->info.digest,
        "version",     csm_version(),
        "ended",       r->report.has_ended ? "true" : "false",
    };
    return csm_tensors_write(path, tensors, r->logits != NULL ? 4 : 3, metadata,
                             sizeof metadata / sizeof *metadata / 2, err);
}
