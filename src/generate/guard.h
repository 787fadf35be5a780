/* SPDX-License-Identifier: Apache-2.0
 *
 * guard.h - speech that runs away: a model that misses its own end repeats itself,
 * falls silent, or goes on far longer than its text. */
#ifndef CSM_GENERATE_GUARD_H
#define CSM_GENERATE_GUARD_H

#include <stddef.h>
#include <stdint.h>

enum { CSM_GUARD_FRAMES = 64 };

struct csm_guard {
    size_t n_text;                     /* bytes of the text to be spoken */
    size_t n_frames;                   /* so far */
    int32_t codes[CSM_GUARD_FRAMES];   /* code 0 of the last frames, a ring */
    size_t n_silent;                   /* silent frames since the last loud one */
    size_t n_loud;
};

/* Watch one frame: its first code, and its samples (NULL without sound, which
 * then is not judged silent). Returns NULL, or why speech should end here: a
 * static text. */
const char *csm_guard_watch(struct csm_guard *guard, int32_t code, const float *samples,
                            size_t n_samples);

#endif
