/* SPDX-License-Identifier: Apache-2.0
 *
 * mark.c - csm_mark. Time is cut into steps of 5 ms. At a step's beginning the mark's
 * samples for all of it are made: the chips of the step through 1 / A of the sound's
 * last 20 ms, at a level STRENGTH below it, brought to the sound's rate. As the step's
 * own samples come, the mark is scaled by how the sound's level has changed since: it
 * falls and rises with what hides it. So nothing waits: a sample's mark depends on that
 * sample and earlier ones alone. Half of the time goes into recursions, whose every value
 * waits for the one before; where all of a step is there, they run side by side. */
#include <csm/mark.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arithmetic.h"
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
static const float SILENCE = 1e-9f; /* power, -90 dB: silence has a level, too */

struct powers {
    float fast, slow; /* slow is never 0 */
};

struct csm_mark {
    float period[N_PERIOD][N_BLOCK]; /* the chips */
    struct rate rate;
    struct shape shape;
    float poles[N_ORDER + 1]; /* state of 1 / A, transposed; the last is 0 */
    size_t chip;              /* of the period, the next step's first */
    struct powers powers;
    float rise[N_STEP + 1]; /* of amplitude: the mark's, chip by chip of this step, and the next */
    size_t n_done;          /* samples of this step so far */
    float samples[N_STEP * MAX_FACTOR]; /* as they came, where the step comes in pieces */
    float added[MAX_FACTOR][N_STEP];    /* the mark of this step, phase after phase */
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

/* The chips of the next step, at the level of the sound's shape. */
static void take_chips(csm_mark *m, float x[N_STEP])
{
    const float *chips = m->period[m->chip / N_BLOCK] + m->chip % N_BLOCK;
    const float gain = STRENGTH * m->shape.level;
    for (size_t i = 0; i < N_STEP; i++)
        x[i] = gain * chips[i];
    m->chip = (m->chip + N_STEP) % (N_PERIOD * N_BLOCK);
    m->rise[0] = m->rise[N_STEP];
}

/* Through 1 / A: the next sample. */
static inline float resonate(float poles[N_ORDER + 1], const float a[N_ORDER], float x)
{
    const float y = x + poles[0];
    for (size_t k = 0; k < N_ORDER; k++)
        poles[k] = poles[k + 1] - a[k] * y;
    return y;
}

/* The power of the next chip's samples. */
static inline void follow(struct powers *p, float power)
{
    if (isfinite(power)) {
        p->fast += FAST * (power - p->fast);
        p->slow += SLOW * (power - p->slow);
    }
}

static inline float rise_with(float fast, float slow)
{
    const float rise = sqrtf(fast / slow);
    return rise < HIGHEST_RISE ? rise : HIGHEST_RISE;
}

/* ---- a step that comes in pieces -------------------------------------------- */

static void begin_step(csm_mark *m)
{
    float x[N_STEP];
    take_chips(m, x);
    for (size_t i = 0; i < N_STEP; i++)
        x[i] = resonate(m->poles, m->shape.a, x[i]);
    csm_mark_rate_up(&m->rate, x, m->added);
}

static void end_step(csm_mark *m)
{
    float x[N_STEP];
    csm_mark_rate_down(&m->rate, m->samples, x);
    csm_mark_shape_update(&m->shape, x);
    m->n_done = 0;
}

static void push_piece(csm_mark *m, const float *samples, size_t n, float *out)
{
    const size_t factor = m->rate.factor;
    if (m->n_done == 0)
        begin_step(m);
    for (size_t i = 0; i < n; i++) {
        const size_t chip = m->n_done / factor, phase = m->n_done % factor;
        m->samples[m->n_done++] = samples[i];
        out[i] = samples[i] + m->rise[chip] * m->added[phase][chip];
        if (phase + 1 < factor)
            continue;
        float power = SILENCE * (float)factor;
        for (size_t k = chip * factor; k < m->n_done; k++)
            power += m->samples[k] * m->samples[k];
        follow(&m->powers, power);
        m->rise[chip + 1] = rise_with(m->powers.fast, m->powers.slow);
    }
    if (m->n_done == N_STEP * factor)
        end_step(m);
}

/* ---- a whole step ------------------------------------------------------------- */

/* factor: the rate's; given apart, so that the compiler can know it. */
static inline void push_step(csm_mark *m, size_t factor, const float *samples, float *out)
{
    float x[N_STEP], below[N_STEP], power[N_STEP], above[N_STEP], fast[N_STEP], slow[N_STEP];
    take_chips(m, x);
    csm_mark_rate_down(&m->rate, samples, below);
    for (size_t i = 0; i < N_STEP; i++)
        power[i] = SILENCE * (float)factor;
    for (size_t p = 0; p < factor; p++)
        for (size_t i = 0; i < N_STEP; i++)
            power[i] += m->rate.down[p][N_SPAN + i] * m->rate.down[p][N_SPAN + i];

    float poles[N_ORDER + 1], a[N_ORDER]; /* of their own, to stay in registers */
    memcpy(poles, m->poles, sizeof poles);
    memcpy(a, m->shape.a, sizeof a);
    struct high_pass filter = m->shape.high_pass;
    struct powers powers = m->powers;
    for (size_t i = 0; i < N_STEP; i++) {
        x[i] = resonate(poles, a, x[i]);
        above[i] = high_pass(&filter, below[i]);
        follow(&powers, power[i]);
        fast[i] = powers.fast;
        slow[i] = powers.slow;
    }
    memcpy(m->poles, poles, sizeof poles);
    m->shape.high_pass = filter;
    m->powers = powers;

    for (size_t i = 0; i < N_STEP; i++)
        m->rise[i + 1] = rise_with(fast[i], slow[i]);
    csm_mark_rate_up(&m->rate, x, m->added);
    for (size_t p = 0; p < factor; p++)
        for (size_t i = 0; i < N_STEP; i++)
            m->added[p][i] *= m->rise[i];
    for (size_t i = 0; i < N_STEP; i++)
        for (size_t p = 0; p < factor; p++)
            out[i * factor + p] = samples[i * factor + p] + m->added[p][i];
    csm_mark_shape_take(&m->shape, above);
}

static csm_status open_mark(const csm_mark_options *options, csm_mark **out, csm_error *err)
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
    m->powers.slow = 1e-30f; /* nothing beside SILENCE, but above 0 */
    *out = m;
    return CSM_OK;
}

csm_status csm_mark_open(const csm_mark_options *options, csm_mark **out, csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin();
    const csm_status st = open_mark(options, out, err);
    csm_arithmetic_end(&host);
    return st;
}

static void push(csm_mark *m, const float *samples, size_t n, float *out)
{
    const size_t factor = m->rate.factor, whole = N_STEP * factor;
    while (n > 0) {
        const size_t room = whole - m->n_done, n_now = n < room ? n : room;
        if (n_now < whole)
            push_piece(m, samples, n_now, out);
        else if (factor == 3)
            push_step(m, 3, samples, out); /* 24 kHz */
        else
            push_step(m, factor, samples, out);
        samples += n_now;
        out += n_now;
        n -= n_now;
    }
}

void csm_mark_push(csm_mark *m, const float *samples, size_t n, float *out)
{
    const fenv_t host = csm_arithmetic_begin();
    push(m, samples, n, out);
    csm_arithmetic_end(&host);
}

void csm_mark_close(csm_mark *m)
{
    free(m);
}
