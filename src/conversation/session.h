/* SPDX-License-Identifier: Apache-2.0
 *
 * session.h - what a session holds. */
#ifndef CSM_CONVERSATION_SESSION_H
#define CSM_CONVERSATION_SESSION_H

#include <csm/session.h>

enum { CSM_MAX_SPEAKER = 1000000 }; /* of turns and named voices, from 0 */

struct csm_session_turn {
    csm_turn turn;      /* text and codes are the session's own */
    size_t n_positions; /* in the prompt */
};

struct csm_session {
    csm_model *model;
    struct csm_session_turn *turns; /* [n_turns] */
    size_t n_turns, capacity;
    size_t n_pinned;
};

/* Forget n turns from the i-th on. */
void csm_session_remove(csm_session *session, size_t i, size_t n);

#endif
