/* SPDX-License-Identifier: Apache-2.0
 *
 * encoded.h - sounds that a codec has encoded, with their codes: the same recording of a voice
 * comes with request after request. A sound is found by its samples, all of them compared. Any
 * number of threads at once. */
#ifndef CSM_GENERATE_ENCODED_H
#define CSM_GENERATE_ENCODED_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CSM_ENCODED_MOST_BYTES = 16 << 20 }; /* of samples and codes: some 170 s at 24 kHz */

struct csm_encoded_sound;

/* Opened and closed by these; a sound is freed when it is the least used and room is needed. */
struct csm_encoded {
    pthread_mutex_t lock;
    struct csm_encoded_sound *first; /* the one used last; then by when they were used */
    size_t n_bytes;
};

void csm_encoded_open(struct csm_encoded *encoded);
void csm_encoded_close(struct csm_encoded *encoded);

/* The codes of these samples in so many codebooks into codes [n_frames, n_codebooks], if they
 * are there. */
bool csm_encoded_find(struct csm_encoded *encoded, const float *samples, size_t n_samples,
                      size_t n_codebooks, int32_t *codes);

/* Keep [n_frames, n_codebooks] codes of these samples, copied. Where there is no memory for
 * them, or they are more than all that is kept, they are encoded again. */
void csm_encoded_keep(struct csm_encoded *encoded, const float *samples, size_t n_samples,
                      const int32_t *codes, size_t n_frames, size_t n_codebooks);

#endif
