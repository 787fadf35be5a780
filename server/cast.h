/* SPDX-License-Identifier: Apache-2.0
 *
 * cast.h - who speaks: the voice that a request names, and the recordings that it
 * brings, as a speaker and the turns before. */
#ifndef CSM_SERVER_CAST_H
#define CSM_SERVER_CAST_H

#include "service.h"

enum { REFERENCE_S = 30 }; /* the longest recording */

struct cast {
    int speaker;
    struct prompt *prompt; /* a reference of the holder's; NULL: none */
    struct remark_list remarks; /* about its recordings */
};

struct casting; /* recordings that are being encoded */

enum cast_state { CAST_READY, CAST_LATER, CAST_REFUSED };

/* READY: `out` is filled. LATER: on_cast is called on the loop, with either the cast (a
 * reference of the callee's) or a refusal; until then *casting may be given to
 * casting_forget. REFUSED: `why` tells. */
enum cast_state cast_begin(struct service *service, struct speech_request *request,
                           void (*on_cast)(void *owner, const struct cast *cast,
                                           const struct refusal *why),
                           void *owner, struct cast *out, struct casting **casting,
                           struct refusal *why);

/* The voice of that name; NULL: the model's default, whose name is NULL, "" or "default" where
 * no voice has it. false: there is none, and `why` tells. */
bool cast_find_voice(struct service *service, const char *name, const struct voice **out,
                     struct refusal *why);

/* The owner is gone. Takes NULL. */
void casting_forget(struct casting *casting);

#endif
