/* SPDX-License-Identifier: Apache-2.0
 *
 * Sound and codes go through in pieces of at most CSM_MIMI_PIECE frames, however
 * long they are: with the past of every convolution and the last `window` keys
 * kept, the pieces give what the whole would, and memory stays flat. */
#include "model/mimi.h"

#include <math.h>
#include <stdlib.h>

#include "base/error.h"

static csm_status stream_open(struct csm_mimi *mimi, size_t n_most, struct csm_mimi_stream *stream,
                              const struct csm_stack *stack, const struct csm_conv *resample,
                              const struct csm_seanet *net, csm_error *err)
{
    const struct csm_engine_ops *ops = mimi->engine->ops;
    void *ctx = mimi->engine->ctx;

    *stream = (struct csm_mimi_stream){.mimi = mimi, .engine = *mimi->engine};
    stream->piece = n_most < CSM_MIMI_PIECE ? n_most : CSM_MIMI_PIECE;
    stream->ids = malloc(stream->piece * mimi->n_codebooks * sizeof *stream->ids);
    csm_status st = stream->ids != NULL ? CSM_OK
                                        : csm_fail(err, CSM_NO_MEMORY, "codec: ids of a piece");
    /* Two positions a frame; the ring holds a window and the piece on top. */
    size_t capacity = stack->attention[0].window + 2 * stream->piece;
    if (st == CSM_OK)
        st = ops->lane_open(ctx, stack->attention, stack->n_layers, capacity, &stream->lane, err);
    if (st == CSM_OK)
        st = ops->conv_state_new(ctx, resample, &stream->resample, err);
    if (st == CSM_OK)
        st = csm_seanet_state_open(mimi->engine, net, &stream->net, err);
    csm_value **values[] = {&stream->a, &stream->b, &stream->c};
    for (size_t i = 0; st == CSM_OK && i < 3; i++)
        st = ops->value_new(ctx, values[i], err);
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
    engine->ops->value_free(engine->ctx, stream->a);
    engine->ops->value_free(engine->ctx, stream->b);
    engine->ops->value_free(engine->ctx, stream->c);
    free(stream->ids);
    *stream = (struct csm_mimi_stream){0};
}

/* The watched names: quantized, upsampled, transformer, seanet. */
static csm_status watch(const struct csm_mimi_stream *stream, const struct csm_watch *watch,
                        const char *name, size_t rows, const csm_value *x, csm_error *err)
{
    return csm_watch_value(&stream->engine, watch, watch != NULL, name, rows,
                           stream->mimi->width, x, err);
}

/* out = the branch's vectors of codes [n, stride] from column `first`, n_used of
 * them, summed and projected. */
static csm_status dequantize(struct csm_mimi_stream *stream, const struct csm_rvq *rvq,
                             const int32_t *codes, size_t n, size_t stride, size_t first,
                             size_t n_used, csm_value *out, csm_error *err)
{
    const struct csm_mimi *mimi = stream->mimi;
    size_t silent = rvq->n_codebooks * mimi->n_entries;
    for (size_t t = 0; t < n; t++)
        for (size_t k = 0; k < n_used; k++) {
            int32_t code = codes[t * stride + first + k];
            stream->ids[t * n_used + k] =
                (int32_t)(code == CSM_MIMI_SILENT ? silent : k * mimi->n_entries + (size_t)code);
        }
    csm_status st = stream->engine.ops->embed(stream->engine.ctx, rvq->table, stream->ids, n, n_used,
                                             stream->b, err);
    if (st == CSM_OK)
        st = stream->engine.ops->linear(stream->engine.ctx, rvq->out, NULL, stream->b, out, err);
    return st;
}

