/* SPDX-License-Identifier: Apache-2.0
 *
 * mimi.h - Mimi, the codec: frames of codes to 24 kHz sound and back, over an
 * engine. Causal throughout, so both ways run as streams with a state; whole
 * sound is one stream fed in pieces.
 *
 *   decode  codes -> vectors (RVQ) -> x2 in time -> transformer -> SEANet
 *   encode  SEANet -> transformer -> /2 in time -> nearest vectors (RVQ) */
#ifndef CSM_MODEL_MIMI_H
#define CSM_MODEL_MIMI_H

#include "checkpoint/checkpoint.h"
#include "model/bind.h"
#include "model/rvq.h"
#include "model/seanet.h"
#include "model/stack.h"

/* What a call works with: room for so many frames, of so many streams. */
struct csm_mimi_work {
    csm_value *a, *b, *c, *spare[2];
    int32_t *ids;             /* [n_frames, n_codebooks] */
    struct csm_rows *rows;    /* [n_streams], as are: */
    csm_conv_state **pasts;
    struct csm_seanet_state **nets;
    size_t n_streams;
};

/* Frames of many streams, whose sound is computed and not read yet. */
struct csm_mimi_together {
    struct csm_mimi_work work;
    struct {
        csm_value *sound;
        size_t n;
    } *passes; /* [n_rooms], of which n_passes are at work */
    size_t n_passes, n_rooms;
    float *samples; /* of one pass */
};

struct csm_mimi {
    const struct csm_engine *engine;
    struct csm_binder binder;
    size_t n_codebooks, n_entries, dim, width;
    size_t frame_samples;
    bool has_decoded; /* with all its weights, on its own engine: sides of it may, too */
    struct csm_rvq semantic, acoustic;
    struct csm_conv down, up;
    struct csm_stack encoder_stack, decoder_stack;
    struct csm_seanet encoder, decoder;
    struct csm_mimi_together together; /* since the first call of csm_mimi_begin_together */
    struct csm_mimi_work *beside;      /* [n_beside] since csm_mimi_beside_open */
    size_t n_beside;
};

/* Bind the codec of a checkpoint; engine and checkpoint outlive it. Closed with
 * csm_mimi_close, also when this failed (all zero is closed). */
csm_status csm_mimi_open(struct csm_mimi *mimi, const struct csm_engine *engine,
                         const csm_checkpoint *checkpoint, csm_error *err);
void csm_mimi_close(struct csm_mimi *mimi);
void csm_mimi_works_close(struct csm_mimi *mimi); /* of csm_mimi_close */

/* A stream in either direction. */
struct csm_mimi_stream {
    struct csm_mimi *mimi;
    struct csm_engine engine; /* that the next call runs on: the codec's, or a side of it */
    csm_lane *lane;
    csm_conv_state *resample; /* up's or down's past */
    struct csm_seanet_state net;
    struct csm_mimi_work work;
    size_t piece; /* frames that go through at once */
};

/* At most this many frames go through in one piece; longer input is cut. */
enum { CSM_MIMI_PIECE = 32 };

/* A stream whose calls bring at most n_most frames (up to CSM_MIMI_PIECE count: longer input
 * is cut). Nothing is left open when this failed. */
csm_status csm_mimi_decoder_open(struct csm_mimi *mimi, size_t n_most,
                                 struct csm_mimi_stream *stream, csm_error *err);
csm_status csm_mimi_encoder_open(struct csm_mimi *mimi, struct csm_mimi_stream *stream,
                                 csm_error *err);
csm_status csm_mimi_reset(struct csm_mimi_stream *stream, csm_error *err);
void csm_mimi_stream_close(struct csm_mimi_stream *stream);

/* A code that adds nothing to its frame's sound. */
enum { CSM_MIMI_SILENT = -1 };

/* codes [n_frames, n_codebooks] in [0, n_entries) or CSM_MIMI_SILENT, and
 * 1 <= n_codebooks <= the codec's; samples [n_frames * frame_samples]. */
csm_status csm_mimi_decode(struct csm_mimi_stream *stream, const int32_t *codes, size_t n_frames,
                           size_t n_codebooks, const struct csm_watch *watch, float *samples,
                           csm_error *err);

/* For threads that decode beside each other, thread i on side i of an engine with conv_lanes: room
 * for so many of them, kept until csm_mimi_close. CSM_NO_MEMORY. */
csm_status csm_mimi_beside_open(struct csm_mimi *mimi, size_t n_threads, csm_error *err);
/* By thread i, in one pass: a frame of each of n of the codec's streams, 1 <= n <=
 * CSM_MIMI_BESIDE, whose engines are that side. A stream's samples are, bit for bit,
 * csm_mimi_decode's of it alone. codes [n, n_codebooks] as there; samples [n], each
 * [frame_samples]. */
enum { CSM_MIMI_BESIDE = 2 };
csm_status csm_mimi_decode_beside(struct csm_mimi_stream *const *streams, size_t n, size_t thread,
                                  const int32_t *codes, size_t n_codebooks, float *const *samples,
                                  csm_error *err);

/* Whether what was decoded is sound: CSM_ENGINE for a sample that is NaN or infinite. */
csm_status csm_mimi_check(const float *samples, size_t n_samples, csm_error *err);

/* A frame of each of n streams of one codec, in passes of up to CSM_MIMI_TOGETHER, on an engine
 * with conv_lanes. A stream's samples are, bit for bit, csm_mimi_decode's of it alone. codes
 * [n, n_codebooks] and n_codebooks as there. An engine may still be at work when it returns.
 * After a failure the streams' pasts are unsure. */
enum { CSM_MIMI_TOGETHER = 512 };
csm_status csm_mimi_begin_together(struct csm_mimi *mimi, struct csm_mimi_stream *const *streams,
                                   size_t n, const int32_t *codes, size_t n_codebooks,
                                   csm_error *err);
/* The samples of all that was begun since the last call, in that order: samples [n of all], each
 * [frame_samples]. What was begun is over, also after a failure. */
csm_status csm_mimi_finish_together(struct csm_mimi *mimi, float *const *samples, csm_error *err);

/* samples [n_samples], whole frames but for the last call of a stream; codes
 * [ceil(n_samples / frame_samples), n_codebooks]. */
csm_status csm_mimi_encode(struct csm_mimi_stream *stream, const float *samples, size_t n_samples,
                           size_t n_codebooks, const struct csm_watch *watch, int32_t *codes,
                           csm_error *err);

#endif
