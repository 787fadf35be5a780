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

#include "base/error.h"
#include "mark/chips.h"
#include "mark/mark_options.h"
#include "mark/payload.h"
#include "mark/rate.h"
#include "mark/shape.h"

/* Amplitude of the mark relative to the sound, in the band of 250 to 3,800 Hz. */
static const float STRENGTH = 0.16f;

/* The level now (over 2 ms) against that over the last 6 ms, which lags as the shape does;
 * the mark rises by at most 6 dB with it. */
static const float FAST = 0.06f, SLOW = 0.02f, HIGHEST_RISE = 2;

struct follower {
    float fast, slow; /* powers */
    float rise;       /* of amplitude */
};

struct csm_mark {
    struct chips chips;
    float coded[N_CODED_BITS];
    struct rate rate;
    struct shape shape;
    float poles[N_ORDER + 1];           /* state of 1 / A, transposed; the last is 0 */
    size_t block, chip;                 /* of the next step */
    struct follower follower;
    size_t n_done;                      /* samples of this step so far */
    float samples[N_STEP * MAX_FACTOR]; /* as they came */
    float added[N_STEP * MAX_FACTOR];   /* the mark of this step */
};

/* The next N_STEP chips. */
static void next_chips(csm_mark *m, float out[N_STEP])
{
    const struct chips *c = &m->chips;
    for (size_t i = 0; i < N_STEP; i++) {
        const size_t group = (m->chip + i) / 3, at = (m->chip + i) % 3;
        if (at < 2)
            out[i] = c->pilot[2 * group + at] * c->block_sign[m->block];
        else
            out[i] = c->data_sign[m->block][group] *
                     m->coded[chips_bit(m->block, group, N_CODED_BITS)];
    }
    m->chip += N_STEP;
    if (m->chip == N_BLOCK) {
        m->chip = 0;
        m->block = (m->block + 1) % N_PERIOD;
    }
}

static void begin_step(csm_mark *m)
{
    float x[N_STEP];
    next_chips(m, x);
    const float gain = STRENGTH * m->shape.level;
    for (size_t i = 0; i < N_STEP; i++) {
        const float y = gain * x[i] + m->poles[0];
        for (size_t k = 0; k < N_ORDER; k++)
            m->poles[k] = m->poles[k + 1] - m->shape.a[k] * y;
        x[i] = y;
    }
    csm_mark_rate_up(&m->rate, x, m->added);
}

static void end_step(csm_mark *m)
{
    float x[N_STEP];
    csm_mark_rate_down(&m->rate, m->samples, x);
    csm_mark_shape_update(&m->shape, x);
    m->n_done = 0;
}

/* The next few samples' power. */
static void follow(struct follower *f, const float *samples, size_t n)
{
    float power = 1e-9f * (float)n; /* -90 dB: silence has a level, too */
    for (size_t i = 0; i < n; i++)
        power += samples[i] * samples[i];
    if (!isfinite(power))
        return;
    f->fast += FAST * (power - f->fast);
    f->slow += SLOW * (power - f->slow);
    f->rise = fminf(sqrtf(f->fast / f->slow), HIGHEST_RISE);
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
    csm_mark_chips_make(o.key, &m->chips);
    csm_mark_payload_encode(&o.payload, m->coded);
    csm_mark_rate_init(&m->rate, (size_t)o.rate_hz / CHIP_HZ);
    csm_mark_shape_init(&m->shape);
    *out = m;
    return CSM_OK;
}

void csm_mark_push(csm_mark *m, const float *samples, size_t n, float *out)
{
    const size_t factor = m->rate.factor;
    while (n > 0) {
        if (m->n_done == 0)
            begin_step(m);
        const size_t room = factor - m->n_done % factor, n_now = n < room ? n : room;
        float *now = m->samples + m->n_done;
        const float *added = m->added + m->n_done;
        for (size_t i = 0; i < n_now; i++) {
            now[i] = samples[i];
            out[i] = now[i] + m->follower.rise * added[i];
        }
        samples += n_now;
        out += n_now;
        n -= n_now;
        m->n_done += n_now;
        if (n_now == room)
            follow(&m->follower, m->samples + m->n_done - factor, factor);
        if (m->n_done == N_STEP * factor)
            end_step(m);
    }
}

void csm_mark_close(csm_mark *m)
{
    free(m);
}
