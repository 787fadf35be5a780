/* SPDX-License-Identifier: Apache-2.0
 *
 * audio_read.c - sound files: mapped, decoded, at the rate that is asked for. */
#include "audio/audio_read.h"

#include <stdlib.h>

#include "base/error.h"
#include "files/mapped.h"

csm_status csm_audio_read(const char *path, int rate_hz, csm_resampler resampler, float **samples,
                          size_t *n_samples, csm_error *err)
{
    struct csm_mapped file;
    csm_status status = csm_mapped_open(path, "a sound file", &file, err);
    if (status != CSM_OK)
        return status;
    float *own = NULL;
    size_t n_own = 0;
    int own_hz = 0;
    status = csm_audio_decode(path, file.data, file.size, &own, &n_own, &own_hz, err);
    csm_mapped_close(&file);
    if (status == CSM_OK)
        status =
            csm_audio_resample(resampler, own, n_own, own_hz, rate_hz, samples, n_samples, err);
    if (status == CSM_BAD_ARG && own_hz != rate_hz && (own_hz < 1 || own_hz > 768000))
        status = csm_fail(err, CSM_BAD_FORMAT, "%s: %d Hz, expected 1 to 768000", path, own_hz);
    free(own);
    return status;
}
