/* SPDX-License-Identifier: Apache-2.0 */
#include "play.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <portaudio.h>

struct player {
    PaStream *stream;
};

/* PortAudio asks each sound system of the machine, and these complain on standard
 * error when they are not there; one line of ours is enough.
 * Without the descriptors for it they are heard. */
static PaError initialize_quietly(void)
{
    fflush(stderr);
    int kept = dup(STDERR_FILENO), nowhere = open("/dev/null", O_WRONLY);
    bool is_quiet = kept >= 0 && nowhere >= 0 && dup2(nowhere, STDERR_FILENO) >= 0;
    PaError e = Pa_Initialize();
    if (is_quiet) {
        fflush(stderr);
        dup2(kept, STDERR_FILENO);
    }
    if (nowhere >= 0)
        close(nowhere);
    if (kept >= 0)
        close(kept);
    return e;
}

csm_status player_open(int rate_hz, struct player **out, csm_error *err)
{
    struct player *player = calloc(1, sizeof *player);
    if (player == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "--play: out of memory");
    PaError e = initialize_quietly();
    if (e != paNoError) {
        free(player);
        return csm_fail(err, CSM_BAD_FILE, "--play: %s", Pa_GetErrorText(e));
    }
    if (Pa_GetDefaultOutputDevice() == paNoDevice)
        e = paDeviceUnavailable;
    else
        e = Pa_OpenDefaultStream(&player->stream, 0, 1, paFloat32, rate_hz,
                                 paFramesPerBufferUnspecified, NULL, NULL);
    if (e == paNoError)
        e = Pa_StartStream(player->stream);
    if (e != paNoError) {
        player_close(player, false);
        return csm_fail(err, CSM_BAD_FILE, "--play: no loudspeaker: %s", Pa_GetErrorText(e));
    }
    *out = player;
    return CSM_OK;
}

csm_status player_push(struct player *player, const float *samples, size_t n_samples,
                       csm_error *err)
{
    PaError e = Pa_WriteStream(player->stream, samples, n_samples);
    if (e != paNoError && e != paOutputUnderflowed)
        return csm_fail(err, CSM_BAD_FILE, "--play: %s", Pa_GetErrorText(e));
    return CSM_OK;
}

void player_close(struct player *player, bool is_drained)
{
    if (player == NULL)
        return;
    if (player->stream != NULL) {
        if (is_drained)
            Pa_StopStream(player->stream);
        else
            Pa_AbortStream(player->stream);
        Pa_CloseStream(player->stream);
    }
    Pa_Terminate();
    free(player);
}
