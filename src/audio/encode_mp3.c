/* SPDX-License-Identifier: Apache-2.0
 *
 * encode_mp3.c - MPEG layer 3, by LAME, at a constant bit rate. A target that can rewrite
 * gets LAME's first frame, which says how many samples the sound has, so that players
 * leave out what the coder adds at both ends. */
#include <stdlib.h>
#include <string.h>

#include <lame/lame.h>

#include "audio/encoder.h"
#include "base/error.h"
#include "base/utf8.h"

struct mp3 {
    struct csm_encoding *to;
    lame_t lame;
    size_t n_id3;                  /* bytes before the first frame */
    unsigned char bytes[2 * 8192]; /* 1.25 n + 7200 of one push at most */
};

static void say_nothing(const char *format, va_list arguments)
{
    (void)format;
    (void)arguments;
}

/* UTF-8 as UTF-16 with the mark of its byte order, as ID3 takes it; NULL: no memory. */
static unsigned short *utf16(const char *text)
{
    unsigned short *out = calloc(strlen(text) + 2, sizeof *out);
    if (out == NULL)
        return NULL;
    size_t n = 0;
    out[n++] = 0xfeff;
    while (*text != '\0') {
        uint32_t c;
        text += csm_utf8_next(text, &c);
        if (c >= 0x10000) {
            out[n++] = (unsigned short)(0xd800 + ((c - 0x10000) >> 10));
            out[n++] = (unsigned short)(0xdc00 + ((c - 0x10000) & 0x3ff));
        } else {
            out[n++] = (unsigned short)c;
        }
    }
    return out;
}

static bool add_tag(lame_t lame, const char *id, const char *value)
{
    if (value == NULL)
        return true;
    static const unsigned short no_text[] = {0xfeff, 0};
    unsigned short *text = utf16(value);
    const bool is_added =
        text != NULL &&
        (strcmp(id, "COMM") == 0 ? id3tag_set_comment_utf16(lame, "eng", no_text, text)
                                 : id3tag_set_textinfo_utf16(lame, id, text)) == 0;
    free(text);
    return is_added;
}

static csm_status mp3_open(struct csm_encoding *to, void **state, csm_error *err)
{
    struct mp3 *m = calloc(1, sizeof *m);
    if (m == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "mp3: out of memory");
    *state = m;
    m->to = to;
    m->lame = lame_init();
    if (m->lame == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "mp3: out of memory");
    lame_set_errorf(m->lame, say_nothing);
    lame_set_msgf(m->lame, say_nothing);
    lame_set_debugf(m->lame, say_nothing);
    lame_set_num_channels(m->lame, 1);
    lame_set_mode(m->lame, MONO);
    lame_set_in_samplerate(m->lame, to->rate_hz);
    lame_set_out_samplerate(m->lame, to->rate_hz);
    lame_set_VBR(m->lame, vbr_off);
    lame_set_brate(m->lame, csm_encoding_bit_rate(to) / 1000);
    lame_set_quality(m->lame, 3);
    lame_set_disable_reservoir(m->lame, 1); /* each frame goes out when it is coded */
    lame_set_bWriteVbrTag(m->lame, csm_encoding_can_rewrite(to));
    id3tag_init(m->lame);
    if (to->title != NULL || to->artist != NULL || to->software != NULL || to->comment != NULL)
        id3tag_v2_only(m->lame);
    if (!add_tag(m->lame, "TIT2", to->title) || !add_tag(m->lame, "TPE1", to->artist) ||
        !add_tag(m->lame, "TSSE", to->software) || !add_tag(m->lame, "COMM", to->comment) ||
        lame_init_params(m->lame) < 0)
        return csm_fail(err, CSM_NO_MEMORY, "mp3: LAME cannot begin");
    m->n_id3 = lame_get_id3v2_tag(m->lame, NULL, 0);
    return CSM_OK;
}

static csm_status mp3_push(void *state, const float *samples, size_t n, csm_error *err)
{
    struct mp3 *m = state;
    int n_bytes = lame_encode_buffer_ieee_float(m->lame, samples, samples, (int)n, m->bytes,
                                                (int)sizeof m->bytes);
    if (n_bytes < 0)
        return csm_encoding_failed(m->to, "LAME cannot encode", err);
    return csm_encoding_write(m->to, m->bytes, (size_t)n_bytes, err);
}

static csm_status mp3_finish(void *state, csm_error *err)
{
    struct mp3 *m = state;
    int n_bytes = lame_encode_flush(m->lame, m->bytes, (int)sizeof m->bytes);
    if (n_bytes < 0)
        return csm_encoding_failed(m->to, "LAME cannot end", err);
    csm_status status = csm_encoding_write(m->to, m->bytes, (size_t)n_bytes, err);
    if (status != CSM_OK || !csm_encoding_can_rewrite(m->to))
        return status;
    const size_t n_frame = lame_get_lametag_frame(m->lame, m->bytes, sizeof m->bytes);
    if (n_frame == 0 || n_frame > sizeof m->bytes)
        return csm_encoding_failed(m->to, "LAME has no first frame", err);
    return csm_encoding_rewrite(m->to, m->n_id3, m->bytes, n_frame, err);
}

static void mp3_close(void *state)
{
    struct mp3 *m = state;
    if (m != NULL && m->lame != NULL)
        lame_close(m->lame);
    free(m);
}

const struct csm_encoder_kind csm_encoder_mp3 = {mp3_open, mp3_push, mp3_finish, mp3_close};
