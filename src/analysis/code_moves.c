/* SPDX-License-Identifier: Apache-2.0
 *
 * code_moves.c - the same codes, moved by parts: each codebook by frames of its own (the delay
 * patterns of MusicGen and Moshi), each by codes of its own (one table for all codebooks),
 * frames lost or put in, frames twice. */
#include "analysis/verdict.h"

enum { LEAST_FRAMES = 4, LEAST_CODES = 16, MOST_CODEBOOKS = 64, MOST_LOST = 3 };

struct place {
    size_t from;   /* b's first frame */
    size_t k, n_k; /* codebooks k to k + n_k - 1 */
    long frames;   /* b's frame f is a's f - frames */
    long times, parts; /* b's frame f is a's f * times / parts */
    int64_t codes; /* b's code is a's + codes */
};

/* Share of b's codes that are a's so; 0 of fewer than four frames or sixteen codes of several
 * codebooks. */
static double share(const csm_tokens *a, const csm_tokens *b, struct place p)
{
    size_t n = 0, n_equal = 0, n_frames = 0;
    for (size_t f = p.from; f < b->n_frames; f++) {
        const long source = ((long)f - p.frames) * p.times / p.parts;
        if ((long)f < p.frames || source >= (long)a->n_frames)
            continue;
        n_frames++;
        for (size_t k = p.k; k < p.k + p.n_k; k++, n++)
            n_equal += a->codes[(size_t)source * a->n_codebooks + k] + p.codes ==
                       b->codes[f * b->n_codebooks + k];
    }
    const bool is_enough = n_frames >= LEAST_FRAMES && (p.n_k == 1 || n >= LEAST_CODES);
    return is_enough ? (double)n_equal / (double)n : 0;
}

/* One codebook's move: true, if it stands in place or is moved. */
static bool is_moved_in_time(const csm_tokens *a, const csm_tokens *b, struct place *p, double *is)
{
    if ((*is = share(a, b, *p)) > 0.5)
        return true;
    for (long by = 1; by < MOST_CODEBOOKS; by++)
        for (int sign = -1; sign <= 1; sign += 2) {
            p->frames = sign * by;
            if ((*is = share(a, b, *p)) >= 0.9)
                return true;
        }
    return false;
}

static bool is_moved_in_value(const csm_tokens *a, const csm_tokens *b, struct place *p, double *is)
{
    p->codes = (int64_t)b->codes[p->k] - a->codes[p->k];
    return (*is = share(a, b, *p)) >= 0.9;
}

/* All codebooks, each by its own, and one of them at least. */
static struct csm_code_moves find_each(const csm_tokens *a, const csm_tokens *b, size_t n_codebooks,
                                       enum csm_code_move move)
{
    struct csm_code_moves found = {.move = move};
    size_t n_moved = 0;
    for (size_t k = 0; k < n_codebooks; k++) {
        struct place p = {.k = k, .n_k = 1, .times = 1, .parts = 1};
        double is = 0;
        if (!(move == CSM_MOVED_IN_TIME ? is_moved_in_time : is_moved_in_value)(a, b, &p, &is))
            return (struct csm_code_moves){0};
        const long by = move == CSM_MOVED_IN_TIME ? p.frames : (long)p.codes;
        if (by != 0 && n_moved++ == 0) {
            found.codebook = k;
            found.by = by;
        }
        found.by_last = by;
        found.agreement += is / (double)n_codebooks;
    }
    const size_t n_frames = a->n_frames < b->n_frames ? a->n_frames : b->n_frames;
    return n_moved > 0 && n_moved * n_frames >= LEAST_CODES ? found : (struct csm_code_moves){0};
}

struct csm_code_moves csm_code_moves_find(const csm_tokens *a, const csm_tokens *b, size_t frame)
{
    const size_t n_k = a->n_codebooks < b->n_codebooks ? a->n_codebooks : b->n_codebooks;
    struct csm_code_moves none = {0}, found;
    if (a->n_frames == 0 || b->n_frames == 0 || n_k == 0)
        return none;
    if ((found = find_each(a, b, n_k, CSM_MOVED_IN_TIME)).move != CSM_NOT_MOVED ||
        (found = find_each(a, b, n_k, CSM_MOVED_IN_VALUE)).move != CSM_NOT_MOVED)
        return found;
    struct place p = {.from = frame, .n_k = n_k, .times = 1, .parts = 1};
    if (share(a, b, p) > 0.5)
        return none;
    for (long by = -MOST_LOST; frame > 0 && by <= MOST_LOST; by++) {
        p.frames = by;
        p.from = frame + (by > 0 ? (size_t)by : 0);
        const double is = by != 0 ? share(a, b, p) : 0;
        if (is >= 0.9)
            return (struct csm_code_moves){.move = CSM_MOVED_FROM, .by = by, .agreement = is};
    }
    for (int is_twice = 0; is_twice < 2; is_twice++) {
        p = (struct place){.n_k = n_k, .times = is_twice ? 1 : 2, .parts = is_twice ? 2 : 1};
        const double is = share(a, b, p);
        if (is >= 0.9)
            return (struct csm_code_moves){
                .move = is_twice ? CSM_FRAMES_TWICE : CSM_FRAMES_HALVED, .agreement = is};
    }
    return none;
}
