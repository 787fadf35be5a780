/* SPDX-License-Identifier: Apache-2.0
 *
 * play.h - the system's loudspeaker, through PortAudio (ALSA, PipeWire's ALSA,
 * CoreAudio). */
#ifndef CSM_CLI_PLAY_H
#define CSM_CLI_PLAY_H

#include <stdbool.h>
#include <stddef.h>

#include <csm/status.h>

struct player;

/* Open the default output for mono float samples. CSM_BAD_FILE when there is
 * none. */
csm_status player_open(int rate_hz, struct player **out, csm_error *err);

/* Hand over samples; returns when they are in the device's queue. CSM_BAD_FILE
 * when the device is gone. Being late (the queue ran empty) is no error. */
csm_status player_push(struct player *player, const float *samples, size_t n_samples,
                       csm_error *err);

/* End, after what is queued was heard, or at once. Takes NULL. */
void player_close(struct player *player, bool is_drained);

#endif
