/* SPDX-License-Identifier: Apache-2.0
 *
 * encode_vorbis.c - Vorbis in Ogg, by libvorbisenc at quality 5. What a push completes
 * goes out with it, as a page; the last page says the number of samples. */
#include <stdlib.h>
#include <string.h>

#include <vorbis/vorbisenc.h>

#include "audio/encoder.h"
#include "base/error.h"

struct vorbis {
    struct csm_encoding *to;
    vorbis_info info;
    vorbis_comment comment;
    vorbis_dsp_state dsp;
    vorbis_block block;
    ogg_stream_state stream;
    bool has_dsp, has_block, has_stream;
    bool has_sound; /* the first packet alone gives no sample, and is to be no page */
};

/* Pages that are full, and the rest too if is_all. */
static csm_status write_pages(struct vorbis *v, bool is_all, csm_error *err)
{
    ogg_page page;
    csm_status status = CSM_OK;
    while (status == CSM_OK && (is_all ? ogg_stream_flush(&v->stream, &page)
                                       : ogg_stream_pageout(&v->stream, &page)) != 0) {
        status = csm_encoding_write(v->to, page.header, (size_t)page.header_len, err);
        if (status == CSM_OK)
            status = csm_encoding_write(v->to, page.body, (size_t)page.body_len, err);
    }
    return status;
}

static csm_status write_header(struct vorbis *v, csm_error *err)
{
    ogg_packet packets[3];
    if (vorbis_analysis_headerout(&v->dsp, &v->comment, &packets[0], &packets[1], &packets[2]) != 0)
        return csm_fail(err, CSM_NO_MEMORY, "ogg: libvorbis has no header");
    for (size_t i = 0; i < 3; i++)
        if (ogg_stream_packetin(&v->stream, &packets[i]) != 0)
            return csm_fail(err, CSM_NO_MEMORY, "ogg: out of memory");
    return write_pages(v, true, err);
}

static csm_status vorbis_open(struct csm_encoding *to, void **state, csm_error *err)
{
    enum { SERIAL = 1 }; /* always the same: one sound, one file */
    struct vorbis *v = calloc(1, sizeof *v);
    if (v == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "ogg: out of memory");
    *state = v;
    v->to = to;
    vorbis_info_init(&v->info);
    vorbis_comment_init(&v->comment);
    if (vorbis_encode_init_vbr(&v->info, 1, to->rate_hz, 0.5f) != 0)
        return csm_fail(err, CSM_BAD_ARG, "ogg: %d Hz: libvorbis does not encode it", to->rate_hz);
    const char *name, *value;
    for (size_t i = 0; csm_encoding_comment(to, i, &name, &value); i++)
        vorbis_comment_add_tag(&v->comment, name, value);
    v->has_dsp = vorbis_analysis_init(&v->dsp, &v->info) == 0;
    v->has_block = v->has_dsp && vorbis_block_init(&v->dsp, &v->block) == 0;
    v->has_stream = ogg_stream_init(&v->stream, SERIAL) == 0;
    if (!v->has_block || !v->has_stream)
        return csm_fail(err, CSM_NO_MEMORY, "ogg: out of memory");
    return write_header(v, err);
}

/* What can be coded now. */
static csm_status encode(struct vorbis *v, bool is_end, csm_error *err)
{
    csm_status status = CSM_OK;
    while (status == CSM_OK && vorbis_analysis_blockout(&v->dsp, &v->block) == 1) {
        ogg_packet packet;
        bool is_coded =
            vorbis_analysis(&v->block, NULL) == 0 && vorbis_bitrate_addblock(&v->block) == 0;
        while (is_coded && vorbis_bitrate_flushpacket(&v->dsp, &packet) != 0) {
            is_coded = ogg_stream_packetin(&v->stream, &packet) == 0;
            v->has_sound = v->has_sound || packet.granulepos > 0;
        }
        status = is_coded ? write_pages(v, false, err)
                          : csm_encoding_failed(v->to, "libvorbis cannot encode", err);
    }
    return status == CSM_OK && (v->has_sound || is_end) ? write_pages(v, true, err) : status;
}

static csm_status vorbis_push(void *state, const float *samples, size_t n, csm_error *err)
{
    struct vorbis *v = state;
    float **channels = vorbis_analysis_buffer(&v->dsp, (int)n);
    if (channels == NULL)
        return csm_encoding_failed(v->to, "out of memory", err);
    memcpy(channels[0], samples, n * sizeof *samples);
    if (vorbis_analysis_wrote(&v->dsp, (int)n) != 0)
        return csm_encoding_failed(v->to, "libvorbis cannot encode", err);
    return encode(v, false, err);
}

static csm_status vorbis_finish(void *state, csm_error *err)
{
    struct vorbis *v = state;
    if (vorbis_analysis_wrote(&v->dsp, 0) != 0)
        return csm_encoding_failed(v->to, "libvorbis cannot end", err);
    return encode(v, true, err);
}

static void vorbis_close(void *state)
{
    struct vorbis *v = state;
    if (v == NULL)
        return;
    if (v->has_stream)
        ogg_stream_clear(&v->stream);
    if (v->has_block)
        vorbis_block_clear(&v->block);
    if (v->has_dsp)
        vorbis_dsp_clear(&v->dsp);
    vorbis_comment_clear(&v->comment);
    vorbis_info_clear(&v->info);
    free(v);
}

const struct csm_encoder_kind csm_encoder_vorbis = {vorbis_open, vorbis_push, vorbis_finish,
                                                    vorbis_close};
