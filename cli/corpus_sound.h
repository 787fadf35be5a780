/* SPDX-License-Identifier: Apache-2.0
 *
 * corpus_sound.h - one sound of a corpus, measured. */
#ifndef CSM_CLI_CORPUS_SOUND_H
#define CSM_CLI_CORPUS_SOUND_H

#include <stddef.h>
#include <stdint.h>

#include <csm/status.h>

enum { CORPUS_RATE_HZ = 24000 }; /* at which sounds are looked at */

struct corpus_sound {
    double seconds;
    double peak;      /* the largest absolute sample, full scale 1 */
    size_t n_clipped; /* samples of 32767/32768 or more */
    double lead_s, trail_s; /* of silence at its ends: all of it, where there is nothing else */
    double longest_s;       /* the longest silence between them */
    double lufs;            /* NaN: not known, or too short */
    char digest[33];        /* of the samples: XXH3, 128 bits */
};

/* Silence is 10 ms and longer in which no sample is above -50 dB of full scale. As csm_audio_read. */
csm_status corpus_sound_measure(const char *path, struct corpus_sound *sound, csm_error *err);

#endif
