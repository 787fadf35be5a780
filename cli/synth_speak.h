/* SPDX-License-Identifier: Apache-2.0
 *
 * synth_speak.h - one item of a manifest: checked, spoken, written. Any number of threads at
 * once. */
#ifndef CSM_CLI_SYNTH_SPEAK_H
#define CSM_CLI_SYNTH_SPEAK_H

#include "speak.h"
#include "synth_item.h"
#include "synth_journal.h"

/* What is asked for, settled before the first item. */
struct synth {
    const char *manifest, *directory;
    struct synth_shard shard;
    size_t n_lanes, n_retries;
    bool is_resumed, is_skipping, has_codes, is_embedded;
    const char *ending; /* of the sound's files, ".wav" */
    struct speak *what; /* const but for warnings while items are spoken */
    csm_model *model;
    struct context context; /* the command line's */
    const csm_turn *turns;  /* [context.n_turns] of it */
    char made_of[33];       /* what every item depends on */
};

/* Whether the item can be spoken: it has words, they fit, there is such a voice, its context can
 * be opened. CSM_BAD_FORMAT; what csm_generate would say of the command line's settings. */
csm_status synth_check(const struct synth *synth, const struct synth_item *item, csm_error *err);

/* A digest of all that the item's files depend on. Sound of a context of its own counts by its
 * path. */
void synth_made_of(const struct synth *synth, const struct synth_item *item,
                   char digest[33]);

/* Whether the files that a line of the journal tells of are there, made of that. */
bool synth_is_whole(const struct synth *synth, const json_t *line, const char *made_of);

/* Speak an item, again with the next seed as long as it ends badly and retries are left, and
 * write its files. `line` receives what the manifest says of it. CSM_BAD_FORMAT: its own context
 * cannot be read, or leaves no room; CSM_CANCELLED when is_stopped says so; CSM_BAD_FILE: the
 * files cannot be written; as csm_generate. */
csm_status synth_speak(const struct synth *synth, const struct synth_item *item,
                       bool (*is_stopped)(void *user), void *user,
                       json_t **line, csm_error *err);

#endif