static csm_status decode_piece(struct csm_mimi_stream *stream, const int32_t *codes, size_t n,
                               size_t n_codebooks, const struct csm_watch *w, float *samples,
                               csm_error *err)
{
    const struct csm_mimi *mimi = stream->mimi;
    const struct csm_engine_ops *ops = stream->engine.ops;
    void *ctx = stream->engine.ctx;
    size_t n_semantic = mimi->semantic.n_codebooks;
    size_t n_first = n_codebooks < n_semantic ? n_codebooks : n_semantic;

    csm_status st = dequantize(stream, &mimi->semantic, codes, n, n_codebooks, 0, n_first,
                               stream->a, err);
    if (st == CSM_OK && n_codebooks > n_semantic) {
        st = dequantize(stream, &mimi->acoustic, codes, n, n_codebooks, n_semantic,
                        n_codebooks - n_semantic, stream->c, err);
        if (st == CSM_OK)
            st = ops->add(ctx, stream->a, stream->c, err);
    }
    if (st == CSM_OK)
        st = watch(stream, w, "quantized", n, stream->a, err);
    if (st == CSM_OK)
        st = ops->conv(ctx, &mimi->up, stream->resample, stream->a, stream->b, err);
    if (st == CSM_OK)
        st = watch(stream, w, "upsampled", 2 * n, stream->b, err);
    if (st == CSM_OK)
        st = csm_stack_run(&stream->engine, &mimi->decoder_stack,
                           &(struct csm_rows){stream->lane, 2 * n}, 1, 2 * n, w, w != NULL,
                           stream->b, err);
    if (st == CSM_OK)
        st = watch(stream, w, "transformer", 2 * n, stream->b, err);
    if (st == CSM_OK)
        st = csm_seanet_run(&stream->engine, &mimi->decoder, &stream->net, stream->b, stream->a, err);
    if (st == CSM_OK)
        st = ops->read(ctx, stream->a, n * mimi->frame_samples, 1, samples, err);
    return st;
}

csm_status csm_mimi_decode(struct csm_mimi_stream *stream, const int32_t *codes, size_t n_frames,
                           size_t n_codebooks, const struct csm_watch *w, float *samples,
                           csm_error *err)
{
    for (size_t at = 0; at < n_frames; at += stream->piece) {
        size_t n = n_frames - at < stream->piece ? n_frames - at : stream->piece;
        csm_status st = decode_piece(stream, codes + at * n_codebooks, n, n_codebooks, w,
                                     samples + at * stream->mimi->frame_samples, err);
        if (st != CSM_OK)
            return st;
    }
    struct csm_mimi *mimi = stream->mimi;
    if (stream->engine.ctx == mimi->engine->ctx)
        mimi->has_decoded = mimi->has_decoded || n_codebooks > mimi->semantic.n_codebooks;
    return CSM_OK;
}

/* z [n, width] -> codes of one branch, in the first n_used columns of codes. */
static csm_status quantize(struct csm_mimi_stream *stream, const struct csm_rvq *rvq,
                           const csm_value *z, size_t n, size_t n_used, int32_t *codes,
                           size_t stride, csm_error *err)
{
    const struct csm_engine *engine = &stream->engine;
    float *residual = malloc(n * rvq->dim * sizeof *residual);
    if (residual == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "codec: residual of %zu frames", n);
    csm_status st = engine->ops->linear(engine->ctx, rvq->into, NULL, z, stream->b, err);
    if (st == CSM_OK)
        st = engine->ops->read(engine->ctx, stream->b, n, rvq->dim, residual, err);
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

    csm_status st = ops->write(ctx, samples, n_samples, 1, stream->a, err);
    if (st == CSM_OK)
        st = csm_seanet_run(&stream->engine, &mimi->encoder, &stream->net, stream->a, stream->b, err);
    if (st == CSM_OK)
        st = watch(stream, w, "seanet", n_positions, stream->b, err);
    if (st == CSM_OK)
        st = csm_stack_run(&stream->engine, &mimi->encoder_stack,
                           &(struct csm_rows){stream->lane, n_positions}, 1, n_positions, w,
                           w != NULL, stream->b, err);
    if (st == CSM_OK)
        st = watch(stream, w, "transformer", n_positions, stream->b, err);
    if (st == CSM_OK)
        st = ops->conv(ctx, &mimi->down, stream->resample, stream->b, stream->a, err);
    if (st == CSM_OK)
        st = watch(stream, w, "latents", n, stream->a, err);
    if (st == CSM_OK)
        st = quantize(stream, &mimi->semantic, stream->a, n, n_first, codes, n_codebooks, err);
    if (st == CSM_OK && n_codebooks > n_semantic)
        st = quantize(stream, &mimi->acoustic, stream->a, n, n_codebooks - n_semantic,
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
