/* SPDX-License-Identifier: Apache-2.0
 *
 * synth_keys.h - keys of a manifest's lines that nothing reads: each is said once. */
#ifndef CSM_CLI_SYNTH_KEYS_H
#define CSM_CLI_SYNTH_KEYS_H

#include "synth_manifest.h"

enum { SYNTH_SHOWN_KEYS = 16 };

/* Those that were said; zero before. */
struct synth_keys {
    char *keys[SYNTH_SHOWN_KEYS];
    size_t n;
};

/* Say which keys of the manifest's present line are new here: a setting that a line cannot have is
 * no progress that --quiet leaves out. */
void synth_keys_tell(struct synth_keys *keys, const struct synth_manifest *manifest,
                     const struct synth_item *item);

void synth_keys_free(struct synth_keys *keys);

#endif
