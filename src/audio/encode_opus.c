/* SPDX-License-Identifier: Apache-2.0
 *
 * encode_opus.c - Opus in Ogg, by libopusenc: it resamples to Opus's 48 kHz, and the last
 * page says where the sound ends. It gets 20 ms at a time: what it
 * codes without delay depends on how its input was cut
 * (findings/opusenc-low-delay-depends-on-pieces.sh). */
#include <stdlib.h>
#include <string.h>

#include <opus/opusenc.h>

#include "audio/encoder.h"
#include "base/error.h"

enum { BIT_RATE = 64000, PAGE = 48000 * 60 / 1000, SERIAL = 1 /* one sound, one file */ };

struct opus {
    struct csm_encoding *to;
    OggOpusComments *comments;
    OggOpusEnc *encoder;
    bool is_closing; /* nothing is to be written any more */
    float block[192000 / 50];
    size_t n_held, n_block;
};

static int write_bytes(void *user, const unsigned char *bytes, opus_int32 n)
{
    struct opus *o = user;
    return o->is_closing || csm_encoding_write(o->to, bytes, (size_t)n, NULL) != CSM_OK;
}

static int end_stream(void *user)
{
    (void)user;
    return 0;
}

static csm_status opus_open(struct csm_encoding *to, void **state, csm_error *err)
{
    static const OpusEncCallbacks callbacks = {write_bytes, end_stream};
    struct opus *o = calloc(1, sizeof *o);
    if (o == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "opus: out of memory");
    *state = o;
    o->to = to;
    o->n_block = (size_t)to->rate_hz / 50;
    o->comments = ope_comments_create();
    if (o->comments == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "opus: out of memory");
    const char *name, *value;
    for (size_t i = 0; csm_encoding_comment(to, i, &name, &value); i++)
        if (ope_comments_add(o->comments, name, value) != OPE_OK)
            return csm_fail(err, CSM_NO_MEMORY, "opus: out of memory");
    int failure;
    o->encoder =
        ope_encoder_create_callbacks(&callbacks, o, o->comments, to->rate_hz, 1, 0, &failure);
    if (o->encoder == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "opus: %s", ope_strerror(failure));
    failure = ope_encoder_ctl(o->encoder, OPUS_SET_BITRATE(BIT_RATE));
    if (failure == OPE_OK)
        failure = ope_encoder_ctl(o->encoder, OPE_SET_DECISION_DELAY(0));
    if (failure == OPE_OK)
        failure = ope_encoder_ctl(o->encoder, OPE_SET_MUXING_DELAY(PAGE));
    if (failure == OPE_OK)
        failure = ope_encoder_ctl(o->encoder, OPE_SET_COMMENT_PADDING(0));
    if (failure == OPE_OK)
        failure = ope_encoder_ctl(o->encoder, OPE_SET_SERIALNO(SERIAL));
    if (failure == OPE_OK)
        failure = ope_encoder_flush_header(o->encoder);
    return failure == OPE_OK ? CSM_OK : csm_encoding_failed(to, ope_strerror(failure), err);
}

static csm_status encode_held(struct opus *o, csm_error *err)
{
    const int failure = ope_encoder_write_float(o->encoder, o->block, (int)o->n_held);
    o->n_held = 0;
    return failure == OPE_OK ? CSM_OK : csm_encoding_failed(o->to, ope_strerror(failure), err);
}

static csm_status opus_push(void *state, const float *samples, size_t n, csm_error *err)
{
    struct opus *o = state;
    csm_status status = CSM_OK;
    for (size_t n_now; status == CSM_OK && n > 0; samples += n_now, n -= n_now) {
        n_now = n < o->n_block - o->n_held ? n : o->n_block - o->n_held;
        memcpy(o->block + o->n_held, samples, n_now * sizeof *samples);
        o->n_held += n_now;
        if (o->n_held == o->n_block)
            status = encode_held(o, err);
    }
    return status;
}

static csm_status opus_finish(void *state, csm_error *err)
{
    struct opus *o = state;
    csm_status status = o->n_held > 0 ? encode_held(o, err) : CSM_OK;
    if (status != CSM_OK)
        return status;
    const int failure = ope_encoder_drain(o->encoder);
    return failure == OPE_OK ? CSM_OK : csm_encoding_failed(o->to, ope_strerror(failure), err);
}

static void opus_close(void *state)
{
    struct opus *o = state;
    if (o == NULL)
        return;
    o->is_closing = true;
    if (o->encoder != NULL)
        ope_encoder_destroy(o->encoder);
    if (o->comments != NULL)
        ope_comments_destroy(o->comments);
    free(o);
}

const struct csm_encoder_kind csm_encoder_opus = {opus_open, opus_push, opus_finish, opus_close};
