/* SPDX-License-Identifier: Apache-2.0
 *
 * loudness.h - how loud a sound is: EBU R 128, by libebur128. */
#ifndef CSM_CLI_LOUDNESS_H
#define CSM_CLI_LOUDNESS_H

#include <stdbool.h>
#include <stddef.h>

#include <csm/status.h>

/* Whether this csm can tell. */
bool loudness_is_known(void);

/* The integrated loudness in LUFS of mono samples; NaN: shorter than a block of 400 ms, or below
 * the gate of -70 LUFS. CSM_NO_MEMORY; CSM_NO_ENGINE: it is not known. */
csm_status loudness_of(const float *samples, size_t n_samples, int rate_hz, double *lufs,
                       csm_error *err);

#endif
