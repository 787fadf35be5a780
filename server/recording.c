/* SPDX-License-Identifier: Apache-2.0 */
#include "recording.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <csm/audio.h>
#include <csm/codec.h>

/* Put the name that a client knows in place of a path, with which a text may begin. */
static void rename_sound(char *text, size_t size, const char *path)
{
    static const char name[] = "the recording";
    const size_t n_path = strlen(path), n_name = sizeof name - 1, n = strlen(text);
    if (strncmp(text, path, n_path) != 0 || n - n_path + n_name >= size)
        return;
    memmove(text + n_name, text + n_path, n - n_path + 1);
    memcpy(text, name, n_name);
}

/* Sound is read from files: an unlinked one, by the name that its descriptor has. */
static csm_status read_sound(const csm_model_info *info, const void *bytes, size_t n, double longest_s,
                             float **samples, size_t *n_samples, struct remark_list *remarks,
                             csm_error *err)
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
    csm_remark remark;
    const csm_status st = csm_audio_read_told(
        path, info->sample_rate_hz, is_sesame ? CSM_RESAMPLER_TORCHAUDIO : CSM_RESAMPLER_SOXR,
        longest_s, samples, n_samples, &remark, err);
    if (st == CSM_OK && remark.code[0] != '\0') {
        rename_sound(remark.text, sizeof remark.text, path);
        remark_list_add(remarks, &remark);
    }
    fclose(file);
    if (st != CSM_OK)
        rename_sound(err->text, sizeof err->text, path);
    return st;
}

csm_status recording_encode(csm_model *model, const void *bytes, size_t n, const char *text,
                            double longest_s, int32_t **codes, size_t *n_frames, double *seconds,
                            struct remark_list *remarks, csm_error *err)
{
    const csm_model_info *info = csm_model_describe(model);
    if (!info->has_codec)
        return csm_fail(err, CSM_BAD_FORMAT, "the recording: this model has no codec to encode it");
    float *samples;
    size_t n_samples;
    csm_status st = read_sound(info, bytes, n, longest_s, &samples, &n_samples, remarks, err);
    if (st != CSM_OK)
        return st;
    csm_remark heard[CSM_REFERENCE_REMARKS];
    const size_t n_heard =
        csm_remark_reference("the recording", text, samples, n_samples, info->sample_rate_hz, heard);
    for (size_t i = 0; i < n_heard; i++)
        remark_list_add(remarks, &heard[i]);
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
