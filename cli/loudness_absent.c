/* SPDX-License-Identifier: Apache-2.0
 *
 * loudness_absent.c - in the place of loudness.c in a build without libebur128. */
#include "loudness.h"

bool loudness_is_known(void)
{
    return false;
}

csm_status loudness_of(const float *samples, size_t n_samples, int rate_hz, double *lufs,
                       csm_error *err)
{
    (void)samples;
    (void)n_samples;
    (void)rate_hz;
    (void)lufs;
    return csm_fail(err, CSM_NO_ENGINE, "loudness: this csm is built without libebur128");
}
