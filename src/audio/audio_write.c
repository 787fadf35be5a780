/* SPDX-License-Identifier: Apache-2.0
 *
 * audio_write.c - an encoder into a file that is written whole or not at all; into memory
 * first, if it is to be signed. */
#include <csm/credentials.h>

#include <stdlib.h>
#include <string.h>

#include "audio/encoder.h"
#include "base/builder.h"
#include "base/error.h"
#include "base/output.h"

struct csm_audio_writer {
    csm_output *output;
    csm_encoder *encoder;
    csm_credentials *credentials; /* NULL: not signed */
    csm_audio_format format;
    struct csm_builder held; /* what is to be signed */
};

static csm_status write_bytes(void *user, const void *bytes, size_t n, csm_error *err)
{
    return csm_output_write(user, bytes, n, err);
}

static csm_status rewrite_bytes(void *user, uint64_t offset, const void *bytes, size_t n,
                                csm_error *err)
{
    return csm_output_rewrite(user, offset, bytes, n, err);
}

static csm_status hold_bytes(void *user, const void *bytes, size_t n, csm_error *err)
{
    csm_audio_writer *w = user;
    csm_builder_add(&w->held, bytes, n);
    return w->held.has_failed ? csm_fail(err, CSM_NO_MEMORY, "sound: out of memory") : CSM_OK;
}

static csm_status rehold_bytes(void *user, uint64_t offset, const void *bytes, size_t n,
                               csm_error *err)
{
    csm_audio_writer *w = user;
    (void)err;
    memcpy(w->held.text + offset, bytes, n); /* an encoder rewrites what it wrote */
    return CSM_OK;
}

static csm_encoder_target target_of(csm_audio_writer *w)
{
    if (w->credentials != NULL)
        return (csm_encoder_target){hold_bytes, rehold_bytes, w};
    const bool can_seek = csm_output_can_seek(w->output);
    return (csm_encoder_target){write_bytes, can_seek ? rewrite_bytes : NULL, w->output};
}

csm_status csm_audio_writer_open(const char *path, csm_audio_format format, int rate_hz,
                                 const csm_audio_options *options, csm_audio_writer **out,
                                 csm_error *err)
{
    csm_audio_writer *w = calloc(1, sizeof *w);
    if (w == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
    csm_audio_options settled = csm_audio_options_settle(options);
    w->format = format;
    w->credentials = settled.credentials;
    settled.credentials = NULL; /* the encoder's work ends before */
    csm_status status = CSM_OK;
    if (w->credentials != NULL && !csm_credentials_fit(format))
        status = csm_fail(err, CSM_BAD_ARG, "%s: %s cannot be signed, expected wav, flac or mp3",
                          path, csm_audio_format_name(format));
    if (status == CSM_OK)
        status = csm_output_open(path, &w->output, err);
    if (status == CSM_OK) {
        const csm_encoder_target target = target_of(w);
        status = csm_encoder_open(format, rate_hz, &settled, &target, &w->encoder, err);
    }
    if (status != CSM_OK)
        csm_audio_writer_discard(w);
    else
        *out = w;
    return status;
}

csm_status csm_audio_writer_push(csm_audio_writer *w, const float *samples, size_t n_samples,
                                 csm_error *err)
{
    return csm_encoder_push(w->encoder, samples, n_samples, err);
}

static csm_status sign(csm_audio_writer *w, csm_error *err)
{
    void *bytes;
    size_t n;
    csm_status status = csm_credentials_sign(w->credentials, w->format, w->held.text,
                                             w->held.length, &bytes, &n, err);
    if (status != CSM_OK)
        return status;
    status = csm_output_write(w->output, bytes, n, err);
    free(bytes);
    return status;
}

csm_status csm_audio_writer_commit(csm_audio_writer *w, csm_error *err)
{
    csm_status status = csm_encoder_finish(w->encoder, err);
    if (status == CSM_OK && w->credentials != NULL)
        status = sign(w, err);
    if (status == CSM_OK) {
        status = csm_output_commit(w->output, err);
        w->output = NULL;
    }
    csm_audio_writer_discard(w);
    return status;
}

void csm_audio_writer_discard(csm_audio_writer *w)
{
    if (w == NULL)
        return;
    csm_encoder_close(w->encoder);
    csm_output_discard(w->output);
    csm_builder_clear(&w->held);
    free(w);
}

csm_status csm_audio_write(const char *path, csm_audio_format format, const float *samples,
                           size_t n_samples, int rate_hz, const csm_audio_options *options,
                           csm_error *err)
{
    csm_audio_options with_length = csm_audio_options_settle(options);
    with_length.n_samples = n_samples;
    csm_audio_writer *w = NULL;
    csm_status status = csm_audio_writer_open(path, format, rate_hz, &with_length, &w, err);
    if (status != CSM_OK)
        return status;
    status = csm_audio_writer_push(w, samples, n_samples, err);
    if (status == CSM_OK)
        return csm_audio_writer_commit(w, err);
    csm_audio_writer_discard(w);
    return status;
}
