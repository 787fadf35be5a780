/* SPDX-License-Identifier: Apache-2.0 */
#include "sink.h"

#include <stdlib.h>
#include <string.h>

csm_status sink_open(struct sink *sink, const char *output, const struct written *written, bool is_played,
                     int rate_hz, const struct marking *marking, const char *digest,
                     csm_error *err)
{
    *sink = (struct sink){.rate_hz = rate_hz};
    csm_status st = csm_joint_open(rate_hz, &sink->joint, err);
    const csm_audio_options form = written_options(written, marking);
    if (st == CSM_OK && marking->is_on) {
        const csm_mark_options options = marking_options(marking, rate_hz, digest);
        st = csm_mark_open(&options, &sink->mark, err);
    }
    if (st == CSM_OK && strcmp(output, "none") != 0)
        st = csm_audio_writer_open(output, written->format, rate_hz, &form, &sink->writer, err);
    if (st == CSM_OK && is_played)
        st = player_open(rate_hz, &sink->player, err);
    if (st != CSM_OK) {
        csm_audio_writer_discard(sink->writer);
        csm_mark_close(sink->mark);
        csm_joint_close(sink->joint);
        *sink = (struct sink){0};
    }
    return st;
}

static csm_status add_mark(struct sink *sink, const float *samples, size_t n, csm_error *err)
{
    if (n > sink->n_marked) {
        float *marked = realloc(sink->marked, n * sizeof *marked);
        if (marked == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "sound: out of memory");
        sink->marked = marked;
        sink->n_marked = n;
    }
    csm_mark_push(sink->mark, samples, n, sink->marked);
    return CSM_OK;
}

static csm_status deliver(struct sink *sink, const float *samples, size_t n, csm_error *err)
{
    csm_status st = CSM_OK;
    sink->n_samples += n;
    if (sink->mark != NULL) {
        st = add_mark(sink, samples, n, err);
        if (st != CSM_OK)
            return st;
        samples = sink->marked;
    }
    if (sink->writer != NULL)
        st = csm_audio_writer_push(sink->writer, samples, n, err);
    if (st == CSM_OK && sink->player != NULL)
        st = player_push(sink->player, samples, n, err);
    return st;
}

csm_status sink_push(struct sink *sink, const float *samples, size_t n_samples, csm_error *err)
{
    csm_status st = CSM_OK;
    if (sink->is_joined && n_samples > 0)
        st = csm_joint_push(sink->joint, samples, n_samples, &samples, &n_samples, err);
    return st == CSM_OK ? deliver(sink, samples, n_samples, err) : st;
}

csm_status sink_pause(struct sink *sink, int pause_ms, csm_error *err)
{
    const float *samples;
    size_t n;
    const csm_status st = csm_joint_pause(sink->joint, pause_ms, &samples, &n, err);
    return st == CSM_OK ? deliver(sink, samples, n, err) : st;
}

csm_status sink_close(struct sink *sink, csm_status status, csm_error *err)
{
    csm_remark remark;
    if (status == CSM_OK && sink->mark != NULL && sink->warnings != NULL && sink->n_samples > 0 &&
        csm_remark_mark(sink->n_samples, sink->rate_hz, &remark))
        warn(sink->warnings, &remark);
    csm_joint_close(sink->joint);
    free(sink->marked);
    csm_mark_close(sink->mark);
    player_close(sink->player, status == CSM_OK);
    if (sink->writer != NULL && status == CSM_OK)
        status = csm_audio_writer_commit(sink->writer, err);
    else
        csm_audio_writer_discard(sink->writer);
    *sink = (struct sink){0};
    return status;
}
