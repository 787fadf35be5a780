/* SPDX-License-Identifier: Apache-2.0
 *
 * audio_write.c - an encoder into a file that is written whole or not at all. */
#include <csm/audio.h>

#include <stdlib.h>

#include "base/error.h"
#include "base/output.h"

struct csm_audio_writer {
    csm_output *output;
    csm_encoder *encoder;
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

csm_status csm_audio_writer_open(const char *path, csm_audio_format format, int rate_hz,
                                 const csm_audio_options *options, csm_audio_writer **out,
                                 csm_error *err)
{
    csm_audio_writer *w = calloc(1, sizeof *w);
    if (w == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
    csm_status status = csm_output_open(path, &w->output, err);
    if (status == CSM_OK) {
        const bool can_seek = csm_output_can_seek(w->output);
        const csm_encoder_target target = {write_bytes, can_seek ? rewrite_bytes : NULL, w->output};
        status = csm_encoder_open(format, rate_hz, options, &target, &w->encoder, err);
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

csm_status csm_audio_writer_commit(csm_audio_writer *w, csm_error *err)
{
    csm_status status = csm_encoder_finish(w->encoder, err);
    csm_encoder_close(w->encoder);
    if (status == CSM_OK)
        status = csm_output_commit(w->output, err);
    else
        csm_output_discard(w->output);
    free(w);
    return status;
}

void csm_audio_writer_discard(csm_audio_writer *w)
{
    if (w == NULL)
        return;
    csm_encoder_close(w->encoder);
    csm_output_discard(w->output);
    free(w);
}

csm_status csm_audio_write(const char *path, csm_audio_format format, const float *samples,
                           size_t n_samples, int rate_hz, const csm_audio_options *options,
                           csm_error *err)
{
    csm_audio_options with_length = csm_audio_defaults();
    if (options != NULL)
        with_length = *options;
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
