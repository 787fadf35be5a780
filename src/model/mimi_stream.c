/* SPDX-License-Identifier: Apache-2.0
 *
 * Sound and codes go through in pieces of at most CSM_MIMI_PIECE frames, however
 * long they are: with the past of every convolution and the last `window` keys
 * kept, the pieces give what the whole would, and memory stays flat. */
#include "model/mimi.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* ---- what is worked with ------------------------------------------------ */

static void work_close(const struct csm_engine *engine, struct csm_mimi_work *work)
{
    csm_value *const values[] = {work->a, work->b, work->c, work->spare[0], work->spare[1]};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        engine->ops->value_free(engine->ctx, values[i]);
    free(work->ids);
    free(work->rows);
    free(work->pasts);
    free(work->nets);
    *work = (struct csm_mimi_work){0};
}

static csm_status work_open(const struct csm_mimi *mimi, size_t n_frames, size_t n_streams,
                            struct csm_mimi_work *work, csm_error *err)
{
    const struct csm_engine *engine = mimi->engine;
    *work = (struct csm_mimi_work){
        .ids = malloc(n_frames * mimi->n_codebooks * sizeof *work->ids),
        .rows = malloc(n_streams * sizeof *work->rows),
        .pasts = malloc(n_streams * sizeof(csm_conv_state *)),
        .nets = malloc(n_streams * sizeof(struct csm_seanet_state *)),
        .n_streams = n_streams};
    csm_status st = work->ids != NULL && work->rows != NULL && work->pasts != NULL &&
                            work->nets != NULL
                        ? CSM_OK
                        : csm_fail(err, CSM_NO_MEMORY, "codec: %zu frames of %zu streams", n_frames,
                                   n_streams);
    csm_value **const values[] = {&work->a, &work->b, &work->c, &work->spare[0], &work->spare[1]};
    for (size_t i = 0; st == CSM_OK && i < sizeof values / sizeof *values; i++)
        st = engine->ops->value_new(engine->ctx, values[i], err);
    if (st != CSM_OK)
        work_close(engine, work);
    return st;
}

void csm_mimi_works_close(struct csm_mimi *mimi)
{
    for (size_t i = 0; i < mimi->n_beside; i++)
        work_close(mimi->engine, &mimi->beside[i]);
    free(mimi->beside);
    mimi->beside = NULL;
    mimi->n_beside = 0;
    struct csm_mimi_together *t = &mimi->together;
    if (t->work.n_streams != 0)
        work_close(mimi->engine, &t->work);
    for (size_t i = 0; i < t->n_rooms; i++)
        mimi->engine->ops->value_free(mimi->engine->ctx, t->passes[i].sound);
    free(t->passes);
    free(t->samples);
    *t = (struct csm_mimi_together){0};
}

/* ---- streams ------------------------------------------------------------ */

static csm_status stream_open(struct csm_mimi *mimi, size_t n_most, struct csm_mimi_stream *stream,
                              const struct csm_stack *stack, const struct csm_conv *resample,
                              const struct csm_seanet *net, csm_error *err)
{
    const struct csm_engine_ops *ops = mimi->engine->ops;
    void *ctx = mimi->engine->ctx;

    *stream = (struct csm_mimi_stream){.mimi = mimi, .engine = *mimi->engine};
    stream->piece = n_most < CSM_MIMI_PIECE ? n_most : CSM_MIMI_PIECE;
    /* Two positions a frame; the ring holds a window and the piece on top. */
    size_t capacity = stack->attention[0].window + 2 * stream->piece;
    csm_status st = work_open(mimi, stream->piece, 1, &stream->work, err);
    if (st == CSM_OK)
        st = ops->lane_open(ctx, stack->attention, stack->n_layers, capacity, &stream->lane, err);
    if (st == CSM_OK)
        st = ops->conv_state_new(ctx, resample, &stream->resample, err);
    if (st == CSM_OK)
        st = csm_seanet_state_open(mimi->engine, net, &stream->net, err);
    if (st != CSM_OK)
        csm_mimi_stream_close(stream);
    return st;
}

