/* SPDX-License-Identifier: Apache-2.0
 *
 * synth_manifest.h - a manifest, read line by line, as often as one likes. */
#ifndef CSM_CLI_SYNTH_MANIFEST_H
#define CSM_CLI_SYNTH_MANIFEST_H

#include <stdbool.h>
#include <stdio.h>

#include "synth_item.h"

struct synth_manifest {
    const char *path;
    char folder[4096]; /* it lies in, with a slash at its end; "" for this one */
    FILE *file;
    char *line;
    size_t room, n; /* of the line */
    uint64_t number; /* of the line, from 1 */
};

/* CSM_BAD_FILE: it cannot be read, or not twice. */
csm_status synth_manifest_open(struct synth_manifest *manifest, const char *path, csm_error *err);
void synth_manifest_close(struct synth_manifest *manifest);

/* From the first line on again. */
void synth_manifest_rewind(struct synth_manifest *manifest);

/* The next line that is not blank; *is_over: there is none. CSM_BAD_FILE. */
csm_status synth_manifest_next(struct synth_manifest *manifest, bool *is_over, csm_error *err);

#endif
