/* SPDX-License-Identifier: Apache-2.0 */
#include "encoding.h"

#include <stdlib.h>
#include <string.h>

struct encoding {
    struct workers *workers;
    void (*on_step)(void *owner);
    void *owner;
    bool is_light;

    /* The worker's, while a step is under way; else the loop's. */
    struct sound *sound;
    float *samples; /* [n] */
    size_t n, capacity;
    bool is_last;
    csm_status status;
    csm_error error;

    /* The loop's. */
    bool is_under_way, is_closed;
};

static void encoding_free(struct encoding *e)
{
    sound_close(e->sound);
    free(e->samples);
    free(e);
}

csm_status encoding_open(const struct sound_setup *setup, struct workers *workers,
                         void (*on_step)(void *owner), void *owner, struct encoding **out,
                         csm_error *err)
{
    struct encoding *e = calloc(1, sizeof *e);
    if (e == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "sound: out of memory");
    *e = (struct encoding){.workers = workers, .on_step = on_step, .owner = owner};
    e->is_light = setup->format == CSM_AUDIO_FORMAT_S16LE && setup->mark == NULL &&
                  setup->speed == 1 && (setup->out_hz == 0 || setup->out_hz == setup->rate_hz);
    const csm_status st = sound_open(setup, &e->sound, err);
    if (st == CSM_OK)
        *out = e;
    else
        free(e);
    return st;
}

static void work(void *job)
{
    struct encoding *e = job;
    e->status = e->n > 0 ? sound_push(e->sound, e->samples, e->n, &e->error) : CSM_OK;
    if (e->status == CSM_OK && e->is_last)
        e->status = sound_finish(e->sound, &e->error);
}

static void done(void *job)
{
    struct encoding *e = job;
    e->is_under_way = false;
    if (e->is_closed)
        encoding_free(e);
    else
        e->on_step(e->owner);
}

static bool keep(struct encoding *e, const float *samples, size_t n)
{
    if (n > e->capacity) {
        float *grown = realloc(e->samples, n * sizeof *grown);
        if (grown == NULL)
            return false;
        e->samples = grown;
        e->capacity = n;
    }
    if (n > 0)
        memcpy(e->samples, samples, n * sizeof *samples);
    e->n = n;
    return true;
}

bool encoding_step(struct encoding *e, const float *samples, size_t n, bool is_last)
{
    e->is_last = is_last;
    if (!keep(e, samples, n)) {
        e->status = csm_fail(&e->error, CSM_NO_MEMORY, "sound: out of memory");
        return true;
    }
    e->is_under_way = !e->is_light && workers_do(e->workers, work, done, e);
    if (!e->is_under_way)
        work(e);
    return !e->is_under_way;
}

csm_status encoding_status(const struct encoding *e, csm_error *err)
{
    if (e->status != CSM_OK)
        *err = e->error;
    return e->status;
}

const void *encoding_take(struct encoding *e, size_t *n)
{
    return sound_take(e->sound, n);
}

void encoding_close(struct encoding *e)
{
    if (e == NULL)
        return;
    e->is_closed = true;
    if (!e->is_under_way)
        encoding_free(e);
}
