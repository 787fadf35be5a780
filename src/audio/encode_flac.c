/* SPDX-License-Identifier: Apache-2.0
 *
 * encode_flac.c - FLAC, by libFLAC, in blocks of 48 ms at 24 kHz. */
#include <stdlib.h>
#include <string.h>

#include <FLAC/metadata.h>
#include <FLAC/stream_encoder.h>

#include "audio/encoder.h"
#include "base/error.h"

enum { BLOCK = 1152, AT_ONCE = 2048 };

struct flac {
    struct csm_encoding *to;
    FLAC__StreamEncoder *encoder;
    FLAC__StreamMetadata *tags; /* NULL: none */
    uint64_t at;                /* where the next byte goes: before n_bytes after a seek */
    bool is_closing;            /* nothing is to be written any more */
};

static FLAC__StreamEncoderWriteStatus write_bytes(const FLAC__StreamEncoder *encoder,
                                                  const FLAC__byte bytes[], size_t n,
                                                  uint32_t n_samples, uint32_t frame, void *user)
{
    struct flac *f = user;
    (void)encoder;
    (void)n_samples;
    (void)frame;
    if (f->is_closing)
        return FLAC__STREAM_ENCODER_WRITE_STATUS_FATAL_ERROR;
    csm_status status = f->at < f->to->n_bytes ? csm_encoding_rewrite(f->to, f->at, bytes, n, NULL)
                                               : csm_encoding_write(f->to, bytes, n, NULL);
    f->at += n;
    return status == CSM_OK ? FLAC__STREAM_ENCODER_WRITE_STATUS_OK
                            : FLAC__STREAM_ENCODER_WRITE_STATUS_FATAL_ERROR;
}

static FLAC__StreamEncoderSeekStatus seek(const FLAC__StreamEncoder *encoder, FLAC__uint64 offset,
                                          void *user)
{
    (void)encoder;
    ((struct flac *)user)->at = offset;
    return FLAC__STREAM_ENCODER_SEEK_STATUS_OK;
}

static FLAC__StreamEncoderTellStatus tell(const FLAC__StreamEncoder *encoder, FLAC__uint64 *offset,
                                          void *user)
{
    (void)encoder;
    *offset = ((struct flac *)user)->at;
    return FLAC__STREAM_ENCODER_TELL_STATUS_OK;
}

/* The block of tags, if there are any; false: no memory. */
static bool make_tags(struct flac *f)
{
    const char *name, *value;
    for (size_t i = 0; csm_encoding_comment(f->to, i, &name, &value); i++) {
        if (f->tags == NULL)
            f->tags = FLAC__metadata_object_new(FLAC__METADATA_TYPE_VORBIS_COMMENT);
        FLAC__StreamMetadata_VorbisComment_Entry entry;
        if (f->tags == NULL ||
            !FLAC__metadata_object_vorbiscomment_entry_from_name_value_pair(&entry, name, value))
            return false;
        if (!FLAC__metadata_object_vorbiscomment_append_comment(f->tags, entry, false)) {
            free(entry.entry);
            return false;
        }
    }
    return f->tags == NULL || FLAC__stream_encoder_set_metadata(f->encoder, &f->tags, 1);
}

static csm_status flac_open(struct csm_encoding *to, void **state, csm_error *err)
{
    struct flac *f = calloc(1, sizeof *f);
    if (f == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "flac: out of memory");
    *state = f;
    f->to = to;
    f->encoder = FLAC__stream_encoder_new();
    if (f->encoder == NULL || !make_tags(f))
        return csm_fail(err, CSM_NO_MEMORY, "flac: out of memory");
    const uint32_t rate = (uint32_t)to->rate_hz;
    const bool can_rewrite = csm_encoding_can_rewrite(to);
    const bool is_set = FLAC__stream_encoder_set_channels(f->encoder, 1) &&
                        FLAC__stream_encoder_set_bits_per_sample(f->encoder, 16) &&
                        FLAC__stream_encoder_set_sample_rate(f->encoder, rate) &&
                        FLAC__stream_encoder_set_compression_level(f->encoder, 5) &&
                        FLAC__stream_encoder_set_blocksize(f->encoder, BLOCK) &&
                        FLAC__stream_encoder_set_streamable_subset(
                            f->encoder, FLAC__format_sample_rate_is_subset(rate)) &&
                        FLAC__stream_encoder_set_total_samples_estimate(f->encoder, to->n_samples);
    if (!is_set || FLAC__stream_encoder_init_stream(
                       f->encoder, write_bytes, can_rewrite ? seek : NULL,
                       can_rewrite ? tell : NULL, NULL, f) != FLAC__STREAM_ENCODER_INIT_STATUS_OK)
        return csm_encoding_failed(to, "libFLAC cannot begin", err);
    return CSM_OK;
}

static csm_status flac_push(void *state, const float *samples, size_t n, csm_error *err)
{
    struct flac *f = state;
    FLAC__int32 integers[AT_ONCE];
    for (size_t n_now; n > 0; samples += n_now, n -= n_now) {
        n_now = n < AT_ONCE ? n : AT_ONCE;
        for (size_t i = 0; i < n_now; i++)
            integers[i] = csm_to_s16(samples[i]);
        if (!FLAC__stream_encoder_process_interleaved(f->encoder, integers, (uint32_t)n_now))
            return csm_encoding_failed(f->to, "libFLAC cannot encode", err);
    }
    return CSM_OK;
}

static csm_status flac_finish(void *state, csm_error *err)
{
    struct flac *f = state;
    return FLAC__stream_encoder_finish(f->encoder)
               ? CSM_OK
               : csm_encoding_failed(f->to, "libFLAC cannot end", err);
}

static void flac_close(void *state)
{
    struct flac *f = state;
    if (f == NULL)
        return;
    f->is_closing = true;
    if (f->encoder != NULL)
        FLAC__stream_encoder_delete(f->encoder);
    if (f->tags != NULL)
        FLAC__metadata_object_delete(f->tags);
    free(f);
}

const struct csm_encoder_kind csm_encoder_flac = {flac_open, flac_push, flac_finish, flac_close};
