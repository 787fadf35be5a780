/* SPDX-License-Identifier: Apache-2.0
 *
 * synth_run.h - what csm synth does once a model is open. */
#ifndef CSM_CLI_SYNTH_RUN_H
#define CSM_CLI_SYNTH_RUN_H

#include "synth_speak.h"

struct synth_count {
    uint64_t n_items;   /* of this shard, good lines */
    uint64_t n_refused; /* bad lines of this shard, or that no shard has */
    uint64_t n_kept;    /* of a run before */
    uint64_t n_redone;  /* of a run before, made of other settings, or with a file gone */
    uint64_t n_spoken;
    uint64_t n_bad;     /* kept or spoken, not ended by itself: those without sound too */
    uint64_t n_silent;  /* without sound */
    double seconds;     /* spoken */
    double spent_ms;
};

/* One more is spoken, of which the manifest says `line`. */
void synth_count_spoken(struct synth_count *count, const json_t *line);

/* Check the whole manifest, say what is wrong with it, then speak this shard's items.
 * Interrupted: CSM_CANCELLED, without a message; what is done stays for --resume. Errors of
 * lines are CSM_BAD_FORMAT; those of the output CSM_BAD_FILE; those of the model as csm_generate. */
csm_status synth_run(struct synth *synth, struct synth_count *count, csm_error *err);

#endif
