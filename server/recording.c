/* SPDX-License-Identifier: Apache-2.0 */
#include "recording.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <csm/audio.h>
#include <csm/codec.h>


/* Sound is read from files: an unlinked one, by the name that its descriptor has. */
static csm_status read_sound(const csm_model_info *info, const void *bytes, size_t n,
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
    csm_status st = csm_audio_read(path, info->sample_rate_hz,
                                   is_sesame ? CSM_RESAMPLER_TORCHAUDIO : CSM_RESAMPLER_SOXR, samples,
                                   n_samples, &inner);
    fclose(file);
    if (st == CSM_BAD_FILE || st == CSM_BAD_FORMAT)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "the recording: expected a sound file (WAV, FLAC, Ogg, MP3) with sound in it");
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
    csm_status st = read_sound(info, bytes, n, &samples, &n_samples, err);
    if (st != CSM_OK)
        return st;
    remark->code[0] = '\0';
    csm_remark_recording("the recording", samples, n_samples, info->sample_rate_hz, remark);
    const double length_s = (double)n_samples / info->sample_rate_hz;
    const size_t frames = (n_samples + info->frame_samples - 1) / info->frame_samples;
    int32_t *made = NULL;
    if (length_s > longest_s)
        st = csm_fail(err, CSM_BAD_FORMAT, "the recording: %.1f s, expected at most %.0f", length_s,
                      longest_s);
    if (st == CSM_OK && (made = malloc(frames * info->n_codebooks * sizeof *made)) == NULL)
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