csm_status csm_mimi_decoder_open(struct csm_mimi *mimi, size_t n_most,
                                 struct csm_mimi_stream *stream, csm_error *err)
{
    return stream_open(mimi, n_most, stream, &mimi->decoder_stack, &mimi->up, &mimi->decoder, err);
}

csm_status csm_mimi_encoder_open(struct csm_mimi *mimi, struct csm_mimi_stream *stream,
                                 csm_error *err)
{
    return stream_open(mimi, CSM_MIMI_PIECE, stream, &mimi->encoder_stack, &mimi->down, &mimi->encoder, err);
}

csm_status csm_mimi_reset(struct csm_mimi_stream *stream, csm_error *err)
{
    const struct csm_engine *engine = stream->mimi->engine;
    csm_status st = engine->ops->lane_truncate(engine->ctx, stream->lane, 0, err);
    if (st == CSM_OK)
        st = engine->ops->conv_state_reset(engine->ctx, stream->resample, err);
    if (st == CSM_OK)
        st = csm_seanet_state_reset(engine, &stream->net, err);
    return st;
}

void csm_mimi_stream_close(struct csm_mimi_stream *stream)
{
    if (stream->mimi == NULL)
        return;
    const struct csm_engine *engine = stream->mimi->engine;
    csm_seanet_state_close(engine, &stream->net);
    engine->ops->lane_close(engine->ctx, stream->lane);
    engine->ops->conv_state_free(engine->ctx, stream->resample);
    work_close(engine, &stream->work);
    *stream = (struct csm_mimi_stream){0};
}

/* The watched names: quantized, upsampled, transformer, seanet. */
static csm_status watch(const struct csm_mimi_stream *stream, const struct csm_watch *watch,
                        const char *name, size_t rows, const csm_value *x, csm_error *err)
{
    return csm_watch_value(&stream->engine, watch, watch != NULL, name, rows,
                           stream->mimi->width, x, err);
}

/* ---- decoding ------------------------------------------------------------ */

/* n frames of each of n_streams streams. */
struct batch {
    struct csm_mimi_stream *const *streams;
    size_t n_streams, n;
    const int32_t *codes; /* [n_streams * n, n_codebooks] */
    size_t n_codebooks;
    struct csm_mimi_work *work;
};

/* out = the branch's vectors of the codes from column `first`, n_used of them, summed and
 * projected. */
static csm_status dequantize(const struct batch *b, const struct csm_rvq *rvq, size_t first,
                             size_t n_used, csm_value *out, csm_error *err)
{
    const struct csm_engine *engine = &b->streams[0]->engine;
    const struct csm_mimi *mimi = b->streams[0]->mimi;
    const size_t silent = rvq->n_codebooks * mimi->n_entries, n = b->n_streams * b->n;
    for (size_t t = 0; t < n; t++)
        for (size_t k = 0; k < n_used; k++) {
            int32_t code = b->codes[t * b->n_codebooks + first + k];
            b->work->ids[t * n_used + k] =
                (int32_t)(code == CSM_MIMI_SILENT ? silent : k * mimi->n_entries + (size_t)code);
        }
    csm_status st =
        engine->ops->embed(engine->ctx, rvq->table, b->work->ids, n, n_used, b->work->b, err);
    if (st == CSM_OK)
        st = engine->ops->linear(engine->ctx, rvq->out, NULL, b->work->b, out, err);
    return st;
}

