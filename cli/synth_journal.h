/* SPDX-License-Identifier: Apache-2.0
 *
 * synth_journal.h - what is done of a manifest: a line for each item, appended when its files
 * are whole (DIR/manifest.jsonl.unfinished), and at the end all of them in the order of the
 * manifest that was read (DIR/manifest.jsonl). */
#ifndef CSM_CLI_SYNTH_JOURNAL_H
#define CSM_CLI_SYNTH_JOURNAL_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#include "synth_ids.h"

struct synth_journal {
    char path[4096], finished[4096];
    FILE *file;
    uint64_t end;    /* of what is whole */
    size_t n_others; /* lines of items that the manifest does not have any more */
};

/* Which part of the items is spoken here: index 1..n. */
struct synth_shard {
    uint64_t index, n;
};

/* Whether it has a line, counted from 1. */
static inline bool synth_shard_has(const struct synth_shard *shard, uint64_t line)
{
    return (line - 1) % shard->n == shard->index - 1;
}

/* Begin in a directory, which is made if it is not there. is_resumed: what a run before has
 * told goes into `ids`, and a line that it was killed in is cut off; else a directory that has a
 * manifest is refused, and one where another process is at work. Errors: CSM_BAD_FILE,
 * CSM_BAD_FORMAT. */
csm_status synth_journal_open(struct synth_journal *journal, const char *directory,
                              const struct synth_shard *shard, bool is_resumed,
                              struct synth_ids *ids, csm_error *err);

/* The line of an item that is done, to be freed with json_decref. */
csm_status synth_journal_read(struct synth_journal *journal, const struct synth_id *id,
                              json_t **line, csm_error *err);

/* An item is done. */
csm_status synth_journal_add(struct synth_journal *journal, struct synth_id *id,
                             const json_t *line, csm_error *err);

/* All are done: write the manifest, whole or not at all, and remove the journal. */
csm_status synth_journal_finish(struct synth_journal *journal, const struct synth_ids *ids,
                                csm_error *err);

/* Close; what is told stays for --resume. */
void synth_journal_close(struct synth_journal *journal);

#endif
