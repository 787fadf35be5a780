/* SPDX-License-Identifier: Apache-2.0
 *
 * encode_aac.c - AAC-LC in ADTS, by libavcodec, which is loaded when aac is asked for:
 * it brings a hundred libraries, and nobody else shall wait for them. */
#include "audio/encoder.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include <libavcodec/avcodec.h>
#include <libavutil/channel_layout.h>

#include "base/error.h"

/* libavutil's come with libavcodec. */
#define FUNCTIONS(X)                                                                               \
    X(avcodec_find_encoder)                                                                        \
    X(avcodec_alloc_context3)                                                                      \
    X(avcodec_free_context)                                                                        \
    X(avcodec_open2)                                                                               \
    X(avcodec_send_frame)                                                                          \
    X(avcodec_receive_packet)                                                                      \
    X(av_packet_alloc)                                                                             \
    X(av_packet_free)                                                                              \
    X(av_frame_alloc)                                                                              \
    X(av_frame_free)                                                                               \
    X(av_frame_get_buffer)                                                                         \
    X(av_frame_make_writable)

enum { FRAME = 1024 }; /* samples */

struct aac {
    struct csm_encoding *to;
    void *library;
    AVCodecContext *context;
    AVFrame *frame;
    AVPacket *packet;
    size_t n_held; /* samples in the frame */
    int64_t at;    /* of its first sample */
#define MEMBER(name) __typeof__(name) *name;
    FUNCTIONS(MEMBER)
#undef MEMBER
};

static csm_status load(struct aac *a, csm_error *err)
{
    a->library = dlopen(CSM_AVCODEC_FILE, RTLD_NOW | RTLD_LOCAL);
    if (a->library == NULL)
        return csm_fail(err, CSM_NO_ENGINE, "aac: %s does not load; install FFmpeg's libavcodec",
                        CSM_AVCODEC_FILE);
    void *symbol;
#define FIND(name)                                                                                 \
    symbol = dlsym(a->library, #name);                                                             \
    if (symbol == NULL)                                                                            \
        return csm_fail(err, CSM_NO_ENGINE, "aac: %s has no %s", CSM_AVCODEC_FILE, #name);         \
    memcpy(&a->name, &symbol, sizeof symbol);
    FUNCTIONS(FIND)
#undef FIND
    return CSM_OK;
}

static csm_status open_encoder(struct aac *a, csm_error *err)
{
    const AVCodec *codec = a->avcodec_find_encoder(AV_CODEC_ID_AAC);
    if (codec == NULL)
        return csm_fail(err, CSM_NO_ENGINE, "aac: %s has no AAC encoder", CSM_AVCODEC_FILE);
    a->context = a->avcodec_alloc_context3(codec);
    a->frame = a->av_frame_alloc();
    a->packet = a->av_packet_alloc();
    if (a->context == NULL || a->frame == NULL || a->packet == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "aac: out of memory");
    a->context->log_level_offset = 100; /* it shall not write to standard error */
    a->context->sample_rate = a->to->rate_hz;
    a->context->sample_fmt = AV_SAMPLE_FMT_FLTP;
    a->context->ch_layout = (AVChannelLayout)AV_CHANNEL_LAYOUT_MONO;
    a->context->bit_rate = csm_encoding_bit_rate(a->to);
    a->context->thread_count = 1;
    if (a->avcodec_open2(a->context, codec, NULL) < 0 || a->context->frame_size != FRAME)
        return csm_fail(err, CSM_NO_ENGINE, "aac: libavcodec's encoder does not open");
    a->frame->nb_samples = FRAME;
    a->frame->format = AV_SAMPLE_FMT_FLTP;
    a->frame->ch_layout = a->context->ch_layout;
    a->frame->sample_rate = a->to->rate_hz;
    return a->av_frame_get_buffer(a->frame, 0) < 0
               ? csm_fail(err, CSM_NO_MEMORY, "aac: out of memory")
               : CSM_OK;
}

static csm_status aac_open(struct csm_encoding *to, void **state, csm_error *err)
{
    struct aac *a = calloc(1, sizeof *a);
    if (a == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "aac: out of memory");
    *state = a;
    a->to = to;
    csm_status status = load(a, err);
    return status == CSM_OK ? open_encoder(a, err) : status;
}

/* The header before each frame, ISO 14496-3, 1.A.2.2: profile LC, one channel. */
static csm_status write_header(struct aac *a, size_t n_bytes, csm_error *err)
{
    enum { HEADER = 7 };
    static const int rates[] = {96000, 88200, 64000, 48000, 44100, 32000,
                                24000, 22050, 16000, 12000, 11025, 8000};
    unsigned index = 0;
    while (rates[index] != a->to->rate_hz) /* one of them: csm_format_check_rate */
        index++;
    const unsigned n = (unsigned)n_bytes + HEADER;
    const unsigned char header[HEADER] = {0xff,
                                          0xf1,
                                          (unsigned char)(1 << 6 | index << 2),
                                          (unsigned char)(1 << 6 | n >> 11),
                                          (unsigned char)(n >> 3),
                                          (unsigned char)(n << 5 | 0x1f),
                                          0xfc};
    return csm_encoding_write(a->to, header, HEADER, err);
}

/* A frame in (NULL: the end), and what comes out. */
static csm_status encode(struct aac *a, AVFrame *frame, csm_error *err)
{
    if (a->avcodec_send_frame(a->context, frame) < 0)
        return csm_encoding_failed(a->to, "libavcodec cannot encode", err);
    csm_status status = CSM_OK;
    while (status == CSM_OK && a->avcodec_receive_packet(a->context, a->packet) == 0) {
        status = write_header(a, (size_t)a->packet->size, err);
        if (status == CSM_OK)
            status = csm_encoding_write(a->to, a->packet->data, (size_t)a->packet->size, err);
    }
    return status;
}

static csm_status encode_held(struct aac *a, csm_error *err)
{
    a->frame->nb_samples = (int)a->n_held;
    a->frame->pts = a->at;
    a->at += (int64_t)a->n_held;
    a->n_held = 0;
    return encode(a, a->frame, err);
}

static csm_status aac_push(void *state, const float *samples, size_t n, csm_error *err)
{
    struct aac *a = state;
    csm_status status = CSM_OK;
    while (status == CSM_OK && n > 0) {
        if (a->n_held == 0 && a->av_frame_make_writable(a->frame) < 0)
            return csm_encoding_failed(a->to, "out of memory", err);
        const size_t n_now = n < FRAME - a->n_held ? n : FRAME - a->n_held;
        memcpy((float *)a->frame->data[0] + a->n_held, samples, n_now * sizeof *samples);
        a->n_held += n_now;
        samples += n_now;
        n -= n_now;
        if (a->n_held == FRAME)
            status = encode_held(a, err);
    }
    return status;
}

static csm_status aac_finish(void *state, csm_error *err)
{
    struct aac *a = state;
    csm_status status = a->n_held > 0 ? encode_held(a, err) : CSM_OK;
    return status == CSM_OK ? encode(a, NULL, err) : status;
}

static void aac_close(void *state)
{
    struct aac *a = state;
    if (a == NULL)
        return;
    if (a->packet != NULL)
        a->av_packet_free(&a->packet);
    if (a->frame != NULL)
        a->av_frame_free(&a->frame);
    if (a->context != NULL)
        a->avcodec_free_context(&a->context);
    /* The library stays: what it brings loses memory each time it is unloaded. */
    free(a);
}

const struct csm_encoder_kind csm_encoder_aac = {aac_open, aac_push, aac_finish, aac_close};