/* Watched where one stream. sound receives [n_streams * n * frame_samples, 1] */
static csm_status decode_batch(const struct batch *b, const struct csm_watch *w, csm_value *sound,
                               csm_error *err)
{
    struct csm_mimi_stream *first = b->streams[0];
    const struct csm_engine *engine = &first->engine;
    const struct csm_mimi *mimi = first->mimi;
    struct csm_mimi_work *x = b->work;
    const size_t n = b->n_streams * b->n, n_semantic = mimi->semantic.n_codebooks;
    const size_t n_first = b->n_codebooks < n_semantic ? b->n_codebooks : n_semantic;

    csm_status st = dequantize(b, &mimi->semantic, 0, n_first, x->a, err);
    if (st == CSM_OK && b->n_codebooks > n_semantic) {
        st = dequantize(b, &mimi->acoustic, n_semantic, b->n_codebooks - n_semantic, x->c, err);
        if (st == CSM_OK)
            st = engine->ops->add(engine->ctx, x->a, x->c, err);
    }
    if (st == CSM_OK)
        st = watch(first, w, "quantized", n, x->a, err);
    for (size_t i = 0; i < b->n_streams; i++) {
        x->pasts[i] = b->streams[i]->resample;
        x->rows[i] = (struct csm_rows){b->streams[i]->lane, 2 * b->n};
        x->nets[i] = &b->streams[i]->net;
    }
    if (st == CSM_OK)
        st = csm_conv_run(engine, &mimi->up, x->pasts, b->n_streams, x->a, x->b, err);
    if (st == CSM_OK)
        st = watch(first, w, "upsampled", 2 * n, x->b, err);
    if (st == CSM_OK)
        st = csm_stack_run(engine, &mimi->decoder_stack, x->rows, b->n_streams, 2 * n, w, w != NULL,
                           x->b, err);
    if (st == CSM_OK)
        st = watch(first, w, "transformer", 2 * n, x->b, err);
    if (st == CSM_OK)
        st = csm_seanet_run(engine, &mimi->decoder, x->nets, b->n_streams, x->pasts, x->spare, x->b,
                            sound, err);
    return st;
}

csm_status csm_mimi_decode(struct csm_mimi_stream *stream, const int32_t *codes, size_t n_frames,
                           size_t n_codebooks, const struct csm_watch *w, float *samples,
                           csm_error *err)
{
    for (size_t at = 0; at < n_frames; at += stream->piece) {
        size_t n = n_frames - at < stream->piece ? n_frames - at : stream->piece;
        const struct batch batch = {&stream, 1, n, codes + at * n_codebooks, n_codebooks,
                                    &stream->work};
        const size_t frame = stream->mimi->frame_samples;
        csm_status st = decode_batch(&batch, w, stream->work.a, err);
        if (st == CSM_OK)
            st = stream->engine.ops->read(stream->engine.ctx, stream->work.a, n * frame, 1,
                                          samples + at * frame, err);
        if (st != CSM_OK)
            return st;
    }
    struct csm_mimi *mimi = stream->mimi;
    if (stream->engine.ctx == mimi->engine->ctx)
        mimi->has_decoded = mimi->has_decoded || n_codebooks > mimi->semantic.n_codebooks;
    return CSM_OK;
}

csm_status csm_mimi_beside_open(struct csm_mimi *mimi, size_t n_threads, csm_error *err)
{
    if (mimi->n_beside >= n_threads)
        return CSM_OK;
    struct csm_mimi_work *works = realloc(mimi->beside, n_threads * sizeof *works);
    if (works == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "codec: %zu threads", n_threads);
    mimi->beside = works;
    csm_status st = CSM_OK;
    while (st == CSM_OK && mimi->n_beside < n_threads) {
        st = work_open(mimi, CSM_MIMI_BESIDE, CSM_MIMI_BESIDE, &works[mimi->n_beside], err);
        mimi->n_beside += st == CSM_OK;
    }
    return st;
}

