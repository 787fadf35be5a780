/* SPDX-License-Identifier: Apache-2.0
 *
 * Three frames in turn: the caller has one and may look at the next, while the thread fills
 * the third. */
#include "generate/noise_ahead.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/arithmetic.h"
#include "base/error.h"

enum { FRAMES = 3 };

struct csm_noise_ahead {
    csm_stream *stream;
    csm_dtype dtype;
    size_t n_codebooks, vocab;
    bool has_row[2]; /* of codebook 0, of the others */

    float *frames[FRAMES];
    size_t n_taken; /* frames that the caller has had; it has frame n_taken - 1 */

    pthread_t thread;
    bool has_thread;
    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t changed;
    size_t n_filled;
    bool is_stopping;
    csm_status status;
    csm_error error;
};

static csm_status fill(csm_noise_ahead *noise, float *frame, csm_error *err)
{
    for (size_t k = 0; k < noise->n_codebooks; k++) {
        if (!noise->has_row[k > 0])
            continue;
        csm_status st = csm_stream_fill(noise->stream, noise->dtype, 1, noise->vocab,
                                        frame + k * noise->vocab, err);
        if (st != CSM_OK)
            return st;
    }
    return CSM_OK;
}

static void *run(void *argument)
{
    csm_noise_ahead *noise = argument;
    csm_arithmetic_of_thread();
    pthread_mutex_lock(&noise->mutex);
    while (!noise->is_stopping && noise->status == CSM_OK) {
        if (noise->n_filled > noise->n_taken + FRAMES - 2) {
            pthread_cond_wait(&noise->changed, &noise->mutex);
            continue;
        }
        float *frame = noise->frames[noise->n_filled % FRAMES];
        pthread_mutex_unlock(&noise->mutex);
        csm_error error;
        csm_status status = fill(noise, frame, &error);
        pthread_mutex_lock(&noise->mutex);
        if (status == CSM_OK)
            noise->n_filled++;
        else
            noise->error = error;
        noise->status = status;
        pthread_cond_broadcast(&noise->changed);
    }
    pthread_mutex_unlock(&noise->mutex);
    return NULL;
}

csm_status csm_noise_ahead_start(const csm_stream_state *from, csm_dtype dtype,
                                 size_t n_codebooks, size_t vocab, const bool has_row[2],
                                 csm_noise_ahead **out, csm_error *err)
{
    csm_noise_ahead *noise = calloc(1, sizeof *noise);
    if (noise == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "noise: %zu bytes", sizeof *noise);
    noise->dtype = dtype;
    noise->n_codebooks = n_codebooks;
    noise->vocab = vocab;
    noise->has_row[0] = has_row[0];
    noise->has_row[1] = has_row[1];
    pthread_mutex_init(&noise->mutex, NULL);
    pthread_cond_init(&noise->changed, NULL);

    csm_status st = csm_stream_open(from, &noise->stream, err);
    for (size_t i = 0; st == CSM_OK && i < FRAMES; i++) {
        noise->frames[i] = calloc(n_codebooks * vocab, sizeof(float));
        if (noise->frames[i] == NULL)
            st = csm_fail(err, CSM_NO_MEMORY, "noise: a frame of %zu rows", n_codebooks);
    }
    if (st == CSM_OK) {
        noise->has_thread = pthread_create(&noise->thread, NULL, run, noise) == 0;
        if (!noise->has_thread)
            st = csm_fail(err, CSM_NO_MEMORY, "noise: no thread to be had");
    }
    if (st != CSM_OK) {
        csm_noise_ahead_stop(noise);
        return st;
    }
    *out = noise;
    return CSM_OK;
}

csm_status csm_noise_ahead_next(csm_noise_ahead *noise, const float **frame, csm_error *err)
{
    pthread_mutex_lock(&noise->mutex);
    while (noise->n_filled == noise->n_taken && noise->status == CSM_OK) {
        pthread_cond_broadcast(&noise->changed);
        pthread_cond_wait(&noise->changed, &noise->mutex);
    }
    csm_status st = noise->status;
    if (noise->n_filled > noise->n_taken) {
        st = CSM_OK;
        *frame = noise->frames[noise->n_taken % FRAMES];
        noise->n_taken++;
    } else {
        csm_fail(err, st, "%s", noise->error.text);
    }
    pthread_mutex_unlock(&noise->mutex);
    return st;
}

void csm_noise_ahead_go_on(csm_noise_ahead *noise)
{
    pthread_mutex_lock(&noise->mutex);
    if (noise->n_filled <= noise->n_taken + FRAMES - 2)
        pthread_cond_broadcast(&noise->changed);
    pthread_mutex_unlock(&noise->mutex);
}

const float *csm_noise_ahead_look(csm_noise_ahead *noise)
{
    pthread_mutex_lock(&noise->mutex);
    const bool is_there = noise->n_filled > noise->n_taken;
    const float *frame = is_there ? noise->frames[noise->n_taken % FRAMES] : NULL;
    pthread_mutex_unlock(&noise->mutex);
    return frame;
}

void csm_noise_ahead_stop(csm_noise_ahead *noise)
{
    if (noise == NULL)
        return;
    if (noise->has_thread) {
        pthread_mutex_lock(&noise->mutex);
        noise->is_stopping = true;
        pthread_cond_broadcast(&noise->changed);
        pthread_mutex_unlock(&noise->mutex);
        pthread_join(noise->thread, NULL);
    }
    pthread_cond_destroy(&noise->changed);
    pthread_mutex_destroy(&noise->mutex);
    csm_stream_close(noise->stream);
    for (size_t i = 0; i < FRAMES; i++)
        free(noise->frames[i]);
    free(noise);
}
