/* SPDX-License-Identifier: Apache-2.0
 *
 * A detector says the same of a sound however it is cut, and what it says is in range.
 * Bytes: how large the pieces are, then samples of 8 bits at 8 kHz, two codes of which
 * stand for what is no sound. Pieces of 256 samples are of up to 0.75 s, which can hold a
 * mark; others of 0.3 s, which is searched ten times as fast. */
#include "check.h"

#include <math.h>

#include <csm/mark.h>

static csm_detector *look(const float *x, size_t n, size_t piece, csm_mark_found *first,
                          double *p_value)
{
    csm_mark_options options = csm_mark_defaults();
    options.rate_hz = 8000;
    csm_detector *detector = NULL;
    const csm_mark_found *found = NULL;
    size_t n_found = 0;
    CHECK(csm_detector_open(&options, &detector, NULL) == CSM_OK);
    for (size_t at = 0; at < n; at += piece)
        CHECK(csm_detector_push(detector, x + at, n - at < piece ? n - at : piece, NULL) == CSM_OK);
    CHECK(csm_detector_result(detector, &found, &n_found, p_value, NULL) == CSM_OK);
    CHECK(*p_value >= 0 && *p_value <= 1);
    for (size_t i = 0; i < n_found; i++) {
        CHECK(found[i].start_s >= 0 && found[i].start_s < found[i].end_s);
        CHECK(found[i].p_value <= 1e-5 && found[i].speed > 0.97 && found[i].speed < 1.03);
        *first = found[i];
    }
    return detector;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    enum { LONG = 6000, SHORT = 2400 };
    if (n < 2)
        return 0;
    const size_t piece = 1 + data[0], most = data[0] == 0xff ? LONG : SHORT;
    n = n < most ? n : most;
    float *x = malloc(n * sizeof *x);
    CHECK(x != NULL);
    for (size_t i = 1; i < n; i++)
        x[i - 1] = data[i] == 0x80 ? NAN : data[i] == 0x7f ? 1e38f : (float)(int8_t)data[i] / 128;
    csm_mark_found a = {0}, b = {0};
    double p_a, p_b;
    csm_detector_close(look(x, n - 1, piece, &a, &p_a));
    csm_detector_close(look(x, n - 1, n, &b, &p_b));
    CHECK(p_a == p_b && a.p_value == b.p_value);
    free(x);
    return 0;
}
