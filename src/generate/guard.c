/* SPDX-License-Identifier: Apache-2.0
 *
 * The limits are far outside of what speech does, in frames of 80 ms:
 *   loop     48 frames (3.8 s) that each repeat what was p frames ago, p up to 16
 *   silence  25 frames (2 s) below -50 dB of full scale after speech, 63 before it
 *   length   6 s more than the text takes at 5 bytes a second; people read 12 to 20 */
#include "generate/guard.h"

#include <stdbool.h>

enum {
    LOOP_FRAMES = 48,
    MAX_PERIOD = 16,
    SILENT_AFTER = 25,
    SILENT_BEFORE = 63,
    EXTRA_FRAMES = 75,
    FRAMES_PER_2_BYTES = 5 /* at 5 bytes and 12.5 frames a second */
};

static const double silence_power = 1e-5; /* mean square: -50 dB */

static bool is_silent(const float *samples, size_t n)
{
    double power = 0.0;
    for (size_t i = 0; i < n; i++)
        power += (double)samples[i] * (double)samples[i];
    return power < silence_power * (double)n;
}

/* Whether each of the last LOOP_FRAMES codes is the one `period` frames before it. */
static bool repeats(const struct csm_guard *g, size_t period)
{
    if (g->n_frames < LOOP_FRAMES + period)
        return false;
    for (size_t i = g->n_frames - LOOP_FRAMES; i < g->n_frames; i++)
        if (g->codes[i % CSM_GUARD_FRAMES] != g->codes[(i - period) % CSM_GUARD_FRAMES])
            return false;
    return true;
}

const char *csm_guard_watch(struct csm_guard *g, int32_t code, const float *samples,
                            size_t n_samples)
{
    g->codes[g->n_frames++ % CSM_GUARD_FRAMES] = code;
    if (samples != NULL && is_silent(samples, n_samples)) {
        g->n_silent++;
    } else {
        g->n_silent = 0;
        g->n_loud++;
    }
    if (g->n_silent >= (g->n_loud > 0 ? SILENT_AFTER : SILENT_BEFORE))
        return "silence";
    if (g->n_frames > EXTRA_FRAMES + g->n_text * FRAMES_PER_2_BYTES / 2)
        return "longer than its text";
    for (size_t period = 1; period <= MAX_PERIOD; period++)
        if (repeats(g, period))
            return "a loop";
    return NULL;
}
