/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_prompt.c - how much longer the frames of one who speaks take while the prompt of
 * another is read: bench_prompt [MODEL_DIR|f32|bf16|q8|q4] [POSITIONS]. A precision: csm-1b's
 * shape with random weights. One JSON object: the median frame without and with it, their
 * ratio, and how many frames the prompt took. Frames are timed as the scheduler makes them
 * (backbone, depth decoder, draws, codec). */
#include <csm/csm.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/checkpoint_random.h"
#include "generate/generation.h"
#include "generate/model.h"

enum { MOST = 4096 };

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, size_t n)
{
    qsort(x, n, sizeof *x, by_size);
    return n > 0 ? x[n / 2] : 0;
}

static double spent(csm_generation *g)
{
    const csm_report r = csm_report_of(g);
    return r.backbone_ms + r.depth_ms + r.draw_ms + r.codec_ms;
}

/* The next frame of the one who speaks, and what it took. */
static csm_status next(csm_generation *g, double *took, csm_error *err)
{
    const csm_frame *frame;
    const double before = spent(g);
    csm_status st = csm_generation_next(g, &frame, err);
    *took = spent(g) - before;
    return st;
}

/* n positions of codes. */
static struct csm_prompt make_prompt(const csm_model_info *info, size_t n)
{
    const size_t k = info->n_codebooks;
    struct csm_prompt prompt = {
        .n = n, .text = malloc(n * sizeof(int32_t)), .codes = malloc(n * k * sizeof(int32_t))};
    if (prompt.text == NULL || prompt.codes == NULL) {
        fprintf(stderr, "bench_prompt: no memory for %zu positions\n", n);
        exit(1);
    }
    for (size_t i = 0; i < n; i++)
        prompt.text[i] = -1;
    for (size_t i = 0; i < n * k; i++)
        prompt.codes[i] = (int32_t)(1 + i * 7919 % (info->n_entries - 1));
    return prompt;
}

static csm_status open_model(const char *name, csm_model **model, csm_error *err)
{
    static const struct {
        const char *name;
        csm_precision precision;
    } precisions[] = {{"f32", CSM_PRECISION_F32},
                      {"bf16", CSM_PRECISION_STORED},
                      {"q8", CSM_PRECISION_Q8},
                      {"q4", CSM_PRECISION_Q4}};
    csm_model_options options = csm_model_defaults();
    for (size_t i = 0; name != NULL && i < sizeof precisions / sizeof *precisions; i++) {
        csm_checkpoint *checkpoint;
        if (strcmp(name, precisions[i].name) != 0)
            continue;
        options.precision = precisions[i].precision;
        csm_status st = csm_checkpoint_random(i == 0 ? CSM_DTYPE_F32 : CSM_DTYPE_BF16, true,
                                              &checkpoint, err);
        return st == CSM_OK
                   ? csm_model_open_checkpoint("random:csm-1b", checkpoint, &options, model, err)
                   : st;
    }
    return csm_model_open(name, &options, model, err);
}

int main(int argc, char **argv)
{
    csm_error err;
    csm_model *model = NULL;
    csm_generation *speaker = NULL, *reader = NULL;
    const size_t n_positions = argc > 2 ? strtoul(argv[2], NULL, 10) : 1500;
    static double alone[MOST], beside[MOST];
    size_t n_alone = 0, n_beside = 0;
    csm_status st = open_model(argc > 1 ? argv[1] : NULL, &model, &err);
    if (st != CSM_OK) {
        fprintf(stderr, "bench_prompt: %s\n", err.text);
        return 1;
    }
    const csm_model_info *info = csm_model_describe(model);
    struct csm_prompt few = make_prompt(info, 16), many = make_prompt(info, n_positions);
    csm_generate_options options = csm_generate_defaults();
    options.n_ahead = 1;
    options.without_sound = !info->has_codec;
    options.max_frames = options.min_frames = info->max_positions - 64;
    st = csm_generation_open_prompt(model, &few, &options, &speaker, &err);
    for (size_t i = 0; st == CSM_OK && i < 100; i++) {
        double took;
        st = next(speaker, &took, &err);
        if (i >= 20)
            alone[n_alone++] = took;
    }
    options.max_frames = options.min_frames = 1;
    if (st == CSM_OK)
        st = csm_generation_open_prompt(model, &many, &options, &reader, &err);
    csm_poll found = CSM_POLL_PENDING;
    while (st == CSM_OK && found == CSM_POLL_PENDING && n_beside < MOST) {
        const csm_frame *frame;
        st = next(speaker, &beside[n_beside++], &err);
        if (st == CSM_OK)
            st = csm_generation_poll(reader, 0, &found, &frame, &err);
    }
    if (st != CSM_OK)
        fprintf(stderr, "bench_prompt: %s\n", err.text);
    else
        printf("{\"alone_ms\": %.3f, \"beside_ms\": %.3f, \"ratio\": %.3f, \"frames_beside\": %zu, "
               "\"positions\": %zu}\n",
               median(alone, n_alone), median(beside, n_beside),
               median(beside, n_beside) / median(alone, n_alone), n_beside, n_positions);
    csm_generation_close(speaker);
    csm_generation_close(reader);
    csm_model_close(model);
    csm_prompt_free(&few);
    csm_prompt_free(&many);
    return st != CSM_OK;
}
