/* SPDX-License-Identifier: Apache-2.0 */
#include <csm/audio.h>

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

struct samples {
    float *data; /* [room] */
    size_t n, room;
};

struct csm_joint {
    size_t rate_hz;
    struct samples held, given;
};

static csm_status reserve(struct samples *s, size_t n, csm_error *err)
{
    if (n <= s->room)
        return CSM_OK;
    float *grown = realloc(s->data, n * sizeof *grown);
    if (grown == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "sound: %zu samples", n);
    s->data = grown;
    s->room = n;
    return CSM_OK;
}

/* What was held is what is given. */
static void give_held(csm_joint *joint)
{
    const struct samples held = joint->held;
    joint->held = joint->given;
    joint->held.n = 0;
    joint->given = held;
}

csm_status csm_joint_open(int rate_hz, csm_joint **out, csm_error *err)
{
    if (rate_hz < 1)
        return csm_fail(err, CSM_BAD_ARG, "sound: a rate of %d Hz", rate_hz);
    csm_joint *joint = calloc(1, sizeof *joint);
    if (joint == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "sound: out of memory");
    joint->rate_hz = (size_t)rate_hz;
    *out = joint;
    return CSM_OK;
}

csm_status csm_joint_push(csm_joint *joint, const float *samples, size_t n_samples,
                          const float **out, size_t *n_out, csm_error *err)
{
    const csm_status st = reserve(&joint->given, n_samples, err);
    if (st != CSM_OK)
        return st;
    give_held(joint);
    if (n_samples > 0)
        memcpy(joint->held.data, samples, n_samples * sizeof *samples);
    joint->held.n = n_samples;
    *out = joint->given.data;
    *n_out = joint->given.n;
    return CSM_OK;
}

csm_status csm_joint_pause(csm_joint *joint, int pause_ms, const float **out, size_t *n_out,
                           csm_error *err)
{
    struct samples *held = &joint->held;
    const size_t n_silent = pause_ms > 0 ? joint->rate_hz * (size_t)pause_ms / 1000 : 0;
    const csm_status st = reserve(held, held->n + n_silent, err);
    if (st != CSM_OK)
        return st;
    const size_t n_fade = joint->rate_hz / 100;
    for (size_t i = 0; i < n_fade && i < held->n; i++)
        held->data[held->n - 1 - i] *= (float)i / (float)n_fade;
    for (size_t i = 0; i < n_silent; i++)
        held->data[held->n + i] = 0.0f;
    held->n += n_silent;
    give_held(joint);
    *out = joint->given.data;
    *n_out = joint->given.n;
    return CSM_OK;
}

void csm_joint_close(csm_joint *joint)
{
    if (joint == NULL)
        return;
    free(joint->held.data);
    free(joint->given.data);
    free(joint);
}
