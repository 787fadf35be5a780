/* SPDX-License-Identifier: Apache-2.0
 *
 * riff.h - the chunks of a WAV file, one after another. Source: IBM and Microsoft, Multimedia
 * Programming Interface 1.0; RIFX has its numbers the other way round. */
#ifndef CSM_AUDIO_RIFF_H
#define CSM_AUDIO_RIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CSM_RIFF_HEAD = 8, CSM_RIFF_FIRST = 12 }; /* a chunk's name and length; where the first begins */

struct csm_riff_chunk {
    const unsigned char *name; /* [4] */
    const unsigned char *content;
    uint64_t length; /* that its head promises */
    size_t there;    /* bytes of the file behind its head */
};

/* Whether bytes [12 or more] begin a WAV file: RIFF, RF64 or RIFX. */
bool csm_riff_is_wav(const unsigned char *file, size_t n);

/* The length that a chunk's head says. */
uint32_t csm_riff_length(const unsigned char *file, const unsigned char *head);

/* The chunk at *at, CSM_RIFF_FIRST at first; *at is then where the next one begins. False: there is
 * none. */
bool csm_riff_next(const unsigned char *file, size_t n, uint64_t *at, struct csm_riff_chunk *chunk);

static inline bool csm_riff_is(const unsigned char *name, const char other[4])
{
    return name[0] == (unsigned char)other[0] && name[1] == (unsigned char)other[1] &&
           name[2] == (unsigned char)other[2] && name[3] == (unsigned char)other[3];
}

#endif
