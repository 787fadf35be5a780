/* SPDX-License-Identifier: Apache-2.0
 *
 * code_shift.c - off by one: codebooks, frames, or the codes themselves. */
#include "analysis/verdict.h"

#include <string.h>

enum { MOST_CODEBOOKS = 2, MOST_FRAMES = 3, MOST_CODES = 3, LEAST_CODES = 16 };

/* Share of b's codes that are a's, moved so. */
static double agreement(const csm_tokens *a, const csm_tokens *b, int codebooks, int frames,
                        int codes)
{
    size_t n_frames = a->n_frames < b->n_frames ? a->n_frames : b->n_frames;
    size_t n_columns = a->n_codebooks < b->n_codebooks ? a->n_codebooks : b->n_codebooks;
    size_t n = 0, n_equal = 0, n_varied = 0;
    for (size_t f = 0; f < n_frames; f++)
        for (size_t k = 0; k < n_columns; k++) {
            long from_frame = (long)f - frames, from_codebook = (long)k - codebooks;
            if (from_frame < 0 || from_frame >= (long)n_frames || from_codebook < 0 ||
                from_codebook >= (long)n_columns)
                continue;
            int32_t source = a->codes[(size_t)from_frame * a->n_codebooks + (size_t)from_codebook];
            n++;
            n_equal += (int64_t)source + codes == b->codes[f * b->n_codebooks + k];
            n_varied += source != a->codes[f * a->n_codebooks + k] || codes != 0;
        }
    /* a stuck stream agrees with itself however it is moved */
    return n >= LEAST_CODES && 2 * n_varied >= n ? (double)n_equal / (double)n : 0;
}

struct csm_code_shift csm_code_shift_find(const csm_tokens *a, const csm_tokens *b)
{
    struct csm_code_shift best = {0};
    for (int axis = 0; axis < 3; axis++) {
        static const int most[] = {MOST_CODEBOOKS, MOST_FRAMES, MOST_CODES};
        for (int by = -most[axis]; by <= most[axis]; by++) {
            int moved[3] = {0};
            moved[axis] = by;
            double share = by != 0 ? agreement(a, b, moved[0], moved[1], moved[2]) : 0;
            if (share > best.agreement)
                best = (struct csm_code_shift){.is_shifted = share >= 0.9,
                                               .codebooks = moved[0],
                                               .frames = moved[1],
                                               .codes = moved[2],
                                               .agreement = share};
        }
    }
    return best;
}
