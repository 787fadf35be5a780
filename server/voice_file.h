/* SPDX-License-Identifier: Apache-2.0
 *
 * voice_file.h - a voice that is a recording, and its file: a saved session (csm/session.h)
 * of one turn, with `consent`, `description` and `created` in its metadata. It is written
 * beside and renamed. */
#ifndef CSM_SERVER_VOICE_FILE_H
#define CSM_SERVER_VOICE_FILE_H

#include <csm/voices.h>

#include "prompt.h"

/* Which file a voice was read from, or which state a directory had: who replaces it changes
 * this. All zero: none. */
struct voice_stamp {
    uint64_t inode;
    int64_t changed_ns;
};

struct voice {
    char name[65];
    int speaker;
    bool is_recording;
    struct prompt *prompt; /* of a recording, else NULL */
    char *consent, *description, *created; /* of a recording; NULL: not told */
    struct voice_stamp stamp; /* of a recording */
};

/* What POST /v1/audio/voices tells of a recording; strings may be NULL. */
struct voice_papers {
    const char *consent, *description;
};

struct voice_stamp voice_stamp_of(const char *path);
bool voice_stamps_are_equal(struct voice_stamp a, struct voice_stamp b);

/* Read a recording into a voice that has a name and nothing else; to be emptied in any case.
 * Errors as csm_session_load; CSM_BAD_FORMAT for one without a turn. */
csm_status voice_read(csm_model *model, const char *path, struct voice *voice, csm_error *err);

/* Write one; the voice, likewise, becomes it. turn: text, speaker, codes; all is copied. Errors
 * as csm_tensors_write; CSM_NO_MEMORY. After a failure file and voice are as they were. */
csm_status voice_write(csm_model *model, const char *path, const csm_turn *turn,
                       const struct voice_papers *papers, struct voice *voice, csm_error *err);

void voice_empty(struct voice *voice);

#endif
