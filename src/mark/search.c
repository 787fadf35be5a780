/* SPDX-License-Identifier: Apache-2.0
 *
 * search.c - the pilot's 320 chips are matched at every place; then blocks are summed
 * along straight lines through those matches, one line for each start, block phase and
 * speed. The highest sum is looked at once more, exactly:
 *
 *   z = sum_j p_j G_j / sqrt(sum_j G_j^2),  G_j = sum over blocks of sign * x at chip j
 *
 * p_j are independent signs that the sound knows nothing of. So P(z >= t) is at most 3.179
 * times a Gaussian's for each place, whatever the sound (Bentkus and Dzindzalieta, A tight
 * Gaussian bound for weighted sums of Rademacher random variables, Bernoulli 21, 2015: the
 * factor is 1 / (4 P(Z >= sqrt 2))), and at most the number of places tried times that for
 * the best of them. Speed 1 is tried first and has four fifths of the false alarms to
 * itself. */
#include "mark/search.h"

#include <math.h>
#include <string.h>

#include "mark/sums.h"

/* Speeds are tried in steps of 0.2 %, lines in between by their slope. */
enum { N_SPEEDS_EACH_SIDE = 11 };
static const double SPEED_STEP = 0.002, SURE = 1e-5, SHARE_OF_SPEED_1 = 0.8;

/* ---- matches ----------------------------------------------------------------- */

/* x played slower by `ratio` samples a sample; returns how many there are. */
static size_t stretch(struct search *s, const float *x, size_t n, double ratio)
{
    size_t n_out = 0;
    memset(s->stretched, 0, sizeof s->stretched);
    for (; n_out + N_PHASES * N_PLACES < N_STRETCHED; n_out++) {
        const double at = 1 + (double)n_out * ratio;
        if (at >= (double)n - 2)
            break;
        s->stretched[n_out % N_PHASES][n_out / N_PHASES] = search_between(x, at);
    }
    return n_out;
}

/* matches[i] = sum_j pilot[j] stretched[i + 2 chips_pilot_at(j)]; 0 where the block is not
 * whole. Runs over contiguous places, so that compilers vectorize it. */
static void match(struct search *s, size_t n)
{
    const struct mark_sums *sums = csm_mark_sums();
    const size_t n_whole = n >= HALF_BLOCK ? n - HALF_BLOCK + 1 : 0;
    memset(s->matches, 0, sizeof s->matches);
    for (size_t phase = 0; phase < N_PHASES; phase++)
        for (size_t from = 0; N_PHASES * from + phase < n_whole; from += N_PLACES) {
            float found[N_PLACES] = {0};
            for (size_t j = 0; j < N_PILOT; j += N_CHIPS) {
                const float *x[N_CHIPS];
                for (size_t k = 0; k < N_CHIPS; k++) {
                    const size_t at = phase + 2 * chips_pilot_at(j + k);
                    x[k] = s->stretched[at % N_PHASES] + from + at / N_PHASES;
                }
                sums->chips(found, x, s->chips->pilot + j);
            }
            for (size_t i = 0; i < N_PLACES && N_PHASES * (from + i) + phase < n_whole; i++)
                s->matches[N_PHASES * (from + i) + phase] = found[i];
        }
}

/* ---- lines ------------------------------------------------------------------- */

struct line {
    float sum;
    size_t start, phase;
    long drift; /* of the last block against n_blocks - 1 blocks */
};

/* The best start for one block phase and drift. */
static void try_line(const struct search *s, size_t n_blocks, size_t phase, long drift,
                     struct line *best)
{
    float sums[HALF_BLOCK] = {0};
    for (size_t b = 0; b < n_blocks; b++) {
        const float sign = s->chips->block_sign[(b + phase) % N_PERIOD];
        const long moved = n_blocks > 1 ? lround((double)drift * (double)b / (double)(n_blocks - 1)) : 0;
        const long from = (long)(b * HALF_BLOCK) + moved;
        const size_t skipped = from < 0 ? (size_t)-from : 0;
        const float *matches = s->matches + (from < 0 ? 0 : from);
        for (size_t i = 0; i + skipped < HALF_BLOCK; i++)
            sums[i + skipped] += sign * matches[i];
    }
    for (size_t i = 0; i < HALF_BLOCK; i++)
        if (sums[i] > best->sum)
            *best = (struct line){sums[i], i, phase, drift};
}

