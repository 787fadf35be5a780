/* SPDX-License-Identifier: Apache-2.0
 *
 * detector.c - csm_detector. Whitened sound is searched in windows of 5 s, every 2.5 s.
 * Windows in which the mark is found at places that continue each other make a stretch;
 * the coded bits of all its blocks are added up before they are decoded. */
#include <csm/mark.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arithmetic.h"
#include "base/error.h"
#include "mark/chips.h"
#include "mark/mark_options.h"
#include "mark/payload.h"
#include "mark/search.h"
#include "mark/whiten.h"

enum { N_HOP = 42 * HALF_BLOCK };
static const double HIGHEST_P = 1e-5;
static const double WHITE_HZ = 2.0 * CHIP_HZ;
static const double DELAY_S = 0.021; /* of csm_mark_whiten_step */

struct stretch {
    csm_mark_found found;
    float soft[N_CODED_BITS];
    struct sync sync;    /* start counted from the sound's beginning */
    double next;         /* where the first block begins that was not added up */
};

struct csm_detector {
    struct chips chips;
    struct whiten whiten;
    struct search search;
    size_t n_step, n_samples; /* samples in a step, and so far of this one */
    float samples[N_STEP * MAX_FACTOR];
    float white[N_SEARCHED + 2 * N_STEP];
    size_t n_white;        /* in white */
    double n_dropped;      /* samples of white that came before it */
    double n_windows, lowest_p;
    struct stretch *stretches;
    size_t n_stretches;
    csm_mark_found *results;
    bool is_done;
};

/* ---- stretches ---------------------------------------------------------------- */

/* Whether the blocks of b, which comes later, continue those of a. */
static bool continues(const struct sync *a, const struct sync *b)
{
    const double blocks = (b->start - a->start) / a->spacing, whole = floor(blocks + 0.5);
    const size_t phase = (a->phase + (size_t)fmod(whole, N_PERIOD) + N_PERIOD) % N_PERIOD;
    return fabs(blocks - whole) * a->spacing < 8 && phase == b->phase &&
           fabs(a->spacing - b->spacing) < 1e-3 * HALF_BLOCK;
}

/* Add up the coded bits of the window's blocks that are new to the stretch. */
static void add_blocks(csm_detector *d, struct stretch *s, const struct sync *sync)
{
    const double chip = sync->spacing / N_BLOCK;
    for (size_t b = 0; b < sync->n_blocks; b++) {
        const double start = sync->start + (double)b * sync->spacing;
        if (start < 1 || start + d->n_dropped < s->next)
            continue;
        const size_t block = (sync->phase + b) % N_PERIOD;
        for (size_t j = 0; j < N_DATA; j++)
            s->soft[chips_bit(block, j, N_CODED_BITS)] +=
                d->chips.data_sign[block][j] *
                search_between(d->white, start + (double)chips_data_at(j) * chip);
        s->next = start + d->n_dropped + 0.5 * sync->spacing;
    }
}

static double seconds(double at)
{
    return fmax(0, at / WHITE_HZ - DELAY_S);
}

static csm_status note(csm_detector *d, const struct sync *sync, csm_error *err)
{
    struct sync absolute = *sync;
    absolute.start += d->n_dropped;
    struct stretch *s = d->n_stretches > 0 ? &d->stretches[d->n_stretches - 1] : NULL;
    if (s == NULL || !continues(&s->sync, &absolute) ||
        seconds(d->n_dropped) > s->found.end_s + 0.1) {
        struct stretch *grown = realloc(d->stretches, (d->n_stretches + 1) * sizeof *grown);
        if (grown == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "detector: out of memory");
        d->stretches = grown;
        s = &grown[d->n_stretches++];
        *s = (struct stretch){.found = {.start_s = seconds(d->n_dropped), .p_value = 1}};
    }
    add_blocks(d, s, sync);
    s->sync = absolute;
    s->found.end_s = seconds(d->n_dropped + (double)d->n_white);
    if (sync->p_value <= s->found.p_value) {
        s->found.p_value = sync->p_value;
        s->found.speed = HALF_BLOCK / sync->spacing;
    }
    return CSM_OK;
}

static csm_status look(csm_detector *d, csm_error *err)
{
    struct sync sync;
    csm_mark_search_window(&d->search, d->white, d->n_white, &sync);
    d->n_windows++;
    d->lowest_p = fmin(d->lowest_p, sync.p_value);
    return sync.p_value <= HIGHEST_P ? note(d, &sync, err) : CSM_OK;
}

