/* SPDX-License-Identifier: Apache-2.0 */
#include "loudness.h"

#include <math.h>

#include <ebur128.h>

bool loudness_is_known(void)
{
    return true;
}

csm_status loudness_of(const float *samples, size_t n_samples, int rate_hz, double *lufs,
                       csm_error *err)
{
    ebur128_state *state = ebur128_init(1, (unsigned long)rate_hz, EBUR128_MODE_I);
    if (state == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "loudness: out of memory");
    ebur128_set_channel(state, 0, EBUR128_DUAL_MONO); /* as it is heard from two loudspeakers */
    const bool is_measured = ebur128_add_frames_float(state, samples, n_samples) == EBUR128_SUCCESS &&
                             ebur128_loudness_global(state, lufs) == EBUR128_SUCCESS;
    ebur128_destroy(&state);
    if (!is_measured)
        return csm_fail(err, CSM_NO_MEMORY, "loudness: out of memory");
    if (!isfinite(*lufs))
        *lufs = (double)NAN;
    return CSM_OK;
}
