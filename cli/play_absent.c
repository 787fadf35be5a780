/* SPDX-License-Identifier: Apache-2.0
 *
 * play_absent.c - in the place of play.c in a build without PortAudio. */
#include "play.h"

csm_status player_open(int rate_hz, struct player **out, csm_error *err)
{
    (void)rate_hz;
    (void)out;
    return csm_fail(err, CSM_NO_ENGINE, "--play: this csm is built without PortAudio");
}

csm_status player_push(struct player *player, const float *samples, size_t n_samples,
                       csm_error *err)
{
    (void)player;
    (void)samples;
    (void)n_samples;
    return csm_fail(err, CSM_NO_ENGINE, "--play: this csm is built without PortAudio");
}

void player_close(struct player *player, bool is_drained)
{
    (void)player;
    (void)is_drained;
}
