/* SPDX-License-Identifier: Apache-2.0
 *
 * sound.h - samples of the model on their way to a client: faster or slower where that
 * was asked for, marked, in the client's format, and signed. */
#ifndef CSM_SERVER_SOUND_H
#define CSM_SERVER_SOUND_H

#include <csm/audio.h>
#include <csm/credentials.h>
#include <csm/mark.h>

struct sound;

struct sound_setup {
    csm_audio_format format;
    int rate_hz;    /* of the samples */
    int out_hz;     /* of the sound; 0: the same */
    double speed;   /* 1: as it is; 2: twice as fast, at the same pitch */
    const csm_mark_options *mark; /* NULL: it is not marked */
    bool is_whole;  /* the header may be put right at the end: nothing is taken before */
    csm_credentials *credentials; /* sign it, whole as it is; NULL: it is not signed */
};

/* Begin; the header is there to be taken. Errors as csm_encoder_open. */
csm_status sound_open(const struct sound_setup *setup, struct sound **out, csm_error *err);
csm_status sound_push(struct sound *sound, const float *samples, size_t n, csm_error *err);
csm_status sound_finish(struct sound *sound, csm_error *err); /* as csm_credentials_sign, too */

/* The bytes that are ready, until the next call of any function here.
 * They are given once. */
const void *sound_take(struct sound *sound, size_t *n);

void sound_close(struct sound *sound); /* takes NULL */

#endif