/* ---- the stream ------------------------------------------------------------------ */

static csm_status open_detector(const csm_mark_options *options, csm_detector **out, csm_error *err)
{
    csm_mark_options o;
    csm_status status = csm_mark_options_settle(options, &o, err);
    if (status != CSM_OK)
        return status;
    csm_detector *d = calloc(1, sizeof *d);
    if (d == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "detector: out of memory");
    csm_mark_chips_make(o.key, &d->chips);
    csm_mark_whiten_init(&d->whiten, (size_t)o.rate_hz / CHIP_HZ);
    d->search.chips = &d->chips;
    d->search.fixed_speed = o.fixed_speed;
    d->n_step = N_STEP * (size_t)o.rate_hz / CHIP_HZ;
    d->lowest_p = 1;
    *out = d;
    return CSM_OK;
}

csm_status csm_detector_open(const csm_mark_options *options, csm_detector **out, csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin();
    const csm_status st = open_detector(options, out, err);
    csm_arithmetic_end(&host);
    return st;
}

static csm_status take_step(csm_detector *d, csm_error *err)
{
    csm_mark_whiten_step(&d->whiten, d->samples, d->white + d->n_white);
    d->n_white += 2 * N_STEP;
    d->n_samples = 0;
    if (d->n_white < N_SEARCHED)
        return CSM_OK;
    const csm_status status = look(d, err);
    memmove(d->white, d->white + N_HOP, (d->n_white - N_HOP) * sizeof *d->white);
    d->n_white -= N_HOP;
    d->n_dropped += N_HOP;
    return status;
}

static csm_status push(csm_detector *d, const float *samples, size_t n, csm_error *err)
{
    if (d->is_done)
        return csm_fail(err, CSM_BAD_ARG, "detector: samples after the result, expected a new one");
    csm_status status = CSM_OK;
    for (size_t i = 0; i < n && status == CSM_OK; i++) {
        d->samples[d->n_samples++] = isfinite(samples[i]) ? samples[i] : 0;
        if (d->n_samples == d->n_step)
            status = take_step(d, err);
    }
    return status;
}

csm_status csm_detector_push(csm_detector *d, const float *samples, size_t n, csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin();
    const csm_status st = push(d, samples, n, err);
    csm_arithmetic_end(&host);
    return st;
}

/* The last steps, filled with silence, bring out what the filters still hold. */
static csm_status drain(csm_detector *d, csm_error *err)
{
    csm_status status = CSM_OK;
    for (int i = 0; i < 4 && status == CSM_OK; i++) {
        memset(d->samples + d->n_samples, 0, (d->n_step - d->n_samples) * sizeof *d->samples);
        status = take_step(d, err);
    }
    if (status == CSM_OK)
        status = look(d, err);
    return status;
}

static csm_status give_result(csm_detector *d, const csm_mark_found **found, size_t *n_found,
                              double *p_value, csm_error *err)
{
    if (!d->is_done) {
        csm_status status = drain(d, err);
        if (status != CSM_OK)
            return status;
        d->results = calloc(d->n_stretches + 1, sizeof *d->results);
        if (d->results == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "detector: out of memory");
        d->is_done = true;
        size_t n = 0;
        for (size_t i = 0; i < d->n_stretches; i++) {
            csm_mark_found *f = &d->stretches[i].found;
            f->p_value = fmin(1, f->p_value * d->n_windows);
            f->has_payload = csm_mark_payload_decode(d->stretches[i].soft, &f->payload);
            if (f->p_value <= HIGHEST_P)
                d->results[n++] = *f;
        }
        d->n_stretches = n;
        d->lowest_p = fmin(1, d->lowest_p * d->n_windows);
    }
    *found = d->results;
    *n_found = d->n_stretches;
    if (p_value != NULL)
        *p_value = d->lowest_p;
    return CSM_OK;
}

csm_status csm_detector_result(csm_detector *d, const csm_mark_found **found, size_t *n_found,
                               double *p_value, csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin();
    const csm_status st = give_result(d, found, n_found, p_value, err);
    csm_arithmetic_end(&host);
    return st;
}

void csm_detector_close(csm_detector *d)
{
    if (d == NULL)
        return;
    free(d->stretches);
    free(d->results);
    free(d);
}