/* ---- exactly ------------------------------------------------------------------- */

static double z_score(const struct search *s, const float *x, size_t n, struct sync *sync)
{
    float sums[N_PILOT] = {0};
    const double chip = sync->spacing / N_BLOCK;
    size_t b = 0;
    for (;; b++) {
        const double start = sync->start + (double)b * sync->spacing;
        if (start + sync->spacing >= (double)n - 2)
            break;
        const float sign = s->chips->block_sign[(b + sync->phase) % N_PERIOD];
        for (size_t j = 0; start >= 1 && j < N_PILOT; j++)
            sums[j] += sign * search_between(x, start + (double)chips_pilot_at(j) * chip);
    }
    sync->n_blocks = b;
    double sum = 0, power = 1e-30;
    for (size_t j = 0; j < N_PILOT; j++) {
        sum += (double)(s->chips->pilot[j] * sums[j]);
        power += (double)sums[j] * (double)sums[j];
    }
    return sum / sqrt(power);
}

/* P(z >= t) at most, for t above 0. */
static double tail(double t)
{
    static const double FACTOR = 3.179, SQRT_2 = 1.41421356237309505;
    return FACTOR / 2 * erfc(t / SQRT_2);
}

/* One place: fills p_value and n_blocks, and moves start, and spacing if it may, to the
 * best of their neighbours. */
static void confirm(const struct search *s, const float *x, size_t n, double n_tried, bool has_drifts,
                    struct sync *sync)
{
    const struct sync from = *sync;
    const int side = has_drifts ? 1 : 0, n_neighbours = 3 * (2 * side + 1);
    double best = -1;
    for (int i = -1; i <= 1; i++)
        for (int k = -side; k <= side; k++) {
            struct sync near = from;
            near.start += 0.5 * i;
            near.spacing += 0.5 * k * HALF_BLOCK / (double)n;
            const double z = z_score(s, x, n, &near);
            if (z > best) {
                best = z;
                *sync = near;
            }
        }
    sync->p_value = best > 0 ? fmin(1, n_neighbours * n_tried * tail(best)) : 1;
}

/* The best line at one speed; n_tried counts the places. */
static void try_speed(struct search *s, const float *x, size_t n, double ratio, bool has_drifts,
                      struct sync *best, float *highest, double *n_tried)
{
    const size_t n_stretched = stretch(s, x, n, ratio), n_blocks = n_stretched / HALF_BLOCK;
    match(s, n_stretched);
    const long furthest = has_drifts ? (long)ceil(SPEED_STEP / 2 * HALF_BLOCK * (double)n_blocks) : 0;
    struct line line = {0};
    for (long drift = -furthest / 2 * 2; drift <= furthest; drift += 2)
        for (size_t phase = 0; phase < N_PERIOD; phase++, *n_tried += HALF_BLOCK)
            try_line(s, n_blocks, phase, drift, &line);
    if (line.sum <= *highest)
        return;
    const double drift = n_blocks > 1 ? (double)line.drift / (double)(n_blocks - 1) : 0;
    *highest = line.sum;
    *best = (struct sync){.start = 1 + (double)line.start * ratio,
                          .spacing = (HALF_BLOCK + drift) * ratio,
                          .phase = line.phase};
}

void csm_mark_search_window(struct search *s, const float *x, size_t n, struct sync *sync)
{
    *sync = (struct sync){.p_value = 1};
    if (n < 4 * HALF_BLOCK)
        return;
    float highest = 0;
    double n_tried = 0;
    struct sync other = {0};
    try_speed(s, x, n, 1, false, sync, &highest, &n_tried);
    if (highest > 0)
        confirm(s, x, n, n_tried / SHARE_OF_SPEED_1, false, sync);
    if (sync->p_value <= SURE || s->fixed_speed)
        return;
    highest = 0;
    n_tried = 0;
    for (int step = -N_SPEEDS_EACH_SIDE; step <= N_SPEEDS_EACH_SIDE; step++)
        try_speed(s, x, n, 1 + SPEED_STEP * step, true, &other, &highest, &n_tried);
    if (highest > 0)
        confirm(s, x, n, n_tried / (1 - SHARE_OF_SPEED_1), true, &other);
    if (highest > 0 && other.p_value < sync->p_value)
        *sync = other;
}
