/* SPDX-License-Identifier: Apache-2.0 */
#include "generate/warm_up.h"

#include <stdlib.h>

#include "base/error.h"

/* Positions of the prompt: as many as the scheduler reads at once. */
enum { POSITIONS = 128, FRAMES = 2 };

/* Greedy, so that no noise is needed. */
static csm_status draw_frames(struct csm_host *host, struct csm_sequence *sequence, int32_t *codes,
                              float *logits, csm_error *err)
{
    const struct csm_engine *engine = &host->engine;
    const struct csm_frame_draw draw = {.kind = CSM_DRAW_RACE, .dtype = CSM_DTYPE_F32, .may_go_on = true};
    csm_lane *depth;
    csm_status st = csm_pass_depth_lane(&host->pass, 0, &depth, err);
    for (int f = 0; st == CSM_OK && f < FRAMES; f++) {
        struct csm_frame_lane lane = {.backbone = sequence->lane,
                                      .depth = depth,
                                      .feed = f > 0 ? codes : NULL,
                                      .hidden = sequence->hidden,
                                      .draw = &draw,
                                      .codes = codes,
                                      .logits = logits};
        if (f > 0)
            st = csm_sequence_reserve(sequence, 1, err);
        if (st == CSM_OK)
            st = engine->ops->frame(engine->ctx, &host->language.parts, &lane, 1, err);
        sequence->n_positions += f > 0;
    }
    return st;
}

static csm_status speak(csm_model *m, struct csm_sequence *sequence, int32_t *text, csm_error *err)
{
    const size_t k = m->info.n_codebooks, vocab = m->info.vocab;
    const size_t most = m->info.max_positions > FRAMES ? m->info.max_positions - FRAMES : 1;
    const struct csm_feed feed = {.sequence = sequence, .text = text, .n = most < POSITIONS ? most : POSITIONS};
    int32_t *codes = calloc(k, sizeof *codes);
    float *logits = malloc(k * vocab * sizeof *logits);
    csm_status st = codes != NULL && logits != NULL
                        ? csm_pass_feed(&m->host.pass, &feed, 1, err)
                        : csm_fail(err, CSM_NO_MEMORY, "model: a frame of %zu codes", k);
    if (st == CSM_OK && m->host.traits->whole_frame)
        st = draw_frames(&m->host, sequence, codes, logits, err);
    free(codes);
    free(logits);
    return st;
}

/* Of n streams together, where the codec takes them so. */
static csm_status decode(csm_model *m, struct csm_mimi_stream *streams, struct csm_mimi_stream **list, size_t n,
                         int32_t *codes, float *samples, float **out, csm_error *err)
{
    const size_t k = m->info.n_codebooks;
    csm_status st = CSM_OK;
    for (size_t i = 0; st == CSM_OK && i < n; i++) {
        st = csm_mimi_decoder_open(&m->codec.mimi, 1, &streams[i], err);
        list[i] = &streams[i];
        out[i] = samples; /* nobody hears it */
    }
    for (int f = 0; st == CSM_OK && f < FRAMES; f++)
        if (m->codec.mimi.engine->ops->conv_lanes == NULL)
            st = csm_mimi_decode(streams, codes, 1, k, NULL, samples, err);
        else if ((st = csm_mimi_begin_together(&m->codec.mimi, list, n, codes, k, err)) == CSM_OK)
            st = csm_mimi_finish_together(&m->codec.mimi, out, err);
    for (size_t i = 0; i < n; i++)
        csm_mimi_stream_close(&streams[i]);
    return st;
}

static csm_status sound(csm_model *m, size_t n, csm_error *err)
{
    struct csm_mimi_stream *streams = calloc(n, sizeof *streams), **list = calloc(n, sizeof(struct csm_mimi_stream *));
    int32_t *codes = calloc(n * m->info.n_codebooks, sizeof *codes);
    float *samples = malloc(m->info.frame_samples * sizeof *samples), **out = calloc(n, sizeof(float *));
    csm_status st = streams != NULL && list != NULL && codes != NULL && samples != NULL && out != NULL
                        ? decode(m, streams, list, n, codes, samples, out, err)
                        : csm_fail(err, CSM_NO_MEMORY, "codec: a frame");
    free(streams);
    free(list);
    free(codes);
    free(samples);
    free(out);
    return st;
}

static csm_status frames_of_many(csm_model *m, size_t n, csm_error *err)
{
    const struct csm_engine *engine = &m->host.engine;
    return engine->ops->frame_ready(engine->ctx, &m->host.language.parts, n, err);
}

/* For n at once, or as many as there is memory for; others wait for theirs when they come. */
static csm_status for_many(csm_status (*make)(csm_model *, size_t, csm_error *), csm_model *m, size_t n, csm_error *err)
{
    csm_status st = CSM_NO_MEMORY;
    for (; st == CSM_NO_MEMORY && n > 1; n /= 2)
        st = make(m, n, err);
    return st == CSM_NO_MEMORY ? CSM_OK : st;
}

csm_status csm_warm_up(csm_model *m, size_t n_lanes, csm_error *err)
{
    const struct csm_engine *codec = m->info.has_codec ? m->codec.mimi.engine : NULL;
    const size_t n = n_lanes < CSM_MIMI_TOGETHER ? n_lanes : CSM_MIMI_TOGETHER;
    csm_status st = CSM_OK;
    if (m->host.traits->slow_at_first) {
        struct csm_sequence sequence = {0};
        int32_t *text = calloc(POSITIONS, sizeof *text);
        st = text != NULL ? csm_sequence_open(&m->host.language, m->info.max_positions, &sequence, err)
                          : csm_fail(err, CSM_NO_MEMORY, "model: %d positions", POSITIONS);
        if (st == CSM_OK)
            st = speak(m, &sequence, text, err);
        csm_sequence_close(&sequence);
        free(text);
        if (st == CSM_OK && m->host.engine.ops->frame_ready != NULL)
            st = for_many(frames_of_many, m, n, err);
    }
    if (st == CSM_OK && codec != NULL && codec->ops->traits(codec->ctx)->slow_at_first) {
        st = sound(m, 1, err);
        if (st == CSM_OK && codec->ops->conv_lanes != NULL)
            st = for_many(sound, m, n, err);
    }
    return st;
}