csm_status csm_mimi_decode_beside(struct csm_mimi_stream *const *streams, size_t n, size_t thread,
                                  const int32_t *codes, size_t n_codebooks, float *const *samples,
                                  csm_error *err)
{
    const struct csm_engine *engine = &streams[0]->engine;
    struct csm_mimi_work *work = &streams[0]->mimi->beside[thread];
    const struct batch batch = {streams, n, 1, codes, n_codebooks, work};
    const size_t frame = streams[0]->mimi->frame_samples;
    csm_status st = decode_batch(&batch, NULL, work->a, err);
    for (size_t i = 0; st == CSM_OK && i < n; i++) {
        st = engine->ops->copy_rows(engine->ctx, work->a, i * frame, frame, work->b, 0, err);
        if (st == CSM_OK)
            st = engine->ops->read(engine->ctx, work->b, frame, 1, samples[i], err);
    }
    return st;
}

csm_status csm_mimi_check(const float *samples, size_t n_samples, csm_error *err)
{
    for (size_t i = 0; i < n_samples; i++)
        if (!isfinite(samples[i]))
            return csm_fail(err, CSM_ENGINE,
                            "codec: sample %zu of what was decoded is %g, expected a number: its "
                            "weights are damaged, or it overflows",
                            i, (double)samples[i]);
    return CSM_OK;
}

/* One more pass. */
static csm_status together_room(struct csm_mimi *mimi, csm_error *err)
{
    struct csm_mimi_together *t = &mimi->together;
    csm_status st = CSM_OK;
    if (t->samples == NULL)
        t->samples = malloc(CSM_MIMI_TOGETHER * mimi->frame_samples * sizeof *t->samples);
    if (t->work.n_streams == 0)
        st = work_open(mimi, CSM_MIMI_TOGETHER, CSM_MIMI_TOGETHER, &t->work, err);
    if (st != CSM_OK || (t->samples != NULL && t->n_passes < t->n_rooms))
        return st;
    void *passes = realloc(t->passes, (t->n_rooms + 1) * sizeof *t->passes);
    if (passes != NULL)
        t->passes = passes;
    if (passes == NULL || t->samples == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "codec: frames of %d streams", CSM_MIMI_TOGETHER);
    st = mimi->engine->ops->value_new(mimi->engine->ctx, &t->passes[t->n_rooms].sound, err);
    t->n_rooms += st == CSM_OK;
    return st;
}

csm_status csm_mimi_begin_together(struct csm_mimi *mimi, struct csm_mimi_stream *const *streams,
                                   size_t n, const int32_t *codes, size_t n_codebooks,
                                   csm_error *err)
{
    struct csm_mimi_together *t = &mimi->together;
    csm_status st = CSM_OK;
    for (size_t at = 0; st == CSM_OK && at < n; at += CSM_MIMI_TOGETHER) {
        const size_t count = n - at < CSM_MIMI_TOGETHER ? n - at : CSM_MIMI_TOGETHER;
        const struct batch batch = {streams + at, count, 1, codes + at * n_codebooks, n_codebooks,
                                    &t->work};
        st = together_room(mimi, err);
        if (st == CSM_OK)
            st = decode_batch(&batch, NULL, t->passes[t->n_passes].sound, err);
        if (st == CSM_OK)
            t->passes[t->n_passes++].n = count;
    }
    return st;
}

csm_status csm_mimi_finish_together(struct csm_mimi *mimi, float *const *samples, csm_error *err)
{
    struct csm_mimi_together *t = &mimi->together;
    const size_t frame = mimi->frame_samples;
    csm_status st = CSM_OK;
    for (size_t i = 0; st == CSM_OK && i < t->n_passes; samples += t->passes[i++].n) {
        st = mimi->engine->ops->read(mimi->engine->ctx, t->passes[i].sound, t->passes[i].n * frame,
                                     1, t->samples, err);
        for (size_t j = 0; st == CSM_OK && j < t->passes[i].n; j++)
            memcpy(samples[j], t->samples + j * frame, frame * sizeof(float));
    }
    t->n_passes = 0;
    return st;
}

/* ---- encoding ------------------------------------------------------------ */

