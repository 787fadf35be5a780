/* SPDX-License-Identifier: Apache-2.0
 *
 * encoding.h - a sound that is made beside the loop, a step at a time: marks and encoders take
 * longer than all else that a frame costs the loop's thread, which serves everybody. */
#ifndef CSM_SERVER_ENCODING_H
#define CSM_SERVER_ENCODING_H

#include "sound.h"
#include "workers.h"

struct encoding;

/* Begin; the setup is read, what it points at stays. on_step(owner) is called on the loop's
 * thread. Errors as sound_open. */
csm_status encoding_open(const struct sound_setup *setup, struct workers *workers,
                         void (*on_step)(void *owner), void *owner, struct encoding **out,
                         csm_error *err);

/* The next samples, which are copied, and with is_last the end of the sound. true: it is done, as
 * with bare samples, which take no longer than waking a thread. false: on_step is called once it
 * is, and until then no function here but encoding_close. */
bool encoding_step(struct encoding *e, const float *samples, size_t n, bool is_last);

/* How the last step went: as sound_push and sound_finish. */
csm_status encoding_status(const struct encoding *e, csm_error *err);

/* The bytes that are ready, as sound_take. */
const void *encoding_take(struct encoding *e, size_t *n);

void encoding_close(struct encoding *e); /* at any time; takes NULL */

#endif
