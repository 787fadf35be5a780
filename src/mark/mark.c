/* SPDX-License-Identifier: Apache-2.0
 *
 * mark.c - csm_mark. Time is cut into steps of 5 ms. At a step's beginning the mark's
 * samples for all of it are made: the chips of the step through 1 / A of the sound's
 * last 20 ms, at a level STRENGTH below it, brought to the sound's rate. So nothing
 * waits: a sample's mark depends on earlier samples alone, and the mark comes after
 * what hides it, never before. */
#include <csm/mark.h>

#include <stdlib.h>

#include "base/error.h"
#include "mark/chips.h"
#include "mark/mark_options.h"
#include "mark/payload.h"
#include "mark/rate.h"
#include "mark/shape.h"

/* Amplitude of the mark relative to the sound, in the band of 250 to 3,800 Hz. */
static const float STRENGTH = 0.13f;

struct csm_mark {
    struct chips chips;
    float coded[N_CODED_BITS];
    struct rate rate;
    struct shape shape;
    float made[N_ORDER];               /* the last samples of 1 / A, the newest first */
    size_t block, chip;                 /* of the next step */
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
        float y = gain * x[i];
        for (int k = 0; k < N_ORDER; k++)
            y -= m->shape.a[k] * m->made[k];
        for (int k = N_ORDER - 1; k > 0; k--)
            m->made[k] = m->made[k - 1];
        m->made[0] = x[i] = y;
    }
    rate_up(&m->rate, x, m->added);
}

static void end_step(csm_mark *m)
{
    float x[N_STEP];
    rate_down(&m->rate, m->samples, x);
    shape_update(&m->shape, x);
    m->n_done = 0;
}

csm_status csm_mark_open(const csm_mark_options *options, csm_mark **out, csm_error *err)
{
    csm_mark_options o;
    csm_status status = mark_options_settle(options, &o, err);
    if (status != CSM_OK)
        return status;
    csm_mark *m = calloc(1, sizeof *m);
    if (m == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "mark: out of memory");
    chips_make(o.key, &m->chips);
    payload_encode(&o.payload, m->coded);
    rate_init(&m->rate, (size_t)o.rate_hz / CHIP_HZ);
    shape_init(&m->shape);
    *out = m;
    return CSM_OK;
}

void csm_mark_push(csm_mark *m, const float *samples, size_t n, float *out)
{
    const size_t n_step = N_STEP * m->rate.factor;
    for (size_t i = 0; i < n; i++) {
        if (m->n_done == 0)
            begin_step(m);
        m->samples[m->n_done] = samples[i];
        out[i] = samples[i] + m->added[m->n_done];
        if (++m->n_done == n_step)
            end_step(m);
    }
}

void csm_mark_close(csm_mark *m)
{
    free(m);
}
