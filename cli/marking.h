/* SPDX-License-Identifier: Apache-2.0
 *
 * marking.h - --mark and --mark-key of the command. */
#ifndef CSM_CLI_MARKING_H
#define CSM_CLI_MARKING_H

#include <stdbool.h>

#include <csm/audio.h>
#include <csm/mark.h>

struct marking {
    bool is_on;
    const char *key_file; /* 64 hexadecimal digits; NULL: the public key */
    unsigned char key[CSM_MARK_KEY_BYTES];
    char software[32];
};

/* Before all else: read the key file, if one is named. CSM_BAD_FILE; CSM_BAD_FORMAT. */
csm_status marking_read(struct marking *marking, csm_error *err);

/* What csm_mark_open and csm_detector_open take, for sound of a model with that digest
 * (NULL: not known); lives no longer than marking. */
csm_mark_options marking_options(const struct marking *marking, int rate_hz, const char *digest);

/* How a file is written: with tags that tell what it is, if marking is on. */
csm_audio_options marking_tags(const struct marking *marking);

/* Mark a whole sound in place, if marking is on. Errors as csm_mark_open. */
csm_status marking_apply(const struct marking *marking, float *samples, size_t n, int rate_hz,
                         csm_error *err);

#endif
