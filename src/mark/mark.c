/* SPDX-License-Identifier: Apache-2.0
 *
 * mark.c - csm_mark. Time is cut into steps of 5 ms. At a step's beginning the mark's
 * samples for all of it are made: the chips of the step through 1 / A of the sound's
 * last 20 ms, at a level STRENGTH below it, brought to the sound's rate. As the step's
 * own samples come, the mark is scaled by how the sound's level has changed since: it
 * falls and rises with what hides it. So nothing waits: a sample's mark depends on that
 * sample and earlier ones alone. */
#include <csm/mark.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "mark/chips.h"
#include "mark/mark_options.h"
#include "mark/payload.h"
#include "mark/rate.h"
#include "mark/shape.h"

/* Amplitude of the mark relative to the sound, in the band of 250 to 3,800 Hz. */
static const float STRENGTH = 0.17f;

/* The level now (over 2 ms) against that over the last 6 ms, which lags as the shape does;
 * the mark rises by at most 6 dB with it. */
static const float FAST = 0.06f, SLOW = 0.02f, HIGHEST_RISE = 2;

struct follower {
    float fast, slow;        /* powers */
    float rise[N_STEP + 1];  /* of amplitude: the mark's, chip by chip of this step, and the next */
};

struct csm_mark {
    float period[N_PERIOD][N_BLOCK];    /* the chips */
    struct rate rate;
    struct shape shape;
    float poles[N_ORDER + 1];           /* state of 1 / A, transposed; the last is 0 */
    size_t chip;                        /* of the period, the next step's first */
    struct follower follower;
    size_t n_done;                      /* samples of this step so far */
    float samples[N_STEP * MAX_FACTOR]; /* as they came */
    float added[N_STEP * MAX_FACTOR];   /* the mark of this step */
};

/* All chips of a period, with the payload. */
static void make_period(const csm_mark_options *o, float period[N_PERIOD][N_BLOCK])
{
    struct chips chips;
    float coded[N_CODED_BITS];
    csm_mark_chips_make(o->key, &chips);
    csm_mark_payload_encode(&o->payload, coded);
    for (size_t block = 0; block < N_PERIOD; block++) {
        for (size_t j = 0; j < N_PILOT; j++)
            period[block][chips_pilot_at(j)] = chips.pilot[j] * chips.block_sign[block];
        for (size_t j = 0; j < N_DATA; j++)
            period[block][chips_data_at(j)] =
                chips.data_sign[block][j] * coded[chips_bit(block, j, N_CODED_BITS)];
    }
}

static void begin_step(csm_mark *m)
{
    float x[N_STEP];
    memcpy(x, m->period[m->chip / N_BLOCK] + m->chip % N_BLOCK, sizeof x);
    m->chip = (m->chip + N_STEP) % (N_PERIOD * N_BLOCK);
    const float gain = STRENGTH * m->shape.level;
    float poles[N_ORDER + 1], a[N_ORDER]; /* of their own, to stay in registers */
    memcpy(poles, m->poles, sizeof poles);
    memcpy(a, m->shape.a, sizeof a);
    for (size_t i = 0; i < N_STEP; i++) {
        const float y = gain * x[i] + poles[0];
        for (size_t k = 0; k < N_ORDER; k++)
            poles[k] = poles[k + 1] - a[k] * y;
        x[i] = y;
    }
    memcpy(m->poles, poles, sizeof poles);
    m->follower.rise[0] = m->follower.rise[N_STEP];
    csm_mark_rate_up(&m->rate, x, m->added);
}

static void end_step(csm_mark *m)
{
    float x[N_STEP];
    csm_mark_rate_down(&m->rate, m->samples, x);
    csm_mark_shape_update(&m->shape, x);
    m->n_done = 0;
}

/* Chips from..to of this step have all of their samples now. */
static void follow(struct follower *f, const float *samples, size_t factor, size_t from, size_t to)
{
    float fast = f->fast, slow = f->slow, fasts[N_STEP], slows[N_STEP];
    for (size_t chip = from; chip < to; chip++) {
        float power = 1e-9f * (float)factor; /* -90 dB: silence has a level, too */
        for (size_t i = 0; i < factor; i++)
            power += samples[chip * factor + i] * samples[chip * factor + i];
        if (isfinite(power)) {
            fast += FAST * (power - fast);
            slow += SLOW * (power - slow);
        }
        fasts[chip] = fast;
        slows[chip] = slow > 0 ? slow : 1;
    }
    f->fast = fast;
    f->slow = slow;
    for (size_t chip = from; chip < to; chip++) {
        const float rise = sqrtf(fasts[chip] / slows[chip]);
        f->rise[chip + 1] = rise < HIGHEST_RISE ? rise : HIGHEST_RISE;
    }
}

csm_status csm_mark_open(const csm_mark_options *options, csm_mark **out, csm_error *err)
{
    csm_mark_options o;
    csm_status status = csm_mark_options_settle(options, &o, err);
    if (status != CSM_OK)
        return status;
    csm_mark *m = calloc(1, sizeof *m);
    if (m == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "mark: out of memory");
    make_period(&o, m->period);
    csm_mark_rate_init(&m->rate, (size_t)o.rate_hz / CHIP_HZ);
    csm_mark_shape_init(&m->shape);
    *out = m;
    return CSM_OK;
}

/* Samples from..to of this step. */
static inline void add_mark(const csm_mark *m, size_t factor, size_t from, size_t to, float *out)
{
    const float *x = m->samples, *added = m->added, *rise = m->follower.rise;
    size_t i = from;
    for (; i < to && i % factor != 0; i++)
        *out++ = x[i] + rise[i / factor] * added[i];
    for (size_t chip = i / factor; i + factor <= to; i += factor, chip++)
        for (size_t k = 0; k < factor; k++)
            *out++ = x[i + k] + rise[chip] * added[i + k];
    for (; i < to; i++)
        *out++ = x[i] + rise[i / factor] * added[i];
}

void csm_mark_push(csm_mark *m, const float *samples, size_t n, float *out)
{
    const size_t factor = m->rate.factor;
    while (n > 0) {
        if (m->n_done == 0)
            begin_step(m);
        const size_t room = N_STEP * factor - m->n_done, n_now = n < room ? n : room;
        const size_t end = m->n_done + n_now;
        memcpy(m->samples + m->n_done, samples, n_now * sizeof *samples);
        follow(&m->follower, m->samples, factor, m->n_done / factor, end / factor);
        if (factor == 3) /* 24 kHz: the compiler knows the inner loop's length */
            add_mark(m, 3, m->n_done, end, out);
        else
            add_mark(m, factor, m->n_done, end, out);
        out += n_now;
        samples += n_now;
        n -= n_now;
        m->n_done = end;
        if (m->n_done == N_STEP * factor)
            end_step(m);
    }
}

void csm_mark_close(csm_mark *m)
{
    free(m);
}
