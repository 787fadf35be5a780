/* SPDX-License-Identifier: Apache-2.0
 *
 * audio_read.c - sound files: mapped (pipes: read whole), decoded, at the rate that is asked
 * for. */
#include "audio/audio_read.h"

#include <math.h>
#include <stdlib.h>

#include "audio/whole.h"
#include "base/arithmetic.h"
#include "base/error.h"
#include "files/mapped.h"

/* The sound at its own rate; `remark`: may be NULL. */
static csm_status decode(const char *path, double longest_s, float **samples, size_t *n_samples,
                         int *rate_hz, csm_remark *remark, csm_error *err)
{
    struct csm_mapped file;
    const char *called;
    csm_status status = csm_mapped_read(path, "a sound file", &called, &file, err);
    if (status == CSM_OK)
        status = csm_audio_decode(called, file.data, file.size, longest_s, samples, n_samples,
                                  rate_hz, err);
    if (remark != NULL && (status != CSM_OK || !csm_remark_sound(called, &file, remark)))
        remark->code[0] = remark->text[0] = '\0';
    csm_mapped_close(&file);
    return status;
}

csm_status csm_audio_read(const char *path, int rate_hz, csm_resampler resampler, float **samples,
                          size_t *n_samples, csm_error *err)
{
    return csm_audio_read_told(path, rate_hz, resampler, HUGE_VAL, samples, n_samples, NULL, err);
}

csm_status csm_audio_read_within(const char *path, int rate_hz, csm_resampler resampler,
                                 double longest_s, float **samples, size_t *n_samples,
                                 csm_error *err)
{
    return csm_audio_read_told(path, rate_hz, resampler, longest_s, samples, n_samples, NULL, err);
}

static csm_status read_told(const char *path, int rate_hz, csm_resampler resampler,
                            double longest_s, float **samples, size_t *n_samples,
                            csm_remark *remark, csm_error *err)
{
    float *own = NULL;
    size_t n_own = 0;
    int own_hz = 0;
    csm_status status = decode(path, longest_s, &own, &n_own, &own_hz, remark, err);
    if (status == CSM_OK)
        status =
            csm_audio_resample(resampler, own, n_own, own_hz, rate_hz, samples, n_samples, err);
    if (status == CSM_BAD_ARG && own_hz != rate_hz && (own_hz < 1 || own_hz > 768000))
        status = csm_fail(err, CSM_BAD_FORMAT, "%s: %d Hz, expected 1 to 768000", path, own_hz);
    free(own);
    return status;
}

csm_status csm_audio_read_told(const char *path, int rate_hz, csm_resampler resampler,
                               double longest_s, float **samples, size_t *n_samples,
                               csm_remark *remark, csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin();
    const csm_status st = read_told(path, rate_hz, resampler, longest_s, samples, n_samples,
                                    remark, err);
    csm_arithmetic_end(&host);
    return st;
}
