/* SPDX-License-Identifier: Apache-2.0
 *
 * sink.h - where sound goes as it is made: a file or pipe, the loudspeaker, both,
 * or nowhere. */
#ifndef CSM_CLI_SINK_H
#define CSM_CLI_SINK_H

#include <stdbool.h>

#include <csm/audio.h>

#include "marking.h"
#include "play.h"
#include "warnings.h"
#include "written.h"

struct sink {
    csm_audio_writer *writer; /* NULL: no file */
    struct player *player;    /* NULL: no loudspeaker */
    csm_mark *mark; /* NULL: sound goes on as it comes */
    float *marked;
    size_t n_marked; /* room */
    size_t n_samples; /* that went through */
    int rate_hz;
    struct warnings *warnings; /* set after opening: receives at the end that a mark has too little
                                * sound; NULL: nobody asks */
    /* What was pushed last, when utterances are joined: its end may be the end of
     * one, which fades. */
    bool is_joined;
    csm_joint *joint;
};

/* Begin. output: a file, "-" for standard output, or "none"; marking, if it is on, marks
 * the sound and tells so in the file's tags, with the digest of the model (NULL: not
 * known). On failure nothing is left open. Errors as csm_audio_writer_open, player_open and
 * csm_mark_open. */
csm_status sink_open(struct sink *sink, const char *output, const struct written *written, bool is_played,
                     int rate_hz, const struct marking *marking, const char *digest,
                     csm_error *err);

/* Hand over samples; waits for the loudspeaker. */
csm_status sink_push(struct sink *sink, const float *samples, size_t n_samples, csm_error *err);

/* The end of one utterance of several (is_joined set after opening): it fades out
 * over 10 ms, and silence of pause_ms follows. */
csm_status sink_pause(struct sink *sink, int pause_ms, csm_error *err);

/* End: with everything written and played when status is CSM_OK, else without a
 * file. Returns status, or what went wrong in the end. */
csm_status sink_close(struct sink *sink, csm_status status, csm_error *err);

#endif
