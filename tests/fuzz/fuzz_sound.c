/* SPDX-License-Identifier: Apache-2.0
 *
 * A sound that is read has samples, all finite, and a rate. */
#include "check.h"

#include <math.h>
#include <string.h>

#include "audio/audio_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    csm_error err = {""};
    float *samples = NULL;
    size_t n_samples = 0;
    int rate_hz = 0;
    csm_status status = csm_audio_decode("x", data, n, 60.0, &samples, &n_samples, &rate_hz, &err);
    CHECK((status == CSM_OK) == (samples != NULL));
    CHECK(status == CSM_OK || (err.text[0] != '\0' && strchr(err.text, '\n') == NULL));
    if (samples != NULL) {
        CHECK(n_samples > 0 && rate_hz != 0);
        for (size_t i = 0; i < n_samples; i++)
            CHECK(isfinite(samples[i]));
    }
    free(samples);
    return 0;
}
