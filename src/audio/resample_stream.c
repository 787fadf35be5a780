/* SPDX-License-Identifier: Apache-2.0 */
#include "audio/resample_stream.h"

#include <stdlib.h>
#include <string.h>

#include <soxr.h>

#include "base/error.h"

struct csm_resample_stream {
    soxr_t soxr;
    int from_hz, to_hz;
    uint64_t n_in, n_out;
    float *out;
    size_t capacity;
};

csm_status csm_resample_soxr(const float *x, size_t n_x, int from_hz, int to_hz, float *y,
                             size_t n_y, csm_error *err)
{
    const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
    const soxr_runtime_spec_t one_thread = soxr_runtime_spec(1);
    size_t n_done = 0;
    soxr_error_t failure =
        soxr_oneshot(from_hz, to_hz, 1, x, n_x, NULL, y, n_y, &n_done, NULL, &quality, &one_thread);
    if (failure != NULL)
        return csm_fail(err, CSM_NO_MEMORY, "resampling %d to %d Hz: %s", from_hz, to_hz, failure);
    memset(y + n_done, 0, (n_y - n_done) * sizeof *y);
    return CSM_OK;
}

csm_status csm_resample_stream_open(int from_hz, int to_hz, struct csm_resample_stream **out,
                                    csm_error *err)
{
    struct csm_resample_stream *s = calloc(1, sizeof *s);
    if (s == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "resampling: out of memory");
    const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
    const soxr_runtime_spec_t one_thread = soxr_runtime_spec(1);
    soxr_error_t failure = NULL;
    *s = (struct csm_resample_stream){.from_hz = from_hz, .to_hz = to_hz};
    s->soxr = soxr_create(from_hz, to_hz, 1, &failure, NULL, &quality, &one_thread);
    if (failure != NULL) {
        csm_resample_stream_close(s);
        return csm_fail(err, CSM_NO_MEMORY, "resampling %d to %d Hz: %s", from_hz, to_hz, failure);
    }
    *out = s;
    return CSM_OK;
}

void csm_resample_stream_close(struct csm_resample_stream *s)
{
    if (s == NULL)
        return;
    soxr_delete(s->soxr);
    free(s->out);
    free(s);
}

/* Room for n more samples behind the n_held there are. */
static csm_status reserve(struct csm_resample_stream *s, size_t n_held, size_t n, csm_error *err)
{
    if (s->capacity - n_held >= n)
        return CSM_OK;
    float *grown = realloc(s->out, (n_held + n) * sizeof *grown);
    if (grown == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "resampling: out of memory");
    s->out = grown;
    s->capacity = n_held + n;
    return CSM_OK;
}

/* n samples in (NULL: the end), and what comes out behind the *n_out there are. */
static csm_status process(struct csm_resample_stream *s, const float *samples, size_t n,
                          size_t *n_out, csm_error *err)
{
    enum { ROOM = 4096 };
    size_t n_taken = 0, n_made = ROOM;
    while (n_taken < n || n_made == ROOM) {
        csm_status status = reserve(s, *n_out, ROOM, err);
        if (status != CSM_OK)
            return status;
        size_t n_now = 0;
        soxr_error_t failure = soxr_process(s->soxr, samples != NULL ? samples + n_taken : NULL,
                                            n - n_taken, &n_now, s->out + *n_out, ROOM, &n_made);
        if (failure != NULL)
            return csm_fail(err, CSM_NO_MEMORY, "resampling: %s", failure);
        n_taken += n_now;
        *n_out += n_made;
    }
    return CSM_OK;
}

csm_status csm_resample_stream_push(struct csm_resample_stream *s, const float *samples, size_t n,
                                    bool is_last, const float **out, size_t *n_out, csm_error *err)
{
    size_t n_made = 0;
    csm_status status = n > 0 ? process(s, samples, n, &n_made, err) : CSM_OK;
    s->n_in += n;
    if (status == CSM_OK && is_last) {
        status = process(s, NULL, 0, &n_made, err);
        const uint64_t n_left = csm_resampled_count(s->n_in, s->from_hz, s->to_hz) - s->n_out;
        if (status == CSM_OK && n_made < n_left) {
            status = reserve(s, n_made, (size_t)n_left - n_made, err);
            if (status == CSM_OK)
                memset(s->out + n_made, 0, ((size_t)n_left - n_made) * sizeof *s->out);
        }
        n_made = (size_t)n_left;
    }
    if (status != CSM_OK)
        return status;
    s->n_out += n_made;
    *out = s->out;
    *n_out = n_made;
    return CSM_OK;
}
