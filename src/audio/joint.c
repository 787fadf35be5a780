/* SPDX-License-Identifier: Apache-2.0 */
#include <csm/audio.h>

#include <stdlib.h>
#include <string.h>

#include "base/arithmetic.h"
#include "base/error.h"

struct csm_joint {
    size_t rate_hz, n_fade;
    float *held;  /* [n_held] of at most n_fade samples */
    size_t n_held;
    float *given; /* [room] */
    size_t room;
};

static csm_status reserve(csm_joint *joint, size_t n, csm_error *err)
{
    if (n <= joint->room)
        return CSM_OK;
    float *grown = realloc(joint->given, n * sizeof *grown);
    if (grown == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "sound: %zu samples", n);
    joint->given = grown;
    joint->room = n;
    return CSM_OK;
}

csm_status csm_joint_open(int rate_hz, csm_joint **out, csm_error *err)
{
    if (rate_hz < 1)
        return csm_fail(err, CSM_BAD_ARG, "sound: a rate of %d Hz", rate_hz);
    csm_joint *joint = calloc(1, sizeof *joint);
    const size_t n_fade = (size_t)rate_hz / 100;
    if (joint != NULL)
        joint->held = malloc((n_fade + 1) * sizeof *joint->held);
    if (joint == NULL || joint->held == NULL) {
        free(joint);
        return csm_fail(err, CSM_NO_MEMORY, "sound: out of memory");
    }
    joint->rate_hz = (size_t)rate_hz;
    joint->n_fade = n_fade;
    *out = joint;
    return CSM_OK;
}

/* Those held back, and behind them n more: into what is given. */
static void give(csm_joint *joint, const float *samples, size_t n)
{
    if (joint->n_held > 0)
        memcpy(joint->given, joint->held, joint->n_held * sizeof *samples);
    if (n > 0)
        memcpy(joint->given + joint->n_held, samples, n * sizeof *samples);
}

csm_status csm_joint_push(csm_joint *joint, const float *samples, size_t n_samples,
                          const float **out, size_t *n_out, csm_error *err)
{
    const size_t n = joint->n_held + n_samples;
    const size_t n_kept = n < joint->n_fade ? n : joint->n_fade;
    const csm_status st = reserve(joint, n, err);
    if (st != CSM_OK)
        return st;
    give(joint, samples, n_samples);
    if (n_kept > 0)
        memcpy(joint->held, joint->given + n - n_kept, n_kept * sizeof *samples);
    joint->n_held = n_kept;
    *out = joint->given;
    *n_out = n - n_kept;
    return CSM_OK;
}

static csm_status pause_after(csm_joint *joint, int pause_ms, const float **out, size_t *n_out,
                              csm_error *err)
{
    const size_t n = joint->n_held;
    const size_t n_silent = pause_ms > 0 ? joint->rate_hz * (size_t)pause_ms / 1000 : 0;
    const csm_status st = reserve(joint, n + n_silent, err);
    if (st != CSM_OK)
        return st;
    give(joint, NULL, 0);
    for (size_t i = 0; i < n; i++)
        joint->given[n - 1 - i] *= (float)i / (float)joint->n_fade;
    for (size_t i = 0; i < n_silent; i++)
        joint->given[n + i] = 0.0f;
    joint->n_held = 0;
    *out = joint->given;
    *n_out = n + n_silent;
    return CSM_OK;
}

csm_status csm_joint_pause(csm_joint *joint, int pause_ms, const float **out, size_t *n_out,
                           csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin();
    const csm_status st = pause_after(joint, pause_ms, out, n_out, err);
    csm_arithmetic_end(&host);
    return st;
}

void csm_joint_close(csm_joint *joint)
{
    if (joint == NULL)
        return;
    free(joint->held);
    free(joint->given);
    free(joint);
}
