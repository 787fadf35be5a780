/* SPDX-License-Identifier: Apache-2.0 */
#include "generate/encoded.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

struct csm_encoded_sound {
    struct csm_encoded_sound *next;
    uint64_t hash; /* of the samples: most others differ in it */
    size_t n_samples, n_frames, n_codebooks;
    float *samples;
    int32_t *codes;
};

static size_t sample_bytes(const struct csm_encoded_sound *s)
{
    return s->n_samples * sizeof *s->samples;
}

static size_t code_bytes(const struct csm_encoded_sound *s)
{
    return s->n_frames * s->n_codebooks * sizeof *s->codes;
}

static void free_sound(struct csm_encoded_sound *s)
{
    free(s->samples);
    free(s->codes);
    free(s);
}

void csm_encoded_open(struct csm_encoded *encoded)
{
    *encoded = (struct csm_encoded){0};
    pthread_mutex_init(&encoded->lock, NULL);
}

void csm_encoded_close(struct csm_encoded *encoded)
{
    while (encoded->first != NULL) {
        struct csm_encoded_sound *s = encoded->first;
        encoded->first = s->next;
        free_sound(s);
    }
    pthread_mutex_destroy(&encoded->lock);
}

/* To the front, if it is there; under the lock. */
static struct csm_encoded_sound *find(struct csm_encoded *encoded, uint64_t hash,
                                      const float *samples, size_t n_samples, size_t n_codebooks)
{
    struct csm_encoded_sound **link = &encoded->first;
    for (struct csm_encoded_sound *s; (s = *link) != NULL; link = &s->next)
        if (s->hash == hash && s->n_samples == n_samples && s->n_codebooks == n_codebooks &&
            memcmp(s->samples, samples, sample_bytes(s)) == 0) {
            *link = s->next;
            s->next = encoded->first;
            return encoded->first = s;
        }
    return NULL;
}

bool csm_encoded_find(struct csm_encoded *encoded, const float *samples, size_t n_samples,
                      size_t n_codebooks, int32_t *codes)
{
    const uint64_t hash = csm_hash(samples, n_samples * sizeof *samples);
    pthread_mutex_lock(&encoded->lock);
    const struct csm_encoded_sound *s = find(encoded, hash, samples, n_samples, n_codebooks);
    if (s != NULL)
        memcpy(codes, s->codes, code_bytes(s));
    pthread_mutex_unlock(&encoded->lock);
    return s != NULL;
}

/* NULL: out of memory. */
static struct csm_encoded_sound *copy(const struct csm_encoded_sound *from)
{
    struct csm_encoded_sound *s = malloc(sizeof *s);
    if (s == NULL)
        return NULL;
    *s = *from;
    s->samples = malloc(sample_bytes(from));
    s->codes = malloc(code_bytes(from));
    if (s->samples == NULL || s->codes == NULL) {
        free_sound(s);
        return NULL;
    }
    memcpy(s->samples, from->samples, sample_bytes(from));
    memcpy(s->codes, from->codes, code_bytes(from));
    return s;
}

/* Under the lock: the least used ones go until so many bytes have room. */
static void make_room(struct csm_encoded *encoded, size_t n_bytes)
{
    while (encoded->n_bytes + n_bytes > CSM_ENCODED_MOST_BYTES) {
        struct csm_encoded_sound **link = &encoded->first;
        while ((*link)->next != NULL)
            link = &(*link)->next;
        encoded->n_bytes -= sample_bytes(*link) + code_bytes(*link);
        free_sound(*link);
        *link = NULL;
    }
}

void csm_encoded_keep(struct csm_encoded *encoded, const float *samples, size_t n_samples,
                      const int32_t *codes, size_t n_frames, size_t n_codebooks)
{
    const struct csm_encoded_sound sound = {
        .hash = csm_hash(samples, n_samples * sizeof *samples),
        .n_samples = n_samples,
        .n_frames = n_frames,
        .n_codebooks = n_codebooks,
        .samples = (float *)samples,
        .codes = (int32_t *)codes};
    const size_t n_bytes = sample_bytes(&sound) + code_bytes(&sound);
    if (n_bytes > CSM_ENCODED_MOST_BYTES)
        return;
    struct csm_encoded_sound *s = copy(&sound);
    if (s == NULL)
        return;
    pthread_mutex_lock(&encoded->lock);
    if (find(encoded, s->hash, samples, n_samples, n_codebooks) != NULL) {
        free_sound(s); /* another thread was first */
    } else {
        make_room(encoded, n_bytes);
        s->next = encoded->first;
        encoded->first = s;
        encoded->n_bytes += n_bytes;
    }
    pthread_mutex_unlock(&encoded->lock);
}
