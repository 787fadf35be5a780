/* SPDX-License-Identifier: Apache-2.0 */
#include "recording.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <csm/audio.h>
#include <csm/codec.h>

/* Sound is read from files: an unlinked one, by the name that its descriptor has. */
static csm_status read_sound(const csm_model_info *info, const void *bytes, size_t n, double longest_s,
                             float **samples, size_t *n_samples, csm_error *err)
{
    FILE *file = tmpfile();
    if (file == NULL || fwrite(bytes, 1, n, file) != n || fflush(file) != 0) {
        const csm_status st =
            csm_fail(err, CSM_BAD_FILE, "the recording: no temporary file: %s", strerror(errno));
        if (file != NULL)
            fclose(file);
        return st;
    }
    rewind(file);
    char path[32];
    snprintf(path, sizeof path, "/dev/fd/%d", fileno(file));
    const bool is_sesame = strcmp(info->layout, "hf") != 0;
    csm_error inner;
    const csm_status st = csm_audio_read_within(
        path, info->sample_rate_hz, is_sesame ? CSM_RESAMPLER_TORCHAUDIO : CSM_RESAMPLER_SOXR,
        longest_s, samples, n_samples, &inner);
    fclose(file);
    const size_t n_path = strlen(path); /* which says nothing to a client */
    if (st != CSM_OK && strncmp(inner.text, path, n_path) == 0)
        return csm_fail(err, st, "the recording%s", inner.text + n_path);
    if (st != CSM_OK)
        *err = inner;
    return st;
}

csm_status recording_encode(csm_model *model, const void *bytes, size_t n, double longest_s,
                            int32_t **codes, size_t *n_frames, double *seconds, csm_remark *remark,
                            csm_error *err)
{
    const csm_model_info *info = csm_model_describe(model);
    if (!info->has_codec)
        return csm_fail(err, CSM_BAD_FORMAT, "the recording: this model has no codec to encode it");
    float *samples;
    size_t n_samples;
    csm_status st = read_sound(info, bytes, n, longest_s, &samples, &n_samples, err);
    if (st != CSM_OK)
        return st;
    remark->code[0] = '\0';
    csm_remark_recording("the recording", samples, n_samples, info->sample_rate_hz, remark);
    const double length_s = (double)n_samples / info->sample_rate_hz;
    const size_t frames = (n_samples + info->frame_samples - 1) / info->frame_samples;
    int32_t *made = NULL;
    if ((made = malloc(frames * info->n_codebooks * sizeof *made)) == NULL)
        st = csm_fail(err, CSM_NO_MEMORY, "the recording: out of memory");
    if (st == CSM_OK)
        st = csm_codec_encode(csm_model_codec(model), samples, n_samples, info->n_codebooks, made, err);
    csm_free(samples);
    if (st != CSM_OK) {
        free(made);
        return st;
    }
    *codes = made;
    *n_frames = frames;
    if (seconds != NULL)
        *seconds = length_s;
    return CSM_OK;
}