/* z [n, width] -> codes of one branch, in the first n_used columns of codes. */
static csm_status quantize(struct csm_mimi_stream *stream, const struct csm_rvq *rvq,
                           const csm_value *z, size_t n, size_t n_used, int32_t *codes,
                           size_t stride, csm_error *err)
{
    const struct csm_engine *engine = &stream->engine;
    float *residual = malloc(n * rvq->dim * sizeof *residual);
    if (residual == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "codec: residual of %zu frames", n);
    csm_status st = engine->ops->linear(engine->ctx, rvq->into, NULL, z, stream->work.b, err);
    if (st == CSM_OK)
        st = engine->ops->read(engine->ctx, stream->work.b, n, rvq->dim, residual, err);
    if (st == CSM_OK)
        st = csm_rvq_search(rvq,
                            engine->ops->threads != NULL ? engine->ops->threads(engine->ctx) : NULL,
                            residual, n, n_used, codes, stride, err);
    free(residual);
    return st;
}

static size_t divided(size_t n, size_t by)
{
    return (n + by - 1) / by;
}

static csm_status encode_piece(struct csm_mimi_stream *stream, const float *samples,
                               size_t n_samples, size_t n_codebooks, const struct csm_watch *w,
                               int32_t *codes, csm_error *err)
{
    const struct csm_mimi *mimi = stream->mimi;
    const struct csm_engine_ops *ops = stream->engine.ops;
    void *ctx = stream->engine.ctx;
    size_t n = divided(n_samples, mimi->frame_samples);
    size_t n_positions = divided(n_samples, mimi->frame_samples / 2);
    size_t n_semantic = mimi->semantic.n_codebooks;
    size_t n_first = n_codebooks < n_semantic ? n_codebooks : n_semantic;
    struct csm_seanet_state *const net = &stream->net;

    csm_status st = ops->write(ctx, samples, n_samples, 1, stream->work.a, err);
    if (st == CSM_OK)
        st = csm_seanet_run(&stream->engine, &mimi->encoder, &net, 1, stream->work.pasts,
                            stream->work.spare, stream->work.a, stream->work.b, err);
    if (st == CSM_OK)
        st = watch(stream, w, "seanet", n_positions, stream->work.b, err);
    if (st == CSM_OK)
        st = csm_stack_run(&stream->engine, &mimi->encoder_stack,
                           &(struct csm_rows){stream->lane, n_positions}, 1, n_positions, w,
                           w != NULL, stream->work.b, err);
    if (st == CSM_OK)
        st = watch(stream, w, "transformer", n_positions, stream->work.b, err);
    if (st == CSM_OK)
        st = ops->conv(ctx, &mimi->down, stream->resample, stream->work.b, stream->work.a, err);
    if (st == CSM_OK)
        st = watch(stream, w, "latents", n, stream->work.a, err);
    if (st == CSM_OK)
        st = quantize(stream, &mimi->semantic, stream->work.a, n, n_first, codes, n_codebooks, err);
    if (st == CSM_OK && n_codebooks > n_semantic)
        st = quantize(stream, &mimi->acoustic, stream->work.a, n, n_codebooks - n_semantic,
                      codes + n_semantic, n_codebooks, err);
    return st;
}

csm_status csm_mimi_encode(struct csm_mimi_stream *stream, const float *samples, size_t n_samples,
                           size_t n_codebooks, const struct csm_watch *w, int32_t *codes,
                           csm_error *err)
{
    size_t piece = CSM_MIMI_PIECE * stream->mimi->frame_samples;
    for (size_t at = 0; at < n_samples; at += piece) {
        size_t n = n_samples - at < piece ? n_samples - at : piece;
        csm_status st = encode_piece(stream, samples + at, n, n_codebooks, w,
                                     codes + at / stream->mimi->frame_samples * n_codebooks, err);
        if (st != CSM_OK)
            return st;
    }
    return CSM_OK;
}
